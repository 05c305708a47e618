//! Files that last: strings and byte strings that are written to a file once, and read from it by any
//! process later.
//!
//! `seal` writes a vector, `bytes` reads one, `text` checks that what it reads is UTF-8, `scan` goes
//! through one, `map` lends its items without a copy, and `items` is what reads return. Where the bytes
//! are in the file is known to the floor of formats.

mod bytes;
mod items;
mod map;
mod scan;
mod seal;
#[cfg(test)]
#[cfg(not(any(miri, memory_backend, loom, shuttle)))]
mod tests;
mod text;

pub use self::bytes::SealedBytesVec;
pub use self::items::{ByteStrings, Strings};
pub use self::map::{SealedBytesMap, SealedStrMap};
pub use self::scan::{ScanBytes, ScanStrings};
pub use self::text::SealedStrVec;
