//! From a record to the bytes that are counted, and back to what is written.

use std::borrow::Cow;

use crate::cmd::count::args::CountArgs;
use crate::cmd::count::tally;
use crate::failure::{Failure, Result};
use crate::record::key::Bad;
use crate::record::order::csv;
use crate::record::order::flags::Flags;
use crate::record::order::{Order, Spare};

/// What is counted, and what is added up.
#[derive(Debug)]
pub(crate) struct Keys {
    /// `None` is the record as it is.
    order: Option<Order>,
    sum: Option<Order>,
    is_csv: bool,
    /// What keys are called.
    pub(crate) names: Vec<String>,
}

/// Memory that is used again for each record.
#[derive(Debug, Default)]
pub(crate) struct Made {
    spare: Spare,
    key: Vec<u8>,
    number: Vec<u8>,
}

/// Ends a part of a key, if there are several; no part has it as it is.
const END: [u8; 2] = [0, 0];
const ZERO: [u8; 2] = [0, 1];

impl Keys {
    /// Understands arguments; of CSV, given the header.
    ///
    /// # Errors
    ///
    /// They make no sense, or the header lacks a column.
    pub(crate) fn of(args: &CountArgs, header: Option<&[u8]>) -> Result<Self> {
        let none = Flags::default();
        let tab = args.field_separator;
        let (order, sum) = match header {
            // An empty file has no columns, and no records.
            Some([]) => (None, None),
            Some(header) => {
                let of =
                    |names: &[String]| counted(Order::of_csv(names, none, b',', header), names);
                let keys = (!args.key.is_empty()).then(|| of(&args.key));
                (
                    keys,
                    args.sum.as_ref().map(|name| of(std::slice::from_ref(name))),
                )
            }
            None if !args.field.is_empty() => {
                let of = |names: &[String]| counted(Order::of_json(names, none), names);
                let sum = args.sum.as_ref().map(|name| of(std::slice::from_ref(name)));
                (Some(of(&args.field)), sum)
            }
            None => {
                let of = |keys: &[String]| counted(Order::of_text(keys, none, tab), keys);
                let sum = args.sum.as_ref().map(|key| {
                    let is_number = key.bytes().all(|byte| byte.is_ascii_digit());
                    let key = if is_number {
                        format!("{key},{key}")
                    } else {
                        key.clone()
                    };
                    of(&[key])
                });
                ((!args.key.is_empty()).then(|| of(&args.key)), sum)
            }
        };
        let wrong = |reason: String| match header {
            Some(_) => Failure::new(reason),
            None => Failure::Usage(reason),
        };
        let names = match (args.field.as_slice(), args.key.as_slice()) {
            ([], []) if args.csv => vec!["record".to_owned()],
            ([], []) => vec!["line".to_owned()],
            ([], keys) if args.csv => keys.to_vec(),
            ([], [_]) => vec!["key".to_owned()],
            ([], keys) => (1..=keys.len())
                .map(|number| format!("key{number}"))
                .collect(),
            (fields, _) => fields.to_vec(),
        };
        Ok(Self {
            order: order.transpose().map_err(wrong)?,
            sum: sum.transpose().map_err(wrong)?,
            is_csv: args.csv,
            names,
        })
    }

    /// Returns whether a record has to be in memory as a whole.
    pub(crate) fn needs_whole(&self) -> bool {
        self.order.is_some() || self.sum.is_some()
    }

    /// Returns the key of a record, and its number.
    ///
    /// # Errors
    ///
    /// It has none.
    #[inline]
    pub(crate) fn make<'a>(
        &self,
        record: &'a [u8],
        made: &'a mut Made,
    ) -> Result<(&'a [u8], i128), Bad> {
        let record = if self.is_csv {
            csv::without_end(record)
        } else {
            record
        };
        let mut number = 0;
        if let Some(sum) = &self.sum {
            let text = &mut made.number;
            text.clear();
            sum.values(record, &mut made.spare, |value| {
                text.extend_from_slice(value);
            })?;
            number = tally::parse(text).ok_or_else(|| {
                let text = String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned();
                Bad::known(format!("has nothing that can be added up, but {text:?}"))
            })?;
        }
        let Some(order) = &self.order else {
            return Ok((record, number));
        };
        let key = &mut made.key;
        key.clear();
        let is_single = self.names.len() == 1;
        order.values(record, &mut made.spare, |value| {
            if is_single {
                key.extend_from_slice(value);
            } else {
                push_part(value, key);
            }
        })?;
        Ok((key, number))
    }

    /// Returns the parts of a key.
    pub(crate) fn parts<'k>(&self, key: &'k [u8]) -> Vec<Cow<'k, [u8]>> {
        if self.names.len() == 1 {
            return vec![Cow::Borrowed(key)];
        }
        parts(key)
    }
}

/// Refuses letters that say how keys are compared, since equal bytes are what is counted.
fn counted(order: Result<Order, String>, keys: &[String]) -> Result<Order, String> {
    let order = order?;
    match order.first_compared().and_then(|number| keys.get(number)) {
        None => Ok(order),
        Some(key) => Err(format!(
            "the key '{key}': count compares bytes, and b is the only letter it takes"
        )),
    }
}

/// Appends a part of a key, so that the order of keys is that of their parts.
fn push_part(part: &[u8], key: &mut Vec<u8>) {
    for &byte in part {
        if byte == 0 {
            key.extend_from_slice(&ZERO);
        } else {
            key.push(byte);
        }
    }
    key.extend_from_slice(&END);
}

fn parts(key: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = key.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            0 if bytes.next() == Some(&0) => parts.push(Cow::Owned(std::mem::take(&mut part))),
            _ => part.push(byte),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_several_parts_come_back_and_are_in_the_order_of_their_parts() {
        let all: Vec<[&[u8]; 2]> = vec![
            [b"", b""],
            [b"", b"\0"],
            [b"", b"a"],
            [b"\0", b""],
            [b"\0\0", b"b"],
            [b"\0\x01", b"\0"],
            [b"\x01", b""],
            [b"a", b"\xff"],
            [b"a\0", b""],
            [b"ab", b""],
        ];
        let encode = |parts: &[&[u8]; 2]| {
            let mut key = Vec::new();
            for part in parts {
                push_part(part, &mut key);
            }
            key
        };
        let keys: Vec<_> = all.iter().map(encode).collect();
        assert!(keys.is_sorted());
        for (key, expected) in keys.iter().zip(&all) {
            assert!(
                parts(key)
                    .iter()
                    .map(AsRef::as_ref)
                    .eq(expected.iter().copied())
            );
        }
    }
}
