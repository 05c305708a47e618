//! The writer of one thread: a buffer, and a part of a file that it owns.

use std::fmt;
use std::io;

use crate::containers::arena::location::{Location, OFFSET_BITS};
use crate::containers::arena::shard::{Extent, Lease};
use crate::containers::arena::watermarks::BLOCK;
use crate::containers::arena::{Arena, FILES_MAX};
use crate::error::{Error, ErrorKind, Result};
use crate::exact::{difference, first, narrow, rest, sum};

/// Bytes that are collected before a write. Fits into the second-level cache of a core, so that the
/// kernel copies from there.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;

/// Writes end at multiples of this, where possible.
const ALIGNED: u64 = BUFFER_BYTES as u64;

/// Appends items to an [`Arena`]; made by [`Arena::writer`].
///
/// Use one writer for each thread. A writer has no file descriptor and no index; it holds a buffer
/// of 256 KiB and a part of one of the arena's files.
///
/// Dropping a writer tries to flush it. To learn whether that succeeds, call [`flush`](Self::flush)
/// or [`finish`](Self::finish) first.
///
/// # Examples
///
/// ```
/// use outcore::Arena;
///
/// let arena = Arena::new()?;
/// let locations = std::thread::scope(|scope| {
///     let work = |range: std::ops::Range<u32>| {
///         let mut writer = arena.writer()?;
///         let found: outcore::Result<Vec<_>> =
///             range.map(|n| writer.push(n.to_string())).collect();
///         writer.finish()?;
///         found
///     };
///     let other = scope.spawn(move || work(0..1000));
///     let mut mine = work(1000..2000)?;
///     mine.extend(other.join().unwrap()?);
///     Ok::<_, outcore::Error>(mine)
/// })?;
/// assert_eq!(locations.len(), 2000);
/// assert_eq!(arena.get(locations[0])?, b"1000");
/// # Ok::<(), outcore::Error>(())
/// ```
pub struct ArenaWriter {
    /// The lease of the file that contains `extent`.
    shard: Lease,
    arena: Arena,
    extent: Extent,
    /// Pushed bytes, whose place in the file starts at `extent.pos`.
    ///
    /// # Invariants
    ///
    /// 1. `buffer.len() <= limit`.
    buffer: Vec<u8>,
    /// The number of bytes that the buffer may hold before it has to be written.
    ///
    /// # Invariants
    ///
    /// 1. `limit <= extent.room()`, and `extent.pos + limit` is the end of the extent or a
    ///    multiple of [`BUFFER_BYTES`], so that most writes are aligned.
    limit: usize,
}

impl ArenaWriter {
    pub(crate) fn new(arena: Arena, shard: Lease) -> Self {
        Self {
            shard,
            arena,
            extent: Extent::EMPTY,
            buffer: Vec::new(),
            limit: 0,
        }
    }

    /// Appends an item and returns its location.
    ///
    /// It can be read from the arena after the next [`flush`](Self::flush), and from this writer at
    /// once.
    ///
    /// # Errors
    ///
    /// After each of them, writer and arena are unchanged, and later pushes return right locations.
    ///
    /// * [`ItemTooLarge`](ErrorKind::ItemTooLarge): the item has 4 GiB or more.
    /// * [`StorageFull`](ErrorKind::StorageFull), [`FileTooLarge`](ErrorKind::FileTooLarge): the
    ///   file cannot grow. Free space and push again.
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): there is no memory for the buffer.
    /// * [`Forked`](ErrorKind::Forked): the writer was created before a `fork`, in the parent.
    /// * [`Io`](ErrorKind::Io): the system failed to write.
    ///
    /// # Cost
    ///
    /// A copy into the buffer, and one `pwrite` for each 256 KiB. An item of that size or more is
    /// written directly. The file grows by a quarter, at most by 256 MiB, with one `fallocate`.
    #[inline]
    pub fn push(&mut self, bytes: impl AsRef<[u8]>) -> Result<Location> {
        let bytes = bytes.as_ref();
        let used = self.buffer.len();
        if bytes.len() > self.limit.saturating_sub(used) {
            return self.push_slow(bytes);
        }
        let start = self.extent.pos.saturating_add(used as u64);
        self.buffer.extend_from_slice(bytes);
        Ok(self.location(start, bytes.len()))
    }

    /// A push for which the buffer or the extent is too small.
    #[cold]
    #[inline(never)]
    fn push_slow(&mut self, bytes: &[u8]) -> Result<Location> {
        if u32::try_from(bytes.len()).is_err() {
            let reason = format!("{} bytes; an item has at most 4 GiB - 1", bytes.len());
            return Err(Error::refused(ErrorKind::ItemTooLarge, PUSH, reason));
        }
        self.reserve_buffer()?;
        self.make_room(bytes.len() as u64)?;
        let before = self.buffer.len();
        let start = sum(self.extent.pos, before as u64);
        if bytes.len() >= BUFFER_BYTES {
            self.flush()?;
            self.write(bytes)?;
            self.written(bytes.len());
            return Ok(self.location(start, bytes.len()));
        }
        // The part that does not fit before the next aligned position follows after a write.
        let now = difference(self.limit, before).min(bytes.len());
        let (head, tail) = bytes.split_at(now);
        self.buffer.extend_from_slice(head);
        if !tail.is_empty() {
            if let Err(refused) = self.flush() {
                self.buffer.truncate(before);
                return Err(refused);
            }
            debug_assert!(tail.len() <= self.limit);
            self.buffer.extend_from_slice(tail);
        }
        Ok(self.location(start, bytes.len()))
    }

    /// Preallocates disk space for `bytes` more bytes of items, so that pushing them cannot fail
    /// for lack of disk space.
    ///
    /// For a writer that knows how much will come: a full disk is reported before the first push,
    /// and no push waits for `fallocate`. Unused space goes to later writers, or is freed when the
    /// last writer ends.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = outcore::Arena::new()?;
    /// let mut writer = arena.writer()?;
    /// writer.reserve(1 << 20)?;
    /// assert!(arena.disk_bytes() >= 1 << 20);
    /// let location = writer.push("one of many")?;
    /// writer.finish()?;
    /// assert_eq!(arena.get(location)?, b"one of many");
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// After each of them, writer and arena are unchanged, except that pushed bytes may have been
    /// flushed.
    ///
    /// * [`StorageFull`](ErrorKind::StorageFull), [`FileTooLarge`](ErrorKind::FileTooLarge): there
    ///   is no space for so much, or no file can have it in one piece.
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): there is no memory for the buffer.
    /// * [`Forked`](ErrorKind::Forked): the writer was created before a `fork`, in the parent.
    /// * [`Io`](ErrorKind::Io): the system failed to write.
    ///
    /// # Cost
    ///
    /// One `fallocate`, or none if there is room already. It takes longer for more space, and the
    /// file system reads its free-space maps for it, from the device unless they are in memory: on
    /// ext4 one page for each 128 MiB.
    pub fn reserve(&mut self, bytes: u64) -> Result<()> {
        let most = self.arena.inner.file_bytes_max;
        let need = bytes.saturating_add(self.buffer.len() as u64);
        let fits = |need: u64| Some(need.checked_next_multiple_of(BLOCK)? <= most);
        if fits(need) != Some(true) {
            let reason = format!("{need} bytes; one file has at most {most}");
            let arena = &self.arena.inner;
            return Err(arena.refused(ErrorKind::FileTooLarge, RESERVE, reason));
        }
        self.reserve_buffer()?;
        self.make_room(bytes)
    }

    /// Allocates the buffer, so that no push has to.
    fn reserve_buffer(&mut self) -> Result<()> {
        let missing = BUFFER_BYTES.saturating_sub(self.buffer.len());
        self.buffer.try_reserve_exact(missing).map_err(|_full| {
            let reason = "there is no memory for the buffer";
            Error::refused(ErrorKind::OutOfMemory, PUSH, reason)
        })
    }

    /// Makes room in the extent for `len` bytes behind the pushed ones.
    fn make_room(&mut self, len: u64) -> Result<()> {
        let need = sum(len, self.buffer.len() as u64);
        if need <= self.extent.room() {
            return Ok(());
        }
        // If the file is full at its end, there may still be room in the middle.
        if matches!(self.shard.lengthen(&mut self.extent, need), Ok(true)) {
            self.set_limit();
            return Ok(());
        }
        // All of the item goes elsewhere, since an item is in one piece.
        self.flush()?;
        let here = self.shard.number();
        let (number, shard, extent) = self.arena.inner.take_extent(here, len)?;
        self.shard
            .give_back(std::mem::replace(&mut self.extent, extent));
        if number != here {
            self.shard.move_to(&shard, number);
        }
        self.set_limit();
        Ok(())
    }

    /// Writes bytes to the start of the extent.
    fn write(&self, bytes: &[u8]) -> Result<()> {
        let file = &self.shard.file;
        let written = file.write_all_at(bytes, self.extent.pos);
        written.map_err(|refused| file.error(refused))?;
        #[cfg(feature = "sealed")]
        self.shard.wrote(self.extent.pos, bytes);
        Ok(())
    }

    /// Records that `len` bytes more of the extent are in the file.
    fn written(&mut self, len: usize) {
        self.shard.flushed(&mut self.extent, len as u64);
        self.set_limit();
    }

    fn set_limit(&mut self) {
        let to_aligned = difference(ALIGNED, self.extent.pos % ALIGNED);
        let limit = to_aligned.min(self.extent.room());
        self.limit = narrow(limit);
        debug_assert!(self.buffer.len() <= self.limit);
    }

    #[inline]
    fn location(&self, start: u64, len: usize) -> Location {
        Location::new(
            self.arena.inner.tag.get(),
            position(self.shard.number(), start),
            // Longer ones are refused in `push_slow`.
            narrow(len),
        )
    }

    /// Writes the pushed bytes out, so that every handle of the arena can read them.
    ///
    /// This does not protect against power cuts: a scratch file does not survive them anyway.
    ///
    /// # Errors
    ///
    /// The pushed bytes stay in the buffer; flush again.
    ///
    /// * [`FileTooLarge`](ErrorKind::FileTooLarge): the limit of file size (`RLIMIT_FSIZE`) was
    ///   lowered after the space was preallocated.
    /// * [`Forked`](ErrorKind::Forked): the writer was created before a `fork`, in the parent.
    /// * [`Io`](ErrorKind::Io): the system failed to write.
    ///
    /// # Cost
    ///
    /// One `pwrite` if anything was pushed since the last one.
    pub fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.write(&self.buffer)?;
        let len = self.buffer.len();
        self.buffer.clear();
        self.written(len);
        Ok(())
    }

    /// Flushes and ends the writer.
    ///
    /// # Errors
    ///
    /// Those of [`flush`](Self::flush). The error holds the writer with all bytes that are not
    /// written: [`FinishError::into_writer`] returns it. Converted into an [`Error`], it drops
    /// them.
    pub fn finish(mut self) -> Result<(), FinishError> {
        match self.flush() {
            Ok(()) => Ok(()),
            Err(error) => Err(FinishError {
                error,
                writer: Box::new(self),
            }),
        }
    }

    /// Appends an item to `target`, including items that this writer has not flushed yet.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = outcore::Arena::new()?;
    /// let mut writer = arena.writer()?;
    /// let location = writer.push("still in the buffer")?;
    /// let mut bytes = Vec::new();
    /// writer.get_into(location, &mut bytes)?;
    /// assert_eq!(bytes, b"still in the buffer");
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Arena::get_into`]; `target` is unchanged.
    pub fn get_into(&self, location: Location, target: &mut Vec<u8>) -> Result<()> {
        let (start, len) = (location.offset(), u64::from(location.len()));
        let pos = self.extent.pos;
        let end = start.saturating_add(len);
        let pushed = pos.saturating_add(self.buffer.len() as u64);
        let ours = location.tag() == self.arena.inner.tag.get();
        let here = ours && location.file() == self.shard.number();
        if !here || end <= pos || end > pushed {
            return self.arena.get_into(location, target);
        }
        // The first part of the item may be in the file already.
        let before = target.len();
        let in_file = pos.saturating_sub(start).min(len);
        let front = Location::new(
            location.tag(),
            position(self.shard.number(), start),
            narrow(in_file),
        );
        self.arena.get_into(front, target)?;
        let pushed = first(&self.buffer, narrow(difference(end, pos)));
        let rest = rest(pushed, narrow(start.saturating_sub(pos)));
        if target.try_reserve(rest.len()).is_err() {
            target.truncate(before);
            let reason = "there is no memory for the item";
            return Err(Error::refused(
                ErrorKind::OutOfMemory,
                "read an item",
                reason,
            ));
        }
        target.extend_from_slice(rest);
        Ok(())
    }

    /// Returns the arena that this writer appends to.
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Returns the number of bytes that were pushed and are not flushed yet.
    pub fn unflushed_bytes(&self) -> usize {
        self.buffer.len()
    }
}

/// The name of a push in errors.
const PUSH: &str = "push an item";

/// The name of a reservation in errors.
const RESERVE: &str = "reserve space in";

/// Returns the position of `offset` in the file with this number.
fn position(number: usize, offset: u64) -> u64 {
    debug_assert!(number < FILES_MAX && offset >> OFFSET_BITS == 0);
    (number as u64) << OFFSET_BITS | offset
}

impl Drop for ArenaWriter {
    fn drop(&mut self) {
        // `flush` and `finish` report errors; a drop cannot.
        let _ignored = self.flush();
        if self.buffer.is_empty() {
            self.shard.give_back(self.extent);
        } else {
            self.shard
                .give_back_unflushed(self.extent, self.buffer.len() as u64);
        }
    }
}

impl fmt::Debug for ArenaWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaWriter")
            .field("arena", &self.arena)
            .field("unflushed_bytes", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

/// The error of [`ArenaWriter::finish`]: the cause, and the writer with all that it holds.
#[derive(Debug)]
pub struct FinishError {
    error: Error,
    writer: Box<ArenaWriter>,
}

impl FinishError {
    /// Returns the cause.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the writer, so that no pushed byte is lost: free space, and finish again.
    pub fn into_writer(self) -> ArenaWriter {
        *self.writer
    }
}

impl fmt::Display for FinishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for FinishError {}

impl From<FinishError> for Error {
    fn from(failed: FinishError) -> Self {
        failed.error
    }
}

impl From<FinishError> for io::Error {
    fn from(failed: FinishError) -> Self {
        failed.error.into()
    }
}
