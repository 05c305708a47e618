//! The floor of composites: types that are built on containers. No composite names another.

pub(crate) mod strings;
