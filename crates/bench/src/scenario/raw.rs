//! The plain alternative: system calls on an unnamed file, nothing in between.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FallocateFlags, Mode, OFlags};

use crate::failure::{Context, Failure, Result};
use crate::pool::{CHUNK, Pool};

/// Creates an unnamed file in `dir`.
///
/// # Errors
///
/// A directory whose file system keeps no unnamed files.
pub fn create(dir: &Path) -> Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let fd = rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR);
    Ok(File::from(fd.context("create an unnamed file")?))
}

/// Claims `len` bytes for the file, which then has that length.
///
/// # Errors
///
/// A full disk, or a file system without `fallocate`.
pub fn preallocate(file: &File, len: u64) -> Result<()> {
    rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len).context("preallocate")
}

/// Writes the bytes `from..to` of the stream to their place minus `base`, 1 MiB a call.
///
/// # Errors
///
/// A full disk.
pub fn write_stream(file: &File, pool: &Pool, from: u64, to: u64, base: u64) -> Result<()> {
    let mut offset = from;
    while offset < to {
        let len = CHUNK.min(usize::try_from(to - offset).unwrap_or(CHUNK));
        let mut rest = &pool.chunk(offset)[..len];
        while !rest.is_empty() {
            let written = rustix::io::pwrite(file, rest, offset - base)?;
            rest = &rest[written..];
            offset += written as u64;
        }
    }
    Ok(())
}

/// Fills `buffer` from one place of the file with one call.
///
/// # Errors
///
/// A read that fails or comes back short.
#[inline]
pub fn read_exact(file: &File, buffer: &mut [u8], offset: u64) -> Result<()> {
    let len = rustix::io::pread(file, &mut *buffer, offset)?;
    if len == buffer.len() {
        return Ok(());
    }
    Err(Failure::new("a short read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_stream_lands_at_its_place_in_a_file_of_its_own() {
        let pool = Pool::new(256, 1);
        let file = create(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let (from, to) = (3 << 20, (4 << 20) + 512);
        preallocate(&file, to - from).unwrap();
        write_stream(&file, &pool, from, to, from).unwrap();
        let mut buffer = [0; 256];
        for index in [0, 4000, 4097] {
            read_exact(&file, &mut buffer, index * 256).unwrap();
            assert_eq!(buffer, pool.item(from / 256 + index));
        }
        assert!(read_exact(&file, &mut buffer, to - from).is_err());
    }
}
