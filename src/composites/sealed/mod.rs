//! Files that last: vectors that are written to a file once, and read from it by any process later.
//!
//! `seal` writes a vector, `vec` reads one, `scan` goes through it, `map` lends it as a slice, and
//! `file` is for sealed files of any kind. What such a file is, byte for byte, is known to the floor
//! of formats.

mod file;
mod map;
mod scan;
mod seal;
mod types;
mod vec;

pub use self::file::{Kind, SealedFile};
pub use self::map::SealedMap;
pub use self::scan::Scan;
pub use self::vec::SealedVec;
