//! From a record to its key: which of its bytes count, and their hash.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;

use xxhash_rust::xxh3::{Xxh3, xxh3_128_with_seed};

use crate::record::json;
use crate::record::json::Field;

/// What stands for a record: 128 bits of which each is as good as random.
///
/// Two words rather than a `u128`, which compilers move through memory in halves and
/// read back whole: that stalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) high: u64,
    pub(crate) low: u64,
}

impl Key {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves of the number"
    )]
    pub(crate) fn new(bits: u128) -> Self {
        Self {
            // The highest value marks free slots; its keys join the ones below.
            high: ((bits >> 64) as u64).min(u64::MAX - 1),
            low: bits as u64,
        }
    }
}

/// How records are compared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) ignore_case: bool,
    pub(crate) trim: bool,
    /// Of JSON objects, the field that counts.
    pub(crate) field: Option<String>,
}

/// Makes keys.
#[derive(Clone, Debug)]
pub(crate) struct Keyer {
    rules: Rules,
    /// Random, so that no input can be written to be slow or wrong on purpose.
    seed: u64,
    plain: bool,
}

/// Why a record has no key.
#[derive(Debug)]
pub(crate) struct Bad {
    reason: String,
    /// Whether it may be left out where bad records are: it was looked at.
    pub(crate) is_known: bool,
}

impl Bad {
    /// Describes a record that is no JSON object.
    pub(crate) fn new(error: &serde_json::Error) -> Self {
        if error.is_data() {
            return Self::known("is not a JSON object".to_owned());
        }
        // A record is one line, so serde's number of the line means nothing.
        let (line, column) = (error.line(), error.column());
        let reason = error.to_string();
        let place = format!(" at line {line} column {column}");
        let reason = reason.strip_suffix(&place).unwrap_or(&reason);
        Self::known(format!("is not JSON: {reason} at byte {column}"))
    }

    /// Describes a record with two values under one name.
    pub(crate) fn twice(name: &str) -> Self {
        Self::known(format!("has the field {name:?} twice"))
    }

    /// Describes a record that was looked at.
    pub(crate) fn known(reason: String) -> Self {
        Self {
            reason,
            is_known: true,
        }
    }

    /// Describes a record that was not looked at.
    pub(crate) fn unknown(reason: String) -> Self {
        Self {
            reason,
            is_known: false,
        }
    }
}

/// Completes a sentence about the line.
impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Keyer {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            plain: !rules.ignore_case && !rules.trim && rules.field.is_none(),
            rules,
            seed: RandomState::new().hash_one(0),
        }
    }

    /// Returns whether the bytes count as they are, so that [`plain`](Self::plain) will do.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Returns whether a record has to be in memory as a whole.
    pub(crate) fn needs_whole(&self) -> bool {
        self.rules.field.is_some()
    }

    /// Returns the key of a record all of whose bytes count.
    #[inline]
    pub(crate) fn plain(&self, record: &[u8]) -> Key {
        Key::new(xxh3_128_with_seed(record, self.seed))
    }

    /// Returns the key of a record, given without its separator.
    ///
    /// # Errors
    ///
    /// It is no JSON object with the field.
    pub(crate) fn key(&self, record: &[u8], spare: &mut Vec<u8>) -> Result<Key, Bad> {
        Ok(self.plain(&self.compared(record, spare)?))
    }

    /// Returns the bytes of a record that are compared.
    ///
    /// # Errors
    ///
    /// It is no JSON object with the field.
    pub(crate) fn compared<'a>(
        &self,
        record: &'a [u8],
        spare: &'a mut Vec<u8>,
    ) -> Result<Cow<'a, [u8]>, Bad> {
        let bytes = match &self.rules.field {
            Some(field) => {
                let mut json = serde_json::Deserializer::from_slice(record);
                let mut value = [Field::Missing];
                json::fields(&mut json, &[field], &mut value).map_err(|error| Bad::new(&error))?;
                let [value] = value;
                match text(value, field)? {
                    Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                    Cow::Owned(text) => Cow::Owned(text.into_bytes()),
                }
            }
            None => Cow::Borrowed(record),
        };
        Ok(self.simplified(bytes, spare))
    }

    /// Returns bytes without what does not count.
    fn simplified<'a>(&self, mut bytes: Cow<'a, [u8]>, spare: &'a mut Vec<u8>) -> Cow<'a, [u8]> {
        if self.rules.trim {
            bytes = match bytes {
                Cow::Borrowed(bytes) => Cow::Borrowed(bytes.trim_ascii()),
                Cow::Owned(bytes) => Cow::Owned(bytes.trim_ascii().to_vec()),
            };
        }
        if self.rules.ignore_case {
            spare.clear();
            fold(&bytes, spare);
            return Cow::Borrowed(spare);
        }
        bytes
    }

    /// Returns the key of a JSON object that is read as it comes. Of its bytes, only names and the
    /// field are ever in memory.
    ///
    /// # Errors
    ///
    /// It cannot be read; or, inside, it is no JSON object with the field.
    pub(crate) fn key_of_json(&self, json: impl io::Read) -> io::Result<Result<Key, Bad>> {
        let name = self.rules.field.as_deref().unwrap_or_default();
        let mut json = serde_json::Deserializer::from_reader(json);
        let mut value = [Field::Missing];
        match json::fields(&mut json, &[name], &mut value) {
            Ok(()) => {
                let [value] = value;
                Ok(text(value, name).map(|text| {
                    let mut spare = Vec::new();
                    let text = Cow::Owned(text.into_owned().into_bytes());
                    self.plain(&self.simplified(text, &mut spare))
                }))
            }
            Err(error) if error.is_io() => Err(error.into()),
            Err(error) => Ok(Err(Bad::new(&error))),
        }
    }

    /// Starts a key for a record that comes in pieces.
    pub(crate) fn stream(&self) -> KeyStream {
        KeyStream {
            hash: Xxh3::with_seed(self.seed),
            fold: self.rules.ignore_case,
            folded: Vec::new(),
            carry: Vec::new(),
        }
    }

    /// Returns whether space at both ends does not count.
    pub(crate) fn trims(&self) -> bool {
        self.rules.trim
    }
}

/// Returns the text of a field.
fn text<'a>(value: Field<'a>, name: &str) -> Result<Cow<'a, str>, Bad> {
    match value {
        Field::Text(text) => Ok(text),
        Field::Missing => Err(Bad::known(format!("has no field {name:?}"))),
        Field::Twice => Err(Bad::twice(name)),
        _ => Err(Bad::known(format!("has a field {name:?} that is not text"))),
    }
}

/// Computes a key from pieces. It is that of the same bytes in one piece, but for what
/// [`Keyer::trims`] takes off.
pub(crate) struct KeyStream {
    hash: Xxh3,
    fold: bool,
    folded: Vec<u8>,
    /// The begin of a character whose end is still to come.
    carry: Vec<u8>,
}

impl KeyStream {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if !self.fold {
            self.hash.update(bytes);
            return;
        }
        self.carry.extend_from_slice(bytes);
        let whole = whole_characters(&self.carry);
        self.folded.clear();
        fold(&self.carry[..whole], &mut self.folded);
        self.hash.update(&self.folded);
        self.carry.drain(..whole);
    }

    pub(crate) fn finish(mut self) -> Key {
        self.folded.clear();
        fold(&self.carry, &mut self.folded);
        self.hash.update(&self.folded);
        Key::new(self.hash.digest128())
    }
}

/// Appends `bytes` with all letters small. What is no UTF-8 stays as it is.
fn fold(bytes: &[u8], folded: &mut Vec<u8>) {
    if bytes.is_ascii() {
        folded.extend(bytes.iter().map(u8::to_ascii_lowercase));
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars().flat_map(char::to_lowercase) {
            folded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        folded.extend_from_slice(chunk.invalid());
    }
}

/// Returns up to where `bytes` can be cut without cutting a character.
fn whole_characters(bytes: &[u8]) -> usize {
    let len = bytes.len();
    // A character has at most four bytes, the first of which says how many.
    for back in 1..=len.min(3) {
        let needed = match bytes[len - back] {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            0x80..=0xbf => continue,
            _ => return len,
        };
        return if back < needed { len - back } else { len };
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyer(rules: Rules) -> Keyer {
        Keyer::new(rules)
    }

    fn equal(keyer: &Keyer, a: &str, b: &str) -> bool {
        let mut spare = Vec::new();
        let a = keyer.key(a.as_bytes(), &mut spare).unwrap();
        a == keyer.key(b.as_bytes(), &mut spare).unwrap()
    }

    #[test]
    fn records_are_compared_as_asked() {
        let plain = keyer(Rules::default());
        assert!(equal(&plain, "a", "a"));
        assert!(!equal(&plain, "a", "A"));
        assert!(!equal(&plain, "a", " a"));
        let fold = keyer(Rules {
            ignore_case: true,
            ..Rules::default()
        });
        assert!(equal(&fold, "Abc", "aBC"));
        assert!(equal(&fold, "\u{c4}rger", "\u{e4}RGER"));
        assert!(!equal(&fold, "a", " a"));
        let both = keyer(Rules {
            ignore_case: true,
            trim: true,
            field: None,
        });
        assert!(equal(&both, "\t A b\r", "a B"));
        assert!(!equal(&both, "ab", "a b"));
        let field = keyer(Rules {
            field: Some("id".to_owned()),
            trim: true,
            ignore_case: true,
        });
        assert!(equal(
            &field,
            r#"{"id":" X1","n":1}"#,
            r#"{"n":[{"id":3}],"id":"x\u0031"}"#
        ));
        assert!(!equal(&field, r#"{"id":"a"}"#, r#"{"id":"b"}"#));
    }

    #[test]
    fn what_has_no_such_field_is_bad() {
        let field = keyer(Rules {
            field: Some("id".to_owned()),
            ..Rules::default()
        });
        for record in [
            "",
            "{",
            "[]",
            "null",
            r#"{"id":1}"#,
            r#"{"ID":"a"}"#,
            r#"{"id":"a"} x"#,
            r#"{"x":{"id":"a"}}"#,
            r#"{"id":"a","id":"b"}"#,
            "{\"id\":\"\u{0}\"}",
        ] {
            let bad = field.key(record.as_bytes(), &mut Vec::new());
            assert!(bad.is_err(), "{record}");
        }
    }

    #[test]
    fn pieces_have_the_key_of_the_whole() {
        let text = "\u{c4}\u{20ac}\u{1f600} abc XYZ \u{130}\u{df}".repeat(40);
        let mut bytes = text.into_bytes();
        bytes.extend([0xff, 0xc3, 0xe2, 0x82, b'A', 0xf0, 0x9f]);
        for ignore_case in [false, true] {
            let keyer = keyer(Rules {
                ignore_case,
                ..Rules::default()
            });
            let whole = keyer.key(&bytes, &mut Vec::new()).unwrap();
            for len in [1, 2, 3, 5, 64, 1000, 10_000] {
                let mut stream = keyer.stream();
                bytes.chunks(len).for_each(|piece| stream.update(piece));
                assert_eq!(stream.finish(), whole, "pieces of {len}");
            }
        }
    }
}
