//! The floor of composites: types that are built on containers. No composite names another.

#[cfg(feature = "sealed")]
pub(crate) mod sealed;
#[cfg(feature = "serde")]
pub(crate) mod spool;
pub(crate) mod strings;
