//! A file that is read in ascending order, and leaves the page cache as it was.

#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod tests;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::exact::{rest_mut, sum};
use crate::io::cache::CachePolicy;
use crate::io::cache::pass::Pass;
use crate::io::cache::trail::CHUNK_BYTES;
use crate::io::file::OwnedFile;
use crate::io::refusal::{Op, Refusal, Unnamed, retry};
use crate::io::stats;
use crate::sys;

/// The name of the operation that can fail before there is a file.
const OPEN: &str = "open";

/// Of shorter files nothing is noted: to find out what of them is cached takes as long as to read them.
const FOLLOWED_BYTES_MIN: u64 = if cfg!(test) { 16 << 10 } else { 256 << 10 };

/// How far behind the last read a chunk leaves the page cache: another thread may be about to read there.
const BEHIND_BYTES: u64 = 4 * CHUNK_BYTES;

/// So many bytes read in a row, elsewhere than expected, are a new ascent.
const ASCENT_BYTES: u64 = 4 * CHUNK_BYTES;

/// A file that is read in ascending order, by any number of threads, and leaves the page cache as it
/// was.
///
/// For what a program takes in: to read a file that is longer than memory fills the page cache, which
/// displaces what other programs have there, and makes the kernel reclaim a page for each that is read.
/// This type has what was read leave the cache, in pieces of 2 MiB, unless it was there before, or has a
/// place in the share that [`CachePolicy::Auto`] explains.
///
/// The bytes are read by system calls, so others may change or shorten the file meanwhile.
///
/// # Examples
///
/// ```
/// use std::io::{BufRead, BufReader};
///
/// use outcore::{Arena, InputFile, ScratchDir};
///
/// # let name = format!("input-example-{}", std::process::id());
/// # let path = ScratchDir::from_env()?.path().join(name);
/// # std::fs::write(&path, "first\nsecond\n")?;
/// let arena = Arena::new()?;
/// let mut writer = arena.writer()?;
/// let mut lines = Vec::new();
/// for line in BufReader::with_capacity(256 << 10, InputFile::open(&path)?).lines() {
///     lines.push(writer.push(line?)?);
/// }
/// writer.finish()?;
/// assert_eq!(arena.get(lines[1])?, b"second");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # What is noted, and what is not
///
/// Reads may overlap, leave gaps of some MiB, and come from threads that overtake each other by some
/// MiB. Other reads are left to the kernel. After 8 MiB in a row, wherever they are, the file leaves the
/// cache from there on.
///
/// What stays in the cache within the share counts until the process ends, since it stays when the file
/// is closed. So a program that reads many files keeps the first of them, up to half of the memory that
/// is available.
///
/// Everything is left to the kernel where it does not tell what is cached: for files that the user of
/// the process does not own and may not write, and where its addresses are limited (`ulimit -v`). So are
/// files of less than 256 KiB, and what a forked child reads.
#[derive(Debug)]
pub struct InputFile {
    file: OwnedFile,
    /// By which it was opened.
    path: Option<PathBuf>,
    /// How long it was when it was opened; 0 if that is not known.
    len: u64,
    ascent: Mutex<Ascent>,
    /// Where the next bytes of [`Read`] are.
    position: u64,
}

/// How far a file was read.
#[derive(Debug, Default)]
struct Ascent {
    pass: Pass,
    has_begun: bool,
    /// Where the reads begin that are under way; as many as there are threads.
    under_way: Vec<u64>,
    /// Up to where it was read.
    reached: u64,
    /// Where reads that are no part of it began and ended, if they are in a row.
    aside: (u64, u64),
}

impl InputFile {
    /// Opens the regular file at `path` for reading.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io): it is no regular file, or cannot be opened.
    ///
    /// # Cost
    ///
    /// A `stat`, an `open` and an `fstat`.
    #[expect(
        clippy::disallowed_methods,
        reason = "a file of others, by a path of the caller: it needs no flags of ours"
    )]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |answer: io::Error| {
            stats::failed();
            Error::io(OPEN, answer).at(path)
        };
        // To open a pipe would wait for another process.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::refused(ErrorKind::Io, OPEN, "it is no regular file").at(path));
        }
        let mut file = Self::from(fs::File::open(path).map_err(failed)?);
        file.path = Some(path.to_owned());
        Ok(file)
    }

    /// Reads once from `offset` on, and returns how many bytes it was; 0 is the end of the file.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io): the system's refusal. What is in `buffer` is unspecified.
    ///
    /// # Cost
    ///
    /// One `pread`. For each 2 MiB, three calls that find out whether they were cached before, and one
    /// that drops them. Nothing is buffered: read pieces of 64 KiB and more.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let read = self.read_once(buffer, offset);
        read.map_err(|refused| self.error(refused))
    }

    /// Fills all of `buffer` from `offset` on.
    ///
    /// # Errors
    ///
    /// As for [`read_at`](Self::read_at). Where the file ends before that, the system's answer is
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
    ///
    /// # Cost
    ///
    /// That of [`read_at`](Self::read_at), again where the system reads less than asked.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> Result<()> {
        while !buffer.is_empty() {
            let filled = self.read_at(buffer, offset)?;
            if filled == 0 {
                let answer = io::ErrorKind::UnexpectedEof.into();
                return Err(self.error(Refusal::failed(Op::Read, &answer)));
            }
            buffer = rest_mut(buffer, filled);
            offset = sum(offset, filled as u64);
        }
        Ok(())
    }

    /// Sets what stays in the page cache of what is read from now on; [`CachePolicy::Auto`] if this is
    /// not called.
    pub fn set_cache_policy(&self, policy: CachePolicy) {
        self.file.cache().set_policy(policy);
    }

    fn read_once(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Refusal> {
        let is_noted = self.begin(offset, buffer.len() as u64);
        let read = retry(Op::Read, || self.file.sys().read_over(buffer, offset));
        if is_noted {
            let filled = *read.as_ref().unwrap_or(&0);
            let mut ascent = self.ascent();
            ascent.end(offset, filled as u64);
            ascent.drop_behind(&self.file, self.len, BEHIND_BYTES);
        }
        read
    }

    /// Notes that a read begins, and says whether its end has to be noted.
    fn begin(&self, offset: u64, len: u64) -> bool {
        // In a forked child the lock may be held for ever.
        if self.len < FOLLOWED_BYTES_MIN || !self.file.is_owner() {
            return false;
        }
        self.ascent().begin(&self.file, self.len, offset, len)
    }

    fn ascent(&self) -> MutexGuard<'_, Ascent> {
        self.ascent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn error(&self, refused: Refusal) -> Error {
        match &self.path {
            Some(path) => refused.of_file("read", path),
            None => refused.of(Unnamed::Anywhere),
        }
    }
}

impl Ascent {
    fn begin(&mut self, file: &OwnedFile, file_len: u64, offset: u64, len: u64) -> bool {
        if !self.has_begun {
            self.has_begun = true;
            self.start(file, file_len, offset);
        }
        if !self.pass.expects(offset) {
            let (from, to) = self.aside;
            let from = if offset.abs_diff(to) < ASCENT_BYTES {
                from
            } else {
                offset
            };
            self.aside = (from, offset.saturating_add(len));
            if self.aside.1.saturating_sub(from) < ASCENT_BYTES {
                return false;
            }
            self.aside = (0, 0);
            // Nothing more comes there.
            self.drop_behind(file, file_len, 0);
            self.start(file, file_len, offset);
        }
        if self.under_way.try_reserve(1).is_err() {
            return false;
        }
        self.under_way.push(offset);
        true
    }

    fn start(&mut self, file: &OwnedFile, file_len: u64, offset: u64) {
        self.pass.start_cold(file, offset, file_len);
        self.reached = offset;
    }

    fn end(&mut self, offset: u64, filled: u64) {
        let place = self.under_way.iter().position(|begun| *begun == offset);
        if let Some(place) = place {
            self.under_way.swap_remove(place);
        }
        self.reached = self.reached.max(offset.saturating_add(filled));
    }

    /// Has what was read leave the cache, but for the last `behind` bytes.
    fn drop_behind(&mut self, file: &OwnedFile, file_len: u64, behind: u64) {
        let first = self.under_way.iter().min();
        let passed = first.map_or(self.reached, |first| self.reached.min(*first));
        self.pass
            .reach(file, passed.saturating_sub(behind), file_len);
    }
}

impl From<fs::File> for InputFile {
    /// Takes a regular file that is open for reading. Errors do not name it.
    fn from(file: fs::File) -> Self {
        let file = OwnedFile::new(sys::File::from_std(file).shared());
        let len = sys::retry(|| file.sys().regular_len());
        Self {
            file,
            path: None,
            len: len.ok().flatten().unwrap_or(0),
            ascent: Mutex::default(),
            position: 0,
        }
    }
}

impl Read for InputFile {
    /// Reads behind what the last call has read, the first time from the begin of the file, as
    /// [`read_at`](InputFile::read_at) does.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let filled = self.read_at(buffer, self.position)?;
        self.position = sum(self.position, filled as u64);
        Ok(filled)
    }
}

impl Drop for InputFile {
    fn drop(&mut self) {
        let ascent = self.ascent.get_mut();
        let ascent = ascent.unwrap_or_else(PoisonError::into_inner);
        if ascent.has_begun {
            if ascent.reached >= self.len {
                // The last chunk is not a whole one.
                ascent.reached = ascent.reached.saturating_add(CHUNK_BYTES);
            }
            ascent.drop_behind(&self.file, self.len, 0);
            self.file.cache().leave();
        }
    }
}
