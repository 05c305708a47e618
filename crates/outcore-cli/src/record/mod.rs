//! Records: bytes of the input up to a separator, or whole files; and their keys.

pub(crate) mod blocks;
pub(crate) mod chunk;
pub(crate) mod csv_source;
pub(crate) mod fate;
mod json;
pub(crate) mod key;
pub(crate) mod long;
pub(crate) mod order;
pub(crate) mod source;
