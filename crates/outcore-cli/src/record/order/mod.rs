//! Keys of records as bytes whose order is the order that was asked for.
//!
//! A key is made of the parts of a record that are compared, one after the other. No key is the begin
//! of another one that is not equal, so more bytes can follow. `flags` has the letters of GNU sort,
//! `span` parts of lines, `csv` fields of records, `text`, `number`, `general`, `float` and `version`
//! what values become.

pub(crate) mod csv;
pub(crate) mod flags;
mod float;
mod general;
mod number;
pub(crate) mod span;
pub(crate) mod text;
mod version;

use std::borrow::Cow;
use std::ops::Range;

use crate::record::json;
use crate::record::json::Field;
use crate::record::key::Bad;
use crate::record::order::flags::{At, Flags, Kind};
use crate::record::order::float::Float;
use crate::record::order::span::Span;

/// What records are, and how their parts are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lines of fields with a separator between them, or, without one, with blanks before them.
    Text(Option<u8>),
    /// CSV with a delimiter.
    Csv(u8),
    /// A JSON object each.
    Json,
}

/// What is compared, part by part. Without parts nothing is, and all records have an empty key.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    form: Form,
    parts: Vec<Part>,
    /// Of JSON, the names of the parts.
    names: Vec<String>,
    /// Of CSV, how many fields have to be looked at.
    columns: usize,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    flags: Flags,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Span(Span),
    /// Of CSV, the number of the column; of JSON, that of the name.
    Number(usize),
}

/// Memory that is used again for each record.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    ranges: Vec<Range<usize>>,
    counted: Vec<u8>,
}

impl Order {
    /// Compares parts of lines as the definitions of `-k` say, or all of a line if there are none
    /// and something is said about all keys.
    ///
    /// # Errors
    ///
    /// What is wrong with which definition.
    pub(crate) fn of_text<S: AsRef<str>>(
        definitions: &[S],
        globals: Flags,
        tab: Option<u8>,
    ) -> Result<Self, String> {
        let mut order = Self::new(Form::Text(tab));
        for text in definitions {
            let text = text.as_ref();
            let parsed = span::parse(text);
            let (span, flags) = parsed.map_err(|wrong| format!("the key '{text}': {wrong}"))?;
            order.push(Place::Span(span), flags, globals)?;
        }
        if definitions.is_empty() && !globals.keeps_bytes() {
            order.push(Place::Span(Span::LINE), globals, globals)?;
        }
        Ok(order)
    }

    /// Compares columns of CSV, `NAME[:LETTERS]` each, which are found in the header.
    ///
    /// # Errors
    ///
    /// What is wrong with which name.
    pub(crate) fn of_csv<S: AsRef<str>>(
        names: &[S],
        globals: Flags,
        delimiter: u8,
        header: &[u8],
    ) -> Result<Self, String> {
        let mut order = Self::new(Form::Csv(delimiter));
        let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
        let columns = csv::Fields::new(csv::without_end(header), delimiter).map(csv::value);
        let columns: Vec<_> = columns.collect();
        let find = |name: &str| {
            let mut found = (0..)
                .zip(&columns)
                .filter(|(_, column)| ***column == *name.as_bytes());
            let first = found.next().map(|(number, _)| number);
            if found.next().is_some() {
                return Err(format!("the header has two columns {name:?}"));
            }
            Ok(first)
        };
        for text in names {
            let text = text.as_ref();
            let (column, flags) = if let Some(column) = find(text)? {
                (column, Flags::default())
            } else {
                let (name, flags) = named(text)?;
                let column = find(name)?;
                (column.ok_or_else(|| no_column(name, &columns))?, flags)
            };
            order.columns = order.columns.max(column + 1);
            order.push(Place::Number(column), flags, globals)?;
        }
        Ok(order)
    }

    /// Compares fields of JSON objects, `NAME[:LETTERS]` each.
    ///
    /// # Errors
    ///
    /// What is wrong with which name.
    pub(crate) fn of_json<S: AsRef<str>>(names: &[S], globals: Flags) -> Result<Self, String> {
        let mut order = Self::new(Form::Json);
        for text in names {
            let (name, flags) = named(text.as_ref())?;
            let known = order.names.iter().position(|known| known == name);
            let number = known.unwrap_or(order.names.len());
            if known.is_none() {
                order.names.push(name.to_owned());
            }
            order.push(Place::Number(number), flags, globals)?;
        }
        Ok(order)
    }

    fn new(form: Form) -> Self {
        Self {
            form,
            parts: Vec::new(),
            names: Vec::new(),
            columns: 0,
        }
    }

    /// Adds a part; what is said about all counts where nothing is said about it.
    ///
    /// # Errors
    ///
    /// What is said does not go together.
    fn push(&mut self, place: Place, flags: Flags, globals: Flags) -> Result<(), String> {
        let flags = if flags.is_default() { globals } else { flags };
        flags.check().map_err(|refused| refused.to_string())?;
        self.parts.push(Part { flags, place });
        Ok(())
    }

    /// Returns whether there is nothing but the record itself to compare.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Appends the key of a record, which is given without the end of its line.
    ///
    /// # Errors
    ///
    /// The record has none, since it is no JSON object, or one with two fields of a name.
    pub(crate) fn push_key(
        &self,
        record: &[u8],
        key: &mut Vec<u8>,
        spare: &mut Spare,
    ) -> Result<(), Bad> {
        if self.form == Form::Json {
            return self.each_field(record, |flags, value| {
                push_field(value, flags, key, &mut spare.counted);
            });
        }
        let Spare { ranges, counted } = spare;
        self.each_part(record, ranges, |flags, value| {
            push_value(value, flags, key, counted);
        });
        Ok(())
    }

    /// Returns the number of the first part with letters other than `b`, which say how values are
    /// compared.
    pub(crate) fn first_compared(&self) -> Option<usize> {
        self.parts.iter().position(|part| {
            let mut flags = part.flags;
            (flags.skip_blanks, flags.skip_blanks_at_end) = (false, false);
            !flags.is_default()
        })
    }

    /// Passes on the value of each part as text: of a record, the bytes that are compared, whatever
    /// letters other than `b` say.
    ///
    /// # Errors
    ///
    /// Those of [`push_key`](Self::push_key).
    pub(crate) fn values(
        &self,
        record: &[u8],
        spare: &mut Spare,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Bad> {
        if self.form == Form::Json {
            return self.each_field(record, |flags, value| {
                each(skip_blanks(text_of(value).as_bytes(), flags));
            });
        }
        self.each_part(record, &mut spare.ranges, |_flags, value| each(value));
        Ok(())
    }

    fn each_part(
        &self,
        record: &[u8],
        ranges: &mut Vec<Range<usize>>,
        mut each: impl FnMut(Flags, &[u8]),
    ) {
        let tab = match self.form {
            Form::Text(tab) => tab,
            Form::Csv(delimiter) => {
                ranges.clear();
                let mut start = 0;
                let fields = csv::Fields::new(record, delimiter).take(self.columns);
                ranges.extend(fields.map(|field| {
                    let range = start..start + field.len();
                    start = range.end + 1;
                    range
                }));
                None
            }
            Form::Json => None,
        };
        for part in &self.parts {
            match part.place {
                Place::Span(span) => each(part.flags, span.find(record, tab, part.flags)),
                Place::Number(number) => {
                    // A record with too few fields has empty ones.
                    let range = ranges.get(number).cloned().unwrap_or(0..0);
                    let value = csv::value(&record[range]);
                    each(part.flags, skip_blanks(&value, part.flags));
                }
            }
        }
    }

    fn each_field(
        &self,
        record: &[u8],
        mut each: impl FnMut(Flags, &Field<'_>),
    ) -> Result<(), Bad> {
        let mut values = vec![Field::Missing; self.names.len()];
        let mut json = serde_json::Deserializer::from_slice(record);
        json::fields(&mut json, &self.names, &mut values).map_err(|error| Bad::new(&error))?;
        for part in &self.parts {
            let Place::Number(number) = part.place else {
                continue;
            };
            match &values[number] {
                Field::Twice => return Err(Bad::twice(&self.names[number])),
                value => each(part.flags, value),
            }
        }
        Ok(())
    }
}

/// Splits `NAME[:LETTERS]`. What follows the last colon is part of the name unless all of it are
/// letters that mean something; so `a:n:` is the name `a:n`.
fn named(text: &str) -> Result<(&str, Flags), String> {
    if let Some((name, letters)) = text.rsplit_once(':') {
        if letters
            .bytes()
            .all(|letter| b"bdfghiMnrV".contains(&letter))
        {
            let mut flags = Flags::default();
            for letter in letters.bytes() {
                let added = flags.add(letter, At::Both);
                added.map_err(|refused| format!("the key '{text}': {refused}"))?;
            }
            return Ok((name, flags));
        }
    }
    Ok((text, Flags::default()))
}

fn no_column(name: &str, columns: &[Cow<'_, [u8]>]) -> String {
    const SHOWN: usize = 20;
    let names = columns.iter().take(SHOWN);
    let names: Vec<_> = names.map(|name| String::from_utf8_lossy(name)).collect();
    let more = if columns.len() > SHOWN { ", ..." } else { "" };
    format!(
        "the header has no column {name:?}; it has {}{more}",
        names.join(", ")
    )
}

fn skip_blanks(value: &[u8], flags: Flags) -> &[u8] {
    if !flags.skip_blanks {
        return value;
    }
    let blanks = value.iter().take_while(|&&byte| span::is_blank(byte));
    &value[blanks.count()..]
}

/// Appends a value as it is compared.
fn push_value(value: &[u8], flags: Flags, key: &mut Vec<u8>, spare: &mut Vec<u8>) {
    let start = key.len();
    match flags.kind {
        Kind::Bytes => text::push_text(&text::counted(value, flags, spare), key),
        Kind::Number => number::push_number(value, key),
        Kind::General => general::push_general(value, key),
        Kind::Human => number::push_human(&text::counted(value, flags, spare), key),
        Kind::Month => number::push_month(value, key),
        Kind::Version => version::push_version(&text::counted(value, flags, spare), key),
    }
    if flags.reverse {
        number::complement(&mut key[start..]);
    }
}

/// Appends what a field has: its text if letters say how to read it; else what is missing first,
/// then what is false, true, a number, a text, anything else.
fn push_field(value: &Field<'_>, flags: Flags, key: &mut Vec<u8>, spare: &mut Vec<u8>) {
    if flags.kind != Kind::Bytes {
        push_value(
            skip_blanks(text_of(value).as_bytes(), flags),
            flags,
            key,
            spare,
        );
        return;
    }
    let start = key.len();
    let mut push_number = |is_negative, number: Float| {
        key.push(3);
        general::push_float(is_negative, number, key);
    };
    match value {
        Field::Positive(number) => push_number(false, Float::from_whole(*number)),
        Field::Negative(number) => push_number(true, Float::from_whole(number.unsigned_abs())),
        Field::Double(number) => {
            push_number(number.is_sign_negative(), Float::from_double(number.abs()));
        }
        Field::Text(text) => {
            key.push(4);
            let text = skip_blanks(text.as_bytes(), flags);
            text::push_text(&text::counted(text, flags, spare), key);
        }
        Field::Missing | Field::Null => key.push(0),
        Field::Bool(false) => key.push(1),
        Field::Bool(true) => key.push(2),
        Field::Other | Field::Twice => key.push(5),
    }
    if flags.reverse {
        number::complement(&mut key[start..]);
    }
}

/// Returns a value as text.
fn text_of<'a>(value: &'a Field<'_>) -> Cow<'a, str> {
    match value {
        Field::Missing | Field::Null | Field::Other | Field::Twice => Cow::Borrowed(""),
        Field::Bool(true) => Cow::Borrowed("true"),
        Field::Bool(false) => Cow::Borrowed("false"),
        Field::Positive(number) => Cow::Owned(number.to_string()),
        Field::Negative(number) => Cow::Owned(number.to_string()),
        Field::Double(number) => Cow::Owned(number.to_string()),
        Field::Text(text) => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests;
