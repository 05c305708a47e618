//! Reads with many under way, by io_uring: what the device can do, with nothing in between.
#![expect(
    unsafe_code,
    reason = "the kernel writes into our memory between submission and completion"
)]

use std::fs::File;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, types};

use crate::error::{Result, anyhow, skip};
use crate::pool::index;
use crate::raw::BLOCK;

/// Equally long pieces of memory, the first of them aligned for direct transfers.
pub(crate) struct Blocks {
    memory: Vec<u8>,
    start: usize,
    len: usize,
    count: usize,
}

impl Blocks {
    /// Makes `count` blocks of `len` bytes; for direct transfers, a multiple of 4096.
    pub(crate) fn new(count: usize, len: usize) -> Self {
        let memory = vec![0u8; count * len + BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK);
        Self {
            memory,
            start,
            len,
            count,
        }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> &mut [u8] {
        let start = self.start + index * self.len;
        &mut self.memory[start..start + self.len]
    }
}

/// Reads a block at each offset, with as many under way as there are blocks, and shows each to
/// `see` with its place in the list, in the order in which they come. Skips where io_uring is
/// refused.
pub(crate) fn read_all(
    file: &File,
    offsets: impl IntoIterator<Item = u64>,
    blocks: &mut Blocks,
    mut see: impl FnMut(usize, &[u8]) -> Result<()>,
) -> Result<()> {
    let ring = IoUring::new(u32::try_from(blocks.count)?);
    let mut ring = ring.map_err(|error| skip(format!("no io_uring: {error}")))?;
    let mut free: Vec<usize> = (0..blocks.count).collect();
    let mut place_of = vec![0; blocks.count];
    let mut waiting = offsets.into_iter().enumerate();
    let mut first_error = Ok(());
    loop {
        while let (Some(slot), true) = (free.last().copied(), first_error.is_ok()) {
            let Some((place, offset)) = waiting.next() else {
                break;
            };
            free.pop();
            place_of[slot] = place;
            submit(&mut ring, file, blocks, slot, offset);
        }
        if free.len() == blocks.count {
            return first_error;
        }
        if let Err(error) = ring.submit_and_wait(1) {
            if error.raw_os_error() != Some(libc::EINTR) {
                // The kernel may write into the blocks for as long as they live.
                eprintln!("io_uring: {error}");
                std::process::abort();
            }
        }
        for entry in ring.completion() {
            let slot = index(entry.user_data());
            let seen = match usize::try_from(entry.result()) {
                Ok(len) if len == blocks.len => see(place_of[slot], blocks.get_mut(slot)),
                _ => Err(anyhow!("a read returned {}", entry.result())),
            };
            first_error = first_error.and(seen);
            free.push(slot);
        }
    }
}

/// Queues one read; there are as many places as blocks.
fn submit(ring: &mut IoUring, file: &File, blocks: &mut Blocks, slot: usize, offset: u64) {
    let block = blocks.get_mut(slot);
    let len = u32::try_from(block.len()).unwrap_or(0);
    let read = opcode::Read::new(types::Fd(file.as_raw_fd()), block.as_mut_ptr(), len);
    let entry = read.offset(offset).build().user_data(slot as u64);
    // SAFETY: `read_all` returns only when no read is under way, and it has `blocks` to itself and
    // `file` open until then. It gives a block away once at a time and reads it after its
    // completion only.
    let pushed = unsafe { ring.submission().push(&entry) };
    debug_assert!(pushed.is_ok(), "more reads than places");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use crate::raw;
    use std::path::Path;

    #[test]
    fn every_read_brings_the_bytes_of_its_place_and_a_short_one_is_an_error() {
        let file = raw::create(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let pool = Pool::new(256, 1);
        raw::write_stream(&file, &pool, 0, 1 << 20, 0).unwrap();
        let offsets: Vec<u64> = (0..50).map(|index| index * 4096 * 7 % (1 << 20)).collect();
        let mut blocks = Blocks::new(4, BLOCK);
        let mut seen = vec![false; offsets.len()];
        let read = read_all(
            &file,
            offsets.iter().copied(),
            &mut blocks,
            |place, block| {
                seen[place] = *block == pool.chunk(offsets[place])[..BLOCK];
                Ok(())
            },
        );
        if let Err(error) = read {
            assert!(error.is::<crate::error::Skip>(), "{error}");
            return; // io_uring is refused here
        }
        assert!(seen.iter().all(|seen| *seen));
        let past_end = read_all(&file, [(1 << 20) - 7], &mut blocks, |_place, _block| Ok(()));
        assert!(past_end.is_err());
    }
}
