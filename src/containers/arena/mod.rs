//! The byte arena: write bytes, keep a small handle, read them back from disk.
//!
//! An arena is a few files. Writers own parts of them and fill those in order; `watermarks` has the
//! watermarks of all blocks, the only thing that readers check. There are as many files as writers
//! at a time, up to the number of cores, since the kernel serializes writes to one file.
//!
//! `seal` writes all of that to one file that lasts, and `archive` is an arena in such a file.
//! `into_sealed` makes such a file of the arena's own, for which `appended` has the checksums.

// First, since rustdoc lists the methods of a type in the order of these modules.
mod basics;

mod map;
#[cfg(feature = "sealed")]
mod seal;

#[cfg(feature = "sealed")]
mod into_sealed;

#[cfg(feature = "sealed")]
mod appended;
#[cfg(feature = "sealed")]
mod archive;
#[cfg(test)]
mod faults;
mod location;
mod many;
#[cfg(not(feature = "sealed"))]
mod no_archive;
mod shard;
mod stream;
mod tag;
mod text;
mod watermarks;
mod writer;

#[cfg(feature = "sealed")]
pub use self::into_sealed::IntoSealedError;
pub use self::location::Location;
pub use self::map::ArenaMap;
pub use self::stream::ArenaStream;
pub use self::writer::{ArenaWriter, FinishError};

#[cfg(feature = "sealed")]
use self::archive::Archive;
#[cfg(not(feature = "sealed"))]
use self::no_archive::Archive;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::bug::bug;
use crate::containers::arena::location::OFFSET_BITS;
use crate::containers::arena::shard::{Extent, Lease, Shard};
use crate::containers::arena::tag::Tag;
use crate::error::{Error, ErrorKind, Result};
use crate::io::dir::ScratchDir;
use crate::io::refusal::{Op, Refusal};
use crate::read::idle::Idle;
use crate::read::span::Span;
use crate::sys;

/// The largest number of files of an arena: what four bits of a location can number.
const FILES_MAX: usize = 16;

/// Byte strings on disk, each read back by a [`Location`] of twelve bytes.
///
/// An arena is a handle: clones name the same arena, and it is deleted with the last clone, writer
/// and map. It is never closed: push, read, and push again, from any number of threads. See
/// [`writer`](Self::writer), [`get_into`](Self::get_into), and for many items
/// [`get_many`](Self::get_many) and [`stream`](Self::stream).
///
/// # Examples
///
/// ```
/// use outcore::Arena;
///
/// let arena = Arena::new()?;
/// let mut writer = arena.writer()?;
/// let hello = writer.push("hello")?;
/// let world = writer.push(b" world")?;
/// writer.finish()?;
///
/// let mut text = String::new();
/// arena.get_str_into(hello, &mut text)?;
/// arena.get_str_into(world, &mut text)?;
/// assert_eq!(text, "hello world");
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Larger than memory
///
/// | to | do | don't |
/// |---|---|---|
/// | read many items | [`get_many`](Self::get_many), the more in one call the better: 1.4 us each, with the lookup of their locations | [`get_into`](Self::get_into) in a loop: each waits for the device, some 70 us |
/// | find their locations in a [`DiskVec`](crate::DiskVec) | [`gather`](crate::DiskVec::gather), then `get_many` | `get_into(vec[i])` in a loop: 4.2 ms each |
/// | read items in a given order | [`stream`](Self::stream) | `get_into` in a loop |
/// | look items up in a [map](Self::map) | [`ArenaMap::advise`] with [`Advice::Random`](crate::Advice::Random), and [`prefetch_many`](ArenaMap::prefetch_many) | leave the read-ahead on |
/// | sort items by their content | push them into a [`Sorter`](crate::external::Sorter) | a comparison that reads: not done in 268 s for 1 GiB of lines in 512 MiB |
///
/// Measured with 20 M strings in 128 MiB. The program is `examples/past_memory.rs`, the figures are
/// in `docs/records/past-memory-2026-11.md`.
///
/// # Memory and files
///
/// An arena takes 16 bytes of memory for each MiB on disk, and a writer a buffer of 256 KiB. It has
/// one file for each writer that works at the same time, at most one for each core and at most 16.
/// Items are packed without padding. An arena with any item takes at least 256 KiB on disk.
#[derive(Clone)]
pub struct Arena {
    inner: Arc<Inner>,
}

struct Inner {
    tag: Tag,
    home: Home,
    /// The files, created one after the other when they are needed.
    shards: [OnceLock<Arc<Shard>>; FILES_MAX],
    /// Locked while a writer chooses its file, or a file is created.
    choosing: Mutex<()>,
    /// The number of files over which writers are spread.
    spread: usize,
    file_bytes_max: u64,
    /// Whether the first file is to become a sealed one.
    #[cfg(feature = "sealed")]
    is_sealable: bool,
    /// Where reads leave idle engines for each other.
    idle: Arc<Idle>,
    /// The process that created the arena. A forked child creates no files for it, because the
    /// parent would take their locations for others.
    owner: u64,
}

/// Where the items of an arena are.
enum Home {
    /// In the shards, which are in this directory.
    Scratch(ScratchDir),
    /// In a file that never changes; there are no shards.
    #[cfg_attr(
        not(feature = "sealed"),
        expect(dead_code, reason = "there are no such files without the feature")
    )]
    Sealed(Box<Archive>),
}

impl Arena {
    /// Creates an arena that spreads writers over `spread` files of at most `file_bytes_max` each.
    fn with_shape(dir: &ScratchDir, spread: usize, file_bytes_max: u64) -> Result<Self> {
        debug_assert!((1..=FILES_MAX).contains(&spread) && file_bytes_max >> OFFSET_BITS <= 1);
        Ok(Self {
            inner: Arc::new(Inner::new(
                Tag::take()?,
                Home::Scratch(dir.clone()),
                spread,
                file_bytes_max,
            )),
        })
    }

    /// Puts what was refused to a file of the arena into words.
    #[cold]
    fn error(&self, refused: Refusal) -> Error {
        match &self.inner.home {
            Home::Scratch(dir) => dir.error(refused),
            Home::Sealed(archive) => {
                refused.of_file("read", archive.path().unwrap_or(Path::new("a source")))
            }
        }
    }

    /// Returns the file that has an item, or `None` for an empty item.
    fn find(&self, location: Location) -> Result<Option<&Arc<Shard>>, Refusal> {
        if location == Location::default() {
            return Ok(None);
        }
        if location.tag() != self.inner.tag.get() {
            return Err(refuse(
                ErrorKind::ForeignLocation,
                "the location belongs to another arena",
            ));
        }
        if location.is_empty() {
            return Ok(None);
        }
        let end = location.offset().saturating_add(u64::from(location.len()));
        let shard = self.inner.shards.get(location.file());
        match shard.and_then(OnceLock::get) {
            Some(shard) if shard.watermarks.covers(location.offset(), end) => Ok(Some(shard)),
            Some(shard) if end <= shard.len_bytes() => Err(refuse(
                ErrorKind::NotFlushed,
                "its writer has not flushed it yet",
            )),
            _ => Err(refuse(
                ErrorKind::OutOfBounds,
                "the location lies past the end of the arena",
            )),
        }
    }
}

/// Returns the bytes of the file that a location names.
fn span(location: Location) -> Span {
    let len = usize::try_from(location.len());
    let len = len.unwrap_or_else(|_long| bug!("an item of {} bytes", location.len()));
    Span::new(location.offset(), len)
}

#[cold]
fn refuse(kind: ErrorKind, reason: &'static str) -> Refusal {
    Refusal::ours(Op::ReadItem, kind, reason)
}

#[cold]
fn no_memory() -> Refusal {
    refuse(ErrorKind::OutOfMemory, "there is no memory for the item")
}

impl Inner {
    fn new(tag: Tag, home: Home, spread: usize, file_bytes_max: u64) -> Self {
        Self {
            tag,
            home,
            shards: [const { OnceLock::new() }; FILES_MAX],
            choosing: Mutex::new(()),
            spread,
            file_bytes_max,
            #[cfg(feature = "sealed")]
            is_sealable: false,
            idle: Idle::shared(),
            owner: sys::process(),
        }
    }

    /// Returns the file that never changes, if the items are in one.
    fn archive(&self) -> Option<&Archive> {
        match &self.home {
            Home::Scratch(_) => None,
            Home::Sealed(archive) => Some(archive),
        }
    }

    /// Returns the directory of the shards.
    fn dir(&self) -> Result<&ScratchDir> {
        match &self.home {
            Home::Scratch(dir) => Ok(dir),
            Home::Sealed(archive) => {
                let reason = "a sealed file never changes; push to a new arena";
                Err(archive.refused(ErrorKind::ReadOnly, reason))
            }
        }
    }

    /// Returns an error about this arena.
    #[cold]
    fn refused(&self, kind: ErrorKind, action: &'static str, reason: String) -> Error {
        let refused = Error::refused(kind, action, reason);
        match &self.home {
            Home::Scratch(dir) => refused.at(dir.path()),
            Home::Sealed(archive) => match archive.path() {
                Some(path) => refused.at(path),
                None => refused,
            },
        }
    }

    fn check_owner(&self) -> Result<()> {
        if sys::process() == self.owner {
            return Ok(());
        }
        let reason = "it belongs to the process that this one was forked from";
        Err(self.refused(ErrorKind::Forked, "write to an arena in", reason.to_owned()))
    }

    fn shards(&self) -> impl Iterator<Item = &Arc<Shard>> {
        self.shards.iter().map_while(OnceLock::get)
    }

    /// Chooses the file for a new writer: a file that no writer uses, a new one, or the one with
    /// the fewest writers.
    fn choose_shard(&self) -> Result<Lease> {
        let _locked = self.choosing.lock().unwrap_or_else(PoisonError::into_inner);
        let quietest = self
            .shards()
            .take(self.spread)
            .enumerate()
            .min_by_key(|(_, shard)| shard.writer_count());
        let count = self.shards().count();
        let (number, shard) = match quietest {
            Some((number, shard)) if shard.writer_count() == 0 || count >= self.spread => {
                (number, shard)
            }
            _ => (count, self.make_shard(count)?),
        };
        Ok(Lease::new(shard, number))
    }

    /// Creates file `number`, which follows all existing ones. The caller holds the lock of
    /// `choosing`.
    fn make_shard(&self, number: usize) -> Result<&Arc<Shard>> {
        self.check_owner()?;
        let Some(place) = self.shards.get(number) else {
            let reason = "all of its files have the length that a location can address";
            let reason = reason.to_owned();
            return Err(self.refused(ErrorKind::FileTooLarge, "grow an arena in", reason));
        };
        let (dir, len_max) = (self.dir()?, self.file_bytes_max);
        #[cfg(feature = "sealed")]
        let create = if self.is_sealable && number == 0 {
            Shard::create_sealable
        } else {
            Shard::create
        };
        #[cfg(not(feature = "sealed"))]
        let create = Shard::create;
        let shard = create(dir, len_max)?;
        Ok(place.get_or_init(|| Arc::new(shard)))
    }

    /// Takes an extent with room for `need` bytes, in file `preferred` if that has room.
    fn take_extent(&self, preferred: usize, need: u64) -> Result<(usize, Arc<Shard>, Extent)> {
        let first = self.shards().enumerate().filter(|(at, _)| *at == preferred);
        let others = self.shards().enumerate().filter(|(at, _)| *at != preferred);
        let mut refused = None;
        for (number, shard) in first.chain(others) {
            let mut taken = None;
            if refused.is_none() && shard.can_hold(need) {
                match shard.take(need) {
                    Ok(extent) => taken = Some(extent),
                    Err(error) => refused = Some(error),
                }
            }
            // If the file cannot grow, its preallocated space may still suffice.
            let taken = taken.or_else(|| shard.take_spare(need));
            if let Some(extent) = taken {
                return Ok((number, Arc::clone(shard), extent));
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        let _locked = self.choosing.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.shards().count();
        let shard = self.make_shard(number)?;
        Ok((number, Arc::clone(shard), shard.take(need)?))
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match &self.inner.home {
            Home::Scratch(dir) => ("dir", Some(dir.path())),
            Home::Sealed(archive) => ("file", archive.path()),
        };
        f.debug_struct("Arena")
            .field("tag", &self.inner.tag.get())
            .field(path.0, &path.1)
            .field("len_bytes", &self.len_bytes())
            .field("disk_bytes", &self.disk_bytes())
            .finish_non_exhaustive()
    }
}
