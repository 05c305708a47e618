//! Files that last: vectors that are written to a file once, and read from it by any process later.
//!
//! `seal` writes a vector, `vec` reads one, `scan` goes through it, `map` lends it as a slice, and
//! `file` is for sealed files of any kind. What such a file is, byte for byte, is known to the floor
//! of formats.

mod file;
#[cfg(feature = "bytemuck")]
mod map;
#[cfg(feature = "bytemuck")]
mod scan;
#[cfg(feature = "bytemuck")]
mod seal;
#[cfg(feature = "bytemuck")]
mod types;
#[cfg(feature = "bytemuck")]
mod vec;

pub use self::file::{Kind, SealedFile};
#[cfg(feature = "bytemuck")]
pub use self::map::SealedMap;
#[cfg(feature = "bytemuck")]
pub use self::scan::Scan;
#[cfg(feature = "bytemuck")]
pub use self::vec::SealedVec;
