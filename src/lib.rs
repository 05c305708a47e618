//! Containers for data that is larger than RAM.
//!
//! What they hold is in files, and the process stays small. For programs that hold one collection
//! too many to fit into memory: loaders, indexers, sorters, graph and text processing. Nothing here
//! outlives the process but what a [`RangeFile`] publishes, so this is no database; and what fits
//! into memory is faster in std.
//!
//! | what you have | what to reach for |
//! |---|---|
//! | many byte strings, read back by a small handle | [`Arena`], [`ArenaWriter`], [`Location`] |
//! | a `Vec<T>` that no longer fits | [`DiskVec`] |
//! | collections that take an allocator: `hashbrown`, `allocator_api2` | [`DiskAlloc`] |
//! | a program whose large blocks should leave memory by themselves | [`SpillAlloc`] |
//! | one file that many threads write at once | [`RangeFile`], [`FileRangeMut`], [`FileRange`] |
//! | a say in where the bytes live, and in how many | [`ScratchDir`] |
//!
//! # Examples
//!
//! A list of texts on disk, and an index on disk that sorts them by their length:
//!
//! ```
//! use outcore::{Arena, DiskVec, Location};
//!
//! let arena = Arena::new()?;
//! let mut writer = arena.writer()?;
//! let mut index: DiskVec<Location> = DiskVec::new();
//! for n in 0..10_000_u32 {
//!     let text = "ab".repeat((n % 100) as usize);
//!     index.push(writer.push(format!("{n}: {text}"))?)?;
//! }
//! writer.finish()?;
//!
//! index.sort_unstable_by_key(|location| location.len());
//! let mut text = String::new();
//! arena.get_str_into(index[0], &mut text)?;
//! assert_eq!(text, "0: ");
//! # Ok::<(), outcore::Error>(())
//! ```
//!
//! # Where the bytes live
//!
//! In unnamed files of a [`ScratchDir`]. [`ScratchDir::from_env`] finds one: `$OUTCORE_DIR`, else
//! `$TMPDIR`, else `/var/tmp`, the user's cache directory or the current directory. A directory on
//! a tmpfs or ramfs is refused, since what is written there takes the memory that it was meant to
//! save. A [builder](ScratchDir::builder) sets a quota for everything in the directory together,
//! and how much of the disk has to stay free; a [report](ScratchDir::report) says what the
//! directory is on.
//!
//! Since files have no name, nothing is seen in the directory, and nothing is left behind by
//! `SIGKILL` or a power cut. The bytes are not encrypted, and giving them back does not erase them.
//! Other processes of the same user can open the files under `/proc`, as they could read the memory
//! of this one.
//!
//! # What takes memory
//!
//! * An [`ArenaWriter`]: a buffer of 256 KiB. An [`Arena`]: 16 to 32 bytes for each MiB on disk,
//!   and 4 KiB for each file at least. A [`Location`]: 12 bytes, wherever it is kept.
//! * [`Arena::get_many`], while it runs: up to 16 MiB, or the longest item.
//! * A [`DiskVec`]: its last elements, an eighth of it, but 64 KiB at least and 1 MiB at most.
//! * A [`RangeFile`]: a few words for each stretch of it that was given back or is written.
//! * A [`DiskAlloc`]: 8 KiB, 24 bytes for each 64 KiB of blocks up to 1 MiB, and up to 4 KiB for
//!   each larger one.
//! * Pages of files that are in use, as long as the kernel has room for them. They are the
//!   kernel's, so it drops them when memory gets short; where memory is limited by a control group,
//!   they count there until then. [`DiskVec::evict`] and [`DiskVec::scan`] let go of them earlier.
//!
//! Addresses are reserved by the TiB and take no memory. Tools show them as virtual size.
//!
//! # What can fail
//!
//! Space on disk is claimed before it is used. So a full disk, a quota or a limit of file size is
//! an [`Error`], of the [kind](ErrorKind) [`StorageFull`](ErrorKind::StorageFull) or
//! [`FileTooLarge`](ErrorKind::FileTooLarge), and not a signal. The container holds what it held
//! before, and goes on when there is space again. Every method says in which state its errors leave
//! things. Collections in a [`DiskAlloc`] report it by their `try_reserve` only; other methods call
//! the handler for failed allocations, which ends the process.
//!
//! What can still kill a process that uses this crate:
//!
//! * A device that cannot deliver a page of a mapped file, by `SIGBUS` when the page is touched. A
//!   [`DiskVec`], an [`ArenaMap`], ranges of a [`RangeFile`] and blocks of a [`DiskAlloc`] are mapped. [`Arena::get`] and its
//!   kin read by system calls, so there it is an error.
//! * The same signal on file systems where claimed space need not be there later: those that copy
//!   on write (btrfs, ZFS, bcachefs), when they are full. On btrfs, files in a directory with
//!   `chattr +C` are written in place, and a claim holds. On XFS it holds always.
//! * The same signal after something else has made a copy of a file with a name that shares its
//!   blocks (`cp --reflink`, which is what `cp` and `fs::copy` do on XFS and btrfs), on a disk that is
//!   full: see [`RangeFile::open`]. Files without a name cannot be copied so.
//! * The kernel, when the memory that is not in files does not fit.
//!
//! # Fork
//!
//! What is made before a `fork` belongs to the parent. In the child, calls that would change a file
//! return [`Forked`](ErrorKind::Forked), and what is mapped is not inherited: the child must not
//! touch elements of a [`DiskVec`], ranges of a [`RangeFile`] or blocks of an allocator, or it is
//! killed by `SIGSEGV` or finds there what it has mapped itself. [`Arena::get`] and
//! [`ArenaMap::get`] work. A child that calls `exec`, as [`Command`](std::process::Command) does,
//! notices nothing. Of big blocks of a [`SpillAlloc`] a child finds
//! nothing, and goes on with the inner allocator.
//!
//! # Network file systems
//!
//! Less is promised there; [`ScratchReport::network`] tells. The file may have a name that the
//! server made up, which a crash leaves behind, and a server that cannot be reached is a device
//! that fails.
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `allocator-api2` | yes | [`DiskAlloc`], by the trait of `allocator-api2` 0.2 |
//! | `io-uring` | yes | batches of reads by `io_uring`, where the system lets us; threads otherwise |
//! | `nightly` | no | [`DiskAlloc`] by std's unstable trait; needs a nightly compiler |
//! | `serde` | no | `Serialize` and `Deserialize` for [`DiskVec`], [`Location`], [`Written`] |
//! | `bytemuck` | no | `Pod` and `Zeroable` for [`Location`] |
//!
//! # Platforms
//!
//! Linux; on other systems the crate does not compile. Rust 1.85 or newer.

#![cfg_attr(feature = "nightly", feature(allocator_api))]
#![cfg_attr(all(test, feature = "nightly"), feature(btreemap_alloc))]
#![cfg_attr(
    test,
    expect(
        clippy::arithmetic_side_effects,
        reason = "a panic in a test is a failed test"
    )
)]

mod bug;
mod containers;
mod error;
mod heap;
mod io;
mod mapping;
mod read;
mod sync;
mod sys;
#[cfg(test)]
mod testing;

#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
pub use crate::containers::alloc::DiskAlloc;
pub use crate::containers::arena::{
    Arena, ArenaMap, ArenaStream, ArenaWriter, FinishError, Location,
};
pub use crate::containers::range_file::{
    FileRange, FileRangeMut, PublishError, RangeFile, Written,
};
pub use crate::containers::spill::SpillAlloc;
pub use crate::containers::vec::DiskVec;
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::io::dir::{ScratchDir, ScratchDirBuilder, ScratchReport};
pub use crate::io::stats::{Stats, stats};
pub use crate::mapping::advice::Advice;
pub use crate::read::ReadOptions;

/// Byte strings on disk, read back by a handle: [`Arena`] and its helper types.
pub mod arena {
    pub use crate::containers::arena::{
        Arena, ArenaMap, ArenaStream, ArenaWriter, FinishError, Location,
    };
}

/// A vector on disk: [`DiskVec`] and its iterators.
pub mod vec {
    pub use crate::containers::vec::{DiskVec, Drain, IntoIter, Scan};
}

/// One file that many threads fill: [`RangeFile`], its ranges, and rounding to their alignment.
pub mod range_file {
    pub use crate::containers::range_file::{
        ALIGNMENT, FileRange, FileRangeMut, PublishError, RangeFile, Written, align_down, align_up,
    };
}

/// Allocators whose memory is a file: [`DiskAlloc`] for collections, [`SpillAlloc`] for programs.
pub mod alloc {
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub use crate::containers::alloc::DiskAlloc;
    pub use crate::containers::spill::SpillAlloc;
}

/// Where scratch files live, and how many bytes they may have: [`ScratchDir`] and its builder.
pub mod scratch {
    pub use crate::io::dir::{ScratchDir, ScratchDirBuilder, ScratchReport};
}

#[cfg(doctest)]
#[doc = include_str!("../docs/coming-from.md")]
struct ComingFrom;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
