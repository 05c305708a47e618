//! Byte strings and strings by index: all bytes in one vector, and where each item ends in another.
//!
//! ```text
//!   bytes:    G r a c e A d a
//!             |         |     |
//!   offsets:  0         5 5   8      items: "Grace", "", "Ada"
//! ```
//!
//! `bytes_vec` has the vector itself, which knows bytes only, `grow` what adds many items, `read` what
//! is for items that are not in memory, `iter` and `traits` what std's traits ask for. `str_vec` has
//! the vector whose items are UTF-8, which is checked on the way in. `sealed` has the files in which
//! both last.

mod bytes_vec;
#[cfg(test)]
mod faults;
mod grow;
mod iter;
mod read;
#[cfg(feature = "sealed")]
mod sealed;
#[cfg(feature = "serde")]
mod serde;
mod str_vec;
mod traits;

pub use self::bytes_vec::BytesVec;
pub use self::iter::{Iter, Scan};
#[cfg(feature = "sealed")]
pub use self::sealed::{
    ByteStrings, ScanBytes, ScanStrings, SealedBytesMap, SealedBytesVec, SealedStrMap,
    SealedStrVec, Strings,
};
pub(crate) use self::str_vec::text;
pub use self::str_vec::{FromUtf8Error, StrIter, StrScan, StrVec};
