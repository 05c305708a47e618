//! The contract of [`super`] on the heap, for `AddressSanitizer`, valgrind and Miri.
//!
//! A file is a vector of bytes; a space is one zeroed block. A window that shows a file is a copy
//! that is kept equal in both directions.

mod file;
mod names;
mod space;

pub(crate) use self::file::File;
pub(crate) use self::names::{Dir, unguessable_name};
pub(crate) use self::space::Space;

/// Returns the page size that this implementation pretends to have.
pub(crate) fn page_size() -> usize {
    4096
}

/// Returns `None`: heap files may be of any length.
pub(crate) fn file_size_limit() -> Option<u64> {
    None
}

/// Returns the value of a variable, as far as `value` has room.
pub(crate) fn initial_variable<'a>(name: &[u8], value: &'a mut [u8]) -> Option<&'a [u8]> {
    let found = std::env::var(std::str::from_utf8(name).ok()?).ok()?;
    let value = value.get_mut(..found.len())?;
    value.copy_from_slice(found.as_bytes());
    Some(value)
}

/// There is no such limit here.
pub(crate) fn open_file_limit() -> Option<u64> {
    None
}

pub(crate) fn is_out_of_files(_answer: &std::io::Error) -> bool {
    false
}

/// There is no such limit here.
pub(crate) fn reached_mapping_limit() -> Option<u64> {
    None
}

/// Returns `None`: heap blocks may be anywhere.
pub(crate) fn address_limit() -> Option<u64> {
    None
}

/// Returns the number of this process.
pub(crate) fn process() -> u64 {
    u64::from(std::process::id())
}
