//! The part of the other tests' support that is independent of them.

#[path = "../it/support/libc.rs"]
pub(crate) mod libc;
#[path = "../it/support/process.rs"]
pub(crate) mod process;
#[path = "../it/support/random.rs"]
pub(crate) mod random;
#[path = "../it/support/system.rs"]
mod system;
#[path = "../it/support/tally.rs"]
pub(crate) mod tally;
#[path = "../it/support/tmpfs.rs"]
pub(crate) mod tmpfs;
#[cfg(feature = "allocator-api2")]
#[path = "../it/support/traces.rs"]
pub(crate) mod traces;

pub(crate) use self::system::{new_dir, skipped, test_name};
