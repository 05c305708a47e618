//! Copies of many items in two blocks of memory.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Index;

use crate::bug::bug;

/// Copies of byte strings, all in one block of memory; what [`SealedBytesVec`](crate::SealedBytesVec)
/// returns for many items.
///
/// # Examples
///
/// ```
/// use outcore::{BytesVec, ScratchDir, SealedBytesVec};
///
/// # let name = format!("items-example-{}", std::process::id());
/// # let path = ScratchDir::from_env()?.path().join(name);
/// let mut blobs = BytesVec::new();
/// blobs.try_extend(["a", "bc", ""])?;
/// blobs.seal(&path)?;
///
/// let copies = SealedBytesVec::open(&path)?.read(1..)?;
/// assert_eq!((copies.len(), &copies[0]), (2, &b"bc"[..]));
/// assert_eq!(copies, ["bc", ""]);
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), outcore::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ByteStrings {
    bytes: Vec<u8>,
    /// Where each item ends: ascending, the last one at the end of the bytes.
    ends: Vec<usize>,
}

impl ByteStrings {
    /// Makes a list of items that end where `ends` says, which ascends to the number of the bytes.
    pub(super) fn new(bytes: Vec<u8>, ends: Vec<usize>) -> Self {
        debug_assert!(ends.is_sorted() && ends.last().copied().unwrap_or(0) == bytes.len());
        Self { bytes, ends }
    }

    /// Returns the number of items.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns an item, or `None` past the end.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = place_of(&self.ends, index)?;
        self.bytes.get(start..end)
    }

    /// Returns an iterator over the items.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + FusedIterator {
        (0..self.len()).map(|index| &self[index])
    }
}

impl Index<usize> for ByteStrings {
    type Output = [u8];

    #[track_caller]
    fn index(&self, index: usize) -> &[u8] {
        match self.get(index) {
            Some(item) => item,
            None => past_end(index, self.len()),
        }
    }
}

/// Copies of strings, all in one block of memory; what [`SealedStrVec`](crate::SealedStrVec) returns
/// for many strings.
///
/// # Examples
///
/// ```
/// use outcore::{ScratchDir, SealedStrVec, StrVec};
///
/// # let name = format!("strings-example-{}", std::process::id());
/// # let path = ScratchDir::from_env()?.path().join(name);
/// let mut names = StrVec::new();
/// names.try_extend(["Ada", "Alan", "Grace"])?;
/// names.seal(&path)?;
///
/// let copies = SealedStrVec::open(&path)?.gather(&[2, 0])?;
/// assert_eq!(&copies[1], "Ada");
/// assert_eq!(copies, ["Grace", "Ada"]);
/// assert_eq!(copies.iter().map(str::len).sum::<usize>(), 8);
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), outcore::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    /// Where each string ends: ascending, each between two characters, the last one at the end.
    ends: Vec<usize>,
}

impl Strings {
    /// Makes strings of byte strings, if all of them are UTF-8; otherwise returns the place of the
    /// first that is not.
    ///
    /// All are checked at once: they are UTF-8 if the whole is and each ends between two characters.
    pub(super) fn of(items: ByteStrings) -> Result<Self, usize> {
        let ByteStrings { bytes, ends } = items;
        let (text, checked) = match String::from_utf8(bytes) {
            Ok(text) => {
                let checked = text.len();
                (text, checked)
            }
            // What is before it may be cut at a wrong place still.
            Err(error) => {
                let checked = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                bytes.truncate(checked);
                (String::from_utf8(bytes).unwrap_or_default(), checked)
            }
        };
        let is_right = |end: usize| end <= checked && text.is_char_boundary(end);
        match ends.iter().position(|end| !is_right(*end)) {
            Some(wrong) => Err(wrong),
            None => Ok(Self { text, ends }),
        }
    }

    /// Returns the number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there are no strings.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns a string, or `None` past the end.
    pub fn get(&self, index: usize) -> Option<&str> {
        let (start, end) = place_of(&self.ends, index)?;
        let string = self.text.get(start..end);
        Some(string.unwrap_or_else(|| bug!("string {index} is cut within a character")))
    }

    /// Returns an iterator over the strings.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + FusedIterator {
        (0..self.len()).map(|index| &self[index])
    }
}

impl Index<usize> for Strings {
    type Output = str;

    #[track_caller]
    fn index(&self, index: usize) -> &str {
        match self.get(index) {
            Some(string) => string,
            None => past_end(index, self.len()),
        }
    }
}

/// Returns where an item begins and ends.
fn place_of(ends: &[usize], index: usize) -> Option<(usize, usize)> {
    let end = *ends.get(index)?;
    let before = index.checked_sub(1).and_then(|before| ends.get(before));
    Some((before.copied().unwrap_or(0), end))
}

#[cold]
#[track_caller]
fn past_end(index: usize, len: usize) -> ! {
    panic!("index out of bounds: the len is {len} but the index is {index}")
}

macro_rules! lists {
    ($($list:ident of $item:ty),*) => {$(
        impl<S: AsRef<$item>, const N: usize> PartialEq<[S; N]> for $list {
            fn eq(&self, other: &[S; N]) -> bool {
                self.iter().eq(other.iter().map(AsRef::as_ref))
            }
        }

        impl<S: AsRef<$item>> PartialEq<[S]> for $list {
            fn eq(&self, other: &[S]) -> bool {
                self.iter().eq(other.iter().map(AsRef::as_ref))
            }
        }

        impl fmt::Debug for $list {
            /// Formats the items.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self.iter()).finish()
            }
        }
    )*};
}

lists! { ByteStrings of [u8], Strings of str }

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(bytes: &[u8], ends: &[usize]) -> Result<Strings, usize> {
        Strings::of(ByteStrings::new(bytes.to_vec(), ends.to_vec()))
    }

    /// Whole bytes that are UTF-8 say nothing of the items, if these are cut within a character; and
    /// an item may be wrong before the byte at which the whole is.
    #[test]
    fn the_first_item_that_is_not_utf_8_is_named() {
        assert_eq!(
            strings("a\u{e9}b".as_bytes(), &[1, 3, 4]).unwrap(),
            ["a", "\u{e9}", "b"]
        );
        assert_eq!(strings("a\u{e9}b".as_bytes(), &[1, 2, 4]), Err(1));
        assert_eq!(strings("\u{e9}a\u{e9}".as_bytes(), &[2, 4, 5]), Err(1));
        assert_eq!(strings(b"abc\xFFdef", &[3, 4, 7]), Err(1));
        assert_eq!(strings(b"abc\xFFdef", &[3, 3, 7]), Err(2));
        assert_eq!(strings("\u{e9}\u{e9}".as_bytes(), &[1, 4]), Err(0));
        assert_eq!(strings(b"\xC3\xA9\xFF", &[1, 3]), Err(0));
        assert_eq!(strings(b"ab\xC3", &[2, 2, 3]), Err(2));
        assert_eq!(strings(b"", &[]).unwrap().len(), 0);
        assert_eq!(strings(b"", &[0, 0]).unwrap(), ["", ""]);
    }
}
