//! The floor of containers. Each is built on the floors below; no container names another.

#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
pub(crate) mod alloc;
pub(crate) mod arena;
pub(crate) mod range_file;
pub(crate) mod spill;
pub(crate) mod vec;
