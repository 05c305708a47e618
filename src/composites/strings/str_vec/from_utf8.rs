//! Byte strings that become strings, if all of them are UTF-8.

use std::fmt;
use std::str;

use crate::composites::strings::bytes_vec::BytesVec;
use crate::composites::strings::str_vec::StrVec;
use crate::error::{Error, ErrorKind, Result};

impl StrVec {
    /// Makes a vector of strings of one of byte strings, in place, if all of them are UTF-8.
    ///
    /// # Errors
    ///
    /// [`FromUtf8Error`], which has the vector and the index of the first item that is not UTF-8.
    ///
    /// # Cost
    ///
    /// Reads all items once.
    #[expect(
        clippy::result_large_err,
        reason = "it gives the vector back, as String::from_utf8 does"
    )]
    pub fn from_utf8(items: BytesVec) -> Result<Self, FromUtf8Error> {
        let mut texts = items.scan().map(str::from_utf8).enumerate();
        let invalid = texts.find_map(|(index, text)| Some((index, text.err()?)));
        drop(texts);
        match invalid {
            Some((index, error)) => Err(FromUtf8Error {
                items,
                index,
                error,
            }),
            None => Ok(Self { items }),
        }
    }
}

/// What [`StrVec::from_utf8`] returns for a vector with an item that is not UTF-8: the vector, and
/// which item it was.
#[derive(Debug)]
pub struct FromUtf8Error {
    items: BytesVec,
    index: usize,
    error: str::Utf8Error,
}

impl FromUtf8Error {
    /// Returns the vector as it was.
    pub fn into_bytes_vec(self) -> BytesVec {
        self.items
    }

    /// Returns the index of the first item that is not UTF-8.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns where that item stops being UTF-8.
    pub fn utf8_error(&self) -> str::Utf8Error {
        self.error
    }
}

impl fmt::Display for FromUtf8Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use item {} as text: {}", self.index, self.error)
    }
}

impl std::error::Error for FromUtf8Error {}

impl From<FromUtf8Error> for Error {
    /// Drops the vector.
    fn from(error: FromUtf8Error) -> Self {
        let reason = format!("item {}: {}", error.index, error.error);
        Self::refused(ErrorKind::InvalidUtf8, "use byte strings as text", reason)
    }
}
