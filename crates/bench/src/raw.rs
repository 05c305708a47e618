//! The plain alternative: system calls on an unnamed file, nothing in between.

use std::fs::{self, File, Metadata, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, Mode, OFlags};

use crate::error::{Context, Error, Result, ensure};
use crate::pool::{CHUNK, Pool, index, sum_words, try_sum};

/// What direct transfers are aligned to.
pub const BLOCK: usize = 4096;

/// Creates an unnamed file in `dir`.
pub fn create(dir: &Path) -> Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let fd = rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR);
    Ok(File::from(fd.context("create an unnamed file")?))
}

/// Creates a file of this name, or empties it.
pub fn create_named(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path);
    file.with_context(|| format!("create {}", path.display()))
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).open(path);
    file.with_context(|| format!("open {}", path.display()))
}

/// Preallocates `len` bytes of the file, which then has that length.
pub fn preallocate(file: &File, len: u64) -> Result<()> {
    rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len).context("preallocate")
}

/// Opens a file once more, with other flags.
pub fn reopened(file: &File, flags: OFlags) -> Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let fd = rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
    Ok(File::from(fd.context("open a file again")?))
}

/// Writes the bytes `from..to` of the stream to their place minus `base`, 1 MiB a call.
pub fn write_stream(file: &File, pool: &Pool, from: u64, to: u64, base: u64) -> Result<()> {
    for offset in (from..to).step_by(CHUNK) {
        let len = CHUNK.min(index(to - offset));
        write_all(file, &pool.chunk(offset)[..len], offset - base)?;
    }
    Ok(())
}

/// Creates an unnamed file with the first `len` bytes of the stream in preallocated blocks.
pub fn filled(dir: &Path, pool: &Pool, len: u64) -> Result<File> {
    let file = create(dir)?;
    preallocate(&file, len)?;
    write_stream(&file, pool, 0, len, 0)?;
    Ok(file)
}

pub fn write_all(file: &File, mut bytes: &[u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::pwrite(file, bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Fills `buffer` from one place of the file with one call.
#[inline]
pub fn read_exact(file: &File, buffer: &mut [u8], offset: u64) -> Result<()> {
    let len = rustix::io::pread(file, &mut *buffer, offset)?;
    ensure!(len == buffer.len(), "a short read");
    Ok(())
}

/// Fills `buffer` from each of these offsets in turn, and returns the sum of all words.
pub fn sum_at(
    file: &File,
    offsets: impl IntoIterator<Item = u64>,
    buffer: &mut [u8],
) -> Result<u64> {
    try_sum(offsets.into_iter().map(|offset| {
        read_exact(file, buffer, offset)?;
        Ok::<_, Error>(sum_words(buffer))
    }))
}

/// Lists every regular file that this process has open: the path of a descriptor, and its facts. So
/// unnamed files inside of libraries can be opened once more.
pub(crate) fn open_files() -> Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").context("list descriptors")? {
        let path = entry.context("list descriptors")?.path();
        // The descriptor of this listing is gone when it is looked at.
        if let Some(facts) = fs::metadata(&path).ok().filter(Metadata::is_file) {
            found.push((path, facts));
        }
    }
    Ok(found)
}

/// The files that were open at some time, by device and inode.
///
/// Raw loops read the very file of an arena or a vector, opened a second time. Two files with the
/// same bytes are not equally fast to read: one may lie in large folios or in memory that the host
/// backs with huge pages, the other not, and that stays so for all rounds. What a library adds to a
/// system call shows only on the same file.
pub struct OpenFiles(Vec<(u64, u64)>);

fn identity(facts: &Metadata) -> (u64, u64) {
    (facts.dev(), facts.ino())
}

impl OpenFiles {
    pub fn now() -> Result<Self> {
        let all = open_files()?.into_iter();
        Ok(Self(all.map(|(_, facts)| identity(&facts)).collect()))
    }

    /// Opens the file that appeared since, has `len` bytes at least, and holds what it should;
    /// `None` if there is no such file.
    pub fn find(&self, len: u64, holds: impl Fn(&File) -> bool) -> Result<Option<File>> {
        for (path, facts) in open_files()? {
            if !self.0.contains(&identity(&facts)) && facts.len() >= len {
                let file = open(&path)?;
                if holds(&file) {
                    return Ok(Some(file));
                }
            }
        }
        Ok(None)
    }
}
