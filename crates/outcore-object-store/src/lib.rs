//! Sealed files of [`outcore`] read from S3 and other object stores, through the crate [`object_store`].
//!
//! [`Store::object`] is what `open_from` of a sealed type takes: `SealedVec`, `SealedStrVec`,
//! `SealedBytesVec`, `Arena`, `SealedFile`. Opening takes one request, for the end of the object. Reads of
//! many elements or items ask for many ranges: those that are close together become one request, and up to
//! 16 requests are under way at a time. The sealed type verifies each block, whenever it is read.
//!
//! A [cache](Store::with_cache) keeps what was read in scratch files of a directory, up to a limit.
//!
//! # Examples
//!
//! ```
//! use object_store::memory::InMemory; // or aws::AmazonS3Builder, and others
//! use outcore::{SealedStrVec, StrVec};
//! use outcore_object_store::{Store, object_store};
//!
//! let path = std::env::temp_dir().join(format!("names-{}", std::process::id()));
//! let mut names = StrVec::new();
//! names.try_extend((0..100_000).map(|n| format!("name {n}")))?;
//! names.seal_replacing(&path)?;
//!
//! let store = Store::new(InMemory::new())?;
//! store.upload(&path, "names")?;
//! let names = SealedStrVec::open_from(store.object("names"))?;
//! assert_eq!(names.get(4711)?, "name 4711");
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When requests fail
//!
//! A request that is refused for a reason that may pass (throttling, a reset, an answer that is too short)
//! is made again, by default three times, with a pause that doubles from 100 ms: see [`Options::retries`].
//! What does not pass, and the last refusal, is the error of the read. Its kind is
//! [`Io`](outcore::ErrorKind::Io), it names the object, and `std::io::Error::from` returns:
//!
//! | kind of `std::io::Error` | |
//! |---|---|
//! | `NotFound` | there is no such object |
//! | `PermissionDenied` | the store says so, or the process is a forked child |
//! | `StaleNetworkFileHandle` | the object was replaced since it was opened: open it again |
//! | `UnexpectedEof`, `InvalidData` | each answer was too short, or too long |
//! | `ConnectionReset`, `ConnectionRefused`, `TimedOut` and the like | what happened to the connection |
//! | `Other` | throttled, and all else |
//!
//! All requests ask for the object that was opened, by its entity tag, and answers about another are
//! refused. Stores without tags are asked when the object was changed. Bytes that were changed on the way
//! do not match their checksum: that error is [`Corrupt`](outcore::ErrorKind::Corrupt), and names the block.
//! No cache keeps them: a later read asks the store again.
//!
//! # Threads
//!
//! Reads block the calling thread. In an asynchronous program, make them on a thread that may block, such
//! as that of tokio's `spawn_blocking`.
//!
//! # Features
//!
//! `aws`: the client of `object_store` for S3.

mod cache;
mod fetch;
mod object;
mod options;
mod pieces;
mod plan;
mod store;
mod upload;
mod worker;

pub use crate::object::Object;
pub use crate::options::Options;
pub use crate::store::Store;

// The version whose stores this crate takes.
pub use object_store;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
