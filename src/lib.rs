//! Containers for data that is larger than RAM.
//!
//! Their contents are in files, so the process stays small. They are for programs that run out of
//! memory: loaders, indexers, graph and text processing. Only what is sealed, and files that a
//! [`RangeFile`] or an [`AtomicFile`] publishes, outlive the process, so this is no database. Data
//! that fit into memory are faster in std.
//!
//! | what you have | what to use |
//! |---|---|
//! | many byte strings, read back by a small handle | [`Arena`], [`ArenaWriter`], [`Location`] |
//! | a `Vec<T>` that no longer fits | [`DiskVec`] |
//! | a `Vec<String>` or `Vec<Vec<u8>>` that no longer fits | [`StrVec`], [`BytesVec`] |
//! | values of any type that serde knows, written once and read in order | [`Spool`], feature `serde` |
//! | data to be sorted, grouped or shuffled in little memory | [`external`], [`MemoryBudget`] |
//! | collections that take an allocator: `hashbrown`, `allocator_api2` | [`DiskAlloc`] |
//! | a program with a few huge std collections, but not trees of small nodes | [`SpillAlloc`] |
//! | one file that many threads write at once | [`RangeFile`], [`FileRangeMut`], [`FileRange`] |
//! | a vector that later processes read again (feature `bytemuck`) | `DiskVec::seal`, `SealedVec` |
//! | byte strings that later processes read again (feature `sealed`) | `Arena::seal`, `Arena::open` |
//! | strings that later processes read again (feature `sealed`) | `StrVec::seal`, `SealedStrVec` |
//! | control over location and quota | [`ScratchDir`] |
//!
//! # Examples
//!
//! Texts on disk, an index of them on disk, and a look-up of many texts in two calls:
//!
//! ```
//! use outcore::{Arena, DiskVec};
//!
//! let arena = Arena::new()?;
//! let mut writer = arena.writer()?;
//! let mut index = DiskVec::new();
//! for n in 0..10_000 {
//!     index.push(writer.push(format!("text {n}"))?)?;
//! }
//! writer.finish()?;
//!
//! let wanted = [9_999, 5, 4_711];
//! let locations = index.gather(&wanted)?;
//! arena.get_many(&locations, |at, text| {
//!     assert_eq!(text, format!("text {}", wanted[at]).as_bytes());
//! })?;
//! # Ok::<(), outcore::Error>(())
//! ```
//!
//! # Larger than memory
//!
//! Accessing a page that is not in memory costs a read of the device. Read many items in one call,
//! and go through data in order:
//!
//! | job, memory limit | do | don't |
//! |---|---|---|
//! | read at random, 20 M strings in 128 MiB | [`StrVec::get_many`], or [`DiskVec::gather`] and [`Arena::get_many`]: 1.1 and 1.4 us each | `arena.get_into(vec[i])` in a loop: 4.2 ms each |
//! | index at random anyway | [`DiskVec::advise`] with [`Advice::Random`] first: 75 us each | leave the read-ahead on |
//! | sort 1 GiB of `u64` in 128 MiB | [`DiskVec::sort_external`]: 7.7 s | `sort_unstable`: 27 s |
//! | count 20 M numbers in 64 MiB | [`external::Aggregator`]: 0.1 us each | one map over [`DiskAlloc`]: 10 us each and rising |
//!
//! `examples/past_memory.rs` has both versions of each job; `docs/records/past-memory-2026-11.md`
//! has the figures and how they were measured. The pages of the types say more.
//!
//! # Location of the files
//!
//! The bytes are in unnamed files of a [`ScratchDir`]. [`ScratchDir::from_env`] finds one:
//! `$OUTCORE_DIR`, else `$TMPDIR`, else `/var/tmp`, the user's cache directory or the current
//! directory. A directory on a tmpfs or ramfs is refused, since files there take the memory that
//! they should save. A [builder](ScratchDir::builder) sets a quota for all objects in the directory
//! together, and how much of the disk has to stay free; a [report](ScratchDir::report) describes
//! the file system of the directory.
//!
//! The files have no name: the directory looks empty, and `SIGKILL` or a power cut leaves nothing
//! behind. The bytes are not encrypted, and freeing them does not erase them.
//! Other processes of the same user can open the files under `/proc`, as they could read the memory
//! of this one.
//!
//! # Memory use
//!
//! * An [`ArenaWriter`]: a buffer of 256 KiB. An [`Arena`]: 16 to 32 bytes for each MiB on disk,
//!   and 4 KiB for each file at least. A [`Location`]: 12 bytes, wherever it is kept.
//! * [`Arena::get_many`], while it runs: up to 16 MiB, or the longest item.
//! * A [`DiskVec`]: its last elements, an eighth of it, but 64 KiB at least and 1 MiB at most. A
//!   [`StrVec`] or [`BytesVec`]: twice that. Made by [`DiskVec::with_budget`]: everything, as long as
//!   the budget allows.
//! * A [`RangeFile`]: a few words for each contiguous part that was given back or frozen.
//! * A [`DiskAlloc`]: 8 KiB, 24 bytes for each 64 KiB of blocks up to 1 MiB, and up to 4 KiB for
//!   each larger one.
//! * A [`Spool`]: what its [`MemoryBudget`] allows, and 80 bytes for each block.
//! * Work of [`external`]: what its [`MemoryBudget`] allows, and a few KiB for each thread.
//! * Pages of files that are in use, as long as the kernel has room for them. They belong to the
//!   kernel, which drops them when memory runs short. Under a memory limit of a control group they
//!   count until the kernel drops them. [`DiskVec::evict`] and [`DiskVec::scan`] release them
//!   earlier.
//! * Of what is written, the page cache keeps an eighth of the memory that is available, for all
//!   files of the process together. What was written first is written back and dropped beyond that:
//!   a full page cache would make writing several times slower than the device. [`CachePolicy`] says
//!   when to choose otherwise, and [`stats`] how much is there.
//! * What is read in order leaves the page cache behind the reader, unless it was there before or the
//!   process has left less than half of the available memory: by [`DiskVec::scan`], [`Arena::stream`],
//!   and, for files of others, by [`InputFile`].
//!
//! Addresses are reserved by the TiB and use no memory. Tools show them as virtual size.
//!
//! # What can fail
//!
//! Space on disk is preallocated before it is used. So a full disk, a quota or a limit on the file
//! size is an [`Error`] of the [kind](ErrorKind) [`StorageFull`](ErrorKind::StorageFull) or
//! [`FileTooLarge`](ErrorKind::FileTooLarge), not a signal. The container is unchanged, and works
//! again when there is space. Every method documents the state after its errors. Collections in a
//! [`DiskAlloc`] report a full disk only by `try_reserve`; their other methods call the handler for
//! failed allocations, which ends the process.
//!
//! What can still kill a process that uses this crate:
//!
//! * `SIGBUS`, when it touches a page of a mapped file that the device cannot deliver. A
//!   [`DiskVec`], an [`ArenaMap`], ranges of a [`RangeFile`] and blocks of a [`DiskAlloc`] are
//!   mapped. [`Arena::get`] and its variants read by system calls and return an error instead.
//! * The same signal on full file systems that copy on write (btrfs, ZFS, bcachefs), where
//!   preallocated space may be missing later. On btrfs, files in a directory with `chattr +C` are
//!   written in place, and preallocated space stays. On XFS it always stays.
//! * The same signal on a full disk, after another program has made a copy of a named file that
//!   shares its blocks (`cp --reflink`, which is what `cp` and `fs::copy` do on XFS and btrfs): see
//!   [`RangeFile::open`]. Files without a name cannot be copied in this way.
//! * The kernel's OOM killer, when memory other than the page cache of files does not fit.
//!
//! # Fork
//!
//! Objects that are created before a `fork` belong to the parent. In the child, calls that would
//! change a file return [`Forked`](ErrorKind::Forked), and mappings are not inherited: the child
//! must not touch elements of a [`DiskVec`], ranges of a [`RangeFile`] or blocks of an allocator.
//! If it does, `SIGSEGV` kills it, or it accesses whatever it has mapped there itself.
//! [`Arena::get`] and [`ArenaMap::get`] work. A child that calls `exec`, as
//! [`Command`](std::process::Command) does, is not affected. A child cannot access its parent's
//! large blocks of a [`SpillAlloc`]; its own allocations come from the inner allocator.
//!
//! # Network file systems
//!
//! outcore promises less there; [`ScratchReport::network`] detects such a file system. The file may
//! have a name that the server made up, which a crash leaves behind, and an unreachable server is
//! like a device that fails.
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `allocator-api2` | yes | [`DiskAlloc`] with the trait of `allocator-api2` 0.2 |
//! | `io-uring` | yes | batches of reads by `io_uring` where the system allows it, on processors with 64 bits; threads otherwise |
//! | `nightly` | no | [`DiskAlloc`] with std's unstable trait; needs a nightly compiler |
//! | `serde` | no | [`Spool`], and `Serialize` and `Deserialize` for [`DiskVec`], [`StrVec`], [`BytesVec`], [`Location`], [`Written`] |
//! | `lz4` | no | with `serde`: blocks of a [`Spool`] compressed by LZ4 |
//! | `sealed` | no | [`Arena`], [`StrVec`] and [`BytesVec`] sealed into files that last |
//! | `bytemuck` | no | `sealed`, `Pod` and `Zeroable` for [`Location`], and vectors sealed |
//! | `lz4` | no | [`SorterBuilder::lz4`](external::SorterBuilder): records are packed on disk |
//!
//! # Platforms
//!
//! Rust 1.85 or newer, and one of these systems; on others the crate does not compile.
//!
//! | tier | system | how it is tested |
//! |---|---|---|
//! | 1 | Linux on x86-64 | all tests, campaigns against the real kernel, all figures |
//! | 2 | Linux on ARM with 64 bits; sealed files on big-endian machines (s390x) | a part of the tests of the library, under emulation. No figures |
//! | 3 | macOS on ARM, FreeBSD 14; Windows 10 (1803 or newer) on x86-64, without the allocators | type-checked, and written against the manuals. Never run by us on macOS and FreeBSD. On Windows, 233 of 257 unit tests pass under Wine 10, and 23 are about what it lacks |
//!
//! On macOS and FreeBSD:
//!
//! * [`RangeFile::create`] is refused, since there are no files that get a name later:
//!   [`RangeFile::create_in_place`] works. [`AtomicFile`] has a temporary name until it is published, and
//!   [`AtomicFile::publish_new`] is refused.
//! * A scratch file has a random name between the call that creates it and the next one.
//! * The page cache keeps what the kernel likes: [`CachePolicy`] has no effect, batches of reads are done
//!   by threads, and [`DiskVec::resident_bytes`] counts what is in memory, mapped or not.
//! * macOS preallocates at the end of a file only. Space that was given back in the middle, and parts of
//!   a sparse file, are claimed by writing zeros. FreeBSD does so on ZFS, where that claims nothing.
//! * [`SpillAlloc`] does not read its environment variables.
//! * If the kernel refuses to put a mapping in a place after it has made the same one elsewhere, the
//!   process ends.
//!
//! On Windows:
//!
//! * There are no allocators: to create a `DiskAlloc` fails with
//!   [`Unsupported`](std::io::ErrorKind::Unsupported), and [`SpillAlloc`] never spills.
//! * [`RangeFile::create`] is refused and [`CachePolicy`] has no effect, as above. [`AtomicFile`] has a
//!   temporary name until it is published; [`AtomicFile::publish_new`], and so what seals a file, needs
//!   a file system with hard links. A [`RangeFile`] does not grow. A file that replaces another has the
//!   permissions that its directory gives.
//! * A scratch file has a random name, starting with `.outcore-`, that no other process can open. It is
//!   deleted when it is closed, also when the process is killed. After a power cut it is still there.
//! * A scratch directory can be neither renamed nor removed while it is in use.
//! * No file becomes shorter while it is mapped: [`DiskVec::shrink_to_fit`] keeps the disk space of what
//!   was pushed, and uses it again. Space in the middle of a file stays claimed.
//! * In a compressed directory nothing can be claimed, and growth is refused.
//! * An [`ArenaMap`] shows what the arena's files had when it was made.
//! * If the system refuses a mapping after it has taken away what was there before, the process ends.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(feature = "nightly", feature(allocator_api))]
#![cfg_attr(all(test, feature = "nightly"), feature(btreemap_alloc))]
#![cfg_attr(
    test,
    expect(
        clippy::arithmetic_side_effects,
        reason = "a panic in a test is a failed test"
    )
)]

mod budget;
mod bug;
mod composites;
mod containers;
mod error;
mod exact;
pub mod external;
#[cfg(feature = "sealed")]
mod format;
mod heap;
mod io;
mod mapping;
mod read;
mod sync;
mod sys;
#[cfg(test)]
mod testing;

pub use crate::budget::MemoryBudget;
#[cfg(feature = "bytemuck")]
pub use crate::composites::sealed::SealedVec;
#[cfg(feature = "serde")]
pub use crate::composites::spool::Spool;
pub use crate::composites::strings::{BytesVec, StrVec};
#[cfg(feature = "sealed")]
pub use crate::composites::strings::{SealedBytesVec, SealedStrVec};
#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
pub use crate::containers::alloc::DiskAlloc;
#[cfg(feature = "sealed")]
pub use crate::containers::arena::IntoSealedError;
pub use crate::containers::arena::{
    Arena, ArenaMap, ArenaStream, ArenaWriter, FinishError, Location,
};
pub use crate::containers::range_file::{
    FileRange, FileRangeMut, PublishError, RangeFile, Written,
};
pub use crate::containers::spill::SpillAlloc;
pub use crate::containers::vec::DiskVec;
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::io::atomic_file::AtomicFile;
pub use crate::io::cache::CachePolicy;
pub use crate::io::dir::{ScratchDir, ScratchDirBuilder, ScratchReport};
pub use crate::io::input_file::InputFile;
pub use crate::io::stats::{Stats, stats};
pub use crate::mapping::advice::Advice;
pub use crate::read::ReadOptions;

/// Byte strings on disk, read back by a handle: [`Arena`] and its helper types.
pub mod arena {
    #[cfg(feature = "sealed")]
    pub use crate::containers::arena::IntoSealedError;
    pub use crate::containers::arena::{
        Arena, ArenaMap, ArenaStream, ArenaWriter, FinishError, Location,
    };
}

/// A vector on disk: [`DiskVec`] and its iterators.
pub mod vec {
    pub use crate::containers::vec::{DiskVec, Drain, IntoIter, Scan};
}

/// Strings and byte strings on disk, by index: [`StrVec`], [`BytesVec`] and their iterators.
pub mod strings {
    pub use crate::composites::strings::{
        BytesVec, FromUtf8Error, Iter, Scan, StrIter, StrScan, StrVec,
    };
}

/// Values of any kind, written once and read in order: [`Spool`], its writers, codecs and iterators.
#[cfg(feature = "serde")]
pub mod spool {
    #[cfg(feature = "lz4")]
    pub use crate::composites::spool::Lz4;
    pub use crate::composites::spool::{
        Codec, CodecError, Compress, IntoIter, Iter, Postcard, Spool, SpoolBuilder, SpoolWriter,
        Target,
    };
}

/// One file that many threads fill: [`RangeFile`], its ranges, and rounding to their alignment.
pub mod range_file {
    pub use crate::containers::range_file::{
        ALIGNMENT, FileRange, FileRangeMut, PublishError, RangeFile, Written, align_down, align_up,
    };
}

/// Files that last: `SealedVec` (feature `bytemuck`), [`SealedStrVec`], [`SealedBytesVec`], what any
/// sealed file says of itself, and the seam to object stores.
#[cfg(feature = "sealed")]
pub mod sealed {
    pub use crate::composites::sealed::{Kind, SealedFile};
    #[cfg(feature = "bytemuck")]
    pub use crate::composites::sealed::{Scan, SealedMap, SealedVec};
    pub use crate::composites::strings::{
        ByteStrings, ScanBytes, ScanStrings, SealedBytesMap, SealedBytesVec, SealedStrMap,
        SealedStrVec, Strings,
    };
    pub use crate::format::ranges::{MemoryRanges, ReadRanges};
}

/// A file that is written in full and then takes a name at once: [`AtomicFile`].
pub mod atomic_file {
    pub use crate::io::atomic_file::AtomicFile;
}

/// A file that is read in order and leaves the page cache as it was: [`InputFile`].
pub mod input_file {
    pub use crate::io::input_file::InputFile;
}

/// Allocators whose memory is a file: [`DiskAlloc`] for collections, [`SpillAlloc`] for programs.
pub mod alloc {
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub use crate::containers::alloc::DiskAlloc;
    pub use crate::containers::spill::SpillAlloc;
}

/// The location and the size limits of scratch files: [`ScratchDir`] and its builder.
pub mod scratch {
    pub use crate::io::cache::CachePolicy;
    pub use crate::io::dir::{ScratchDir, ScratchDirBuilder, ScratchReport};
}

#[cfg(doctest)]
#[doc = include_str!("../docs/coming-from.md")]
struct ComingFrom;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
