//! The floor of mappings: reserved addresses, how containers grow into them, and files shown there.
//! It knows bytes and pages, and no element type.

pub(crate) mod addresses;
pub(crate) mod advice;
pub(crate) mod growth;
pub(crate) mod limits;
pub(crate) mod region;
pub(crate) mod view;
