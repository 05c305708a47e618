//! Reads with many under way, by io_uring: what the device can do, with nothing in between.
#![expect(
    unsafe_code,
    reason = "the kernel writes into our memory between submission and completion"
)]

use std::fs::File;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, types};

use crate::failure::{Failure, Result};

/// What direct transfers are aligned to.
const ALIGNMENT: usize = 4096;

/// Equally long pieces of memory, aligned for direct transfers.
#[derive(Debug)]
pub(crate) struct Blocks {
    memory: Vec<u8>,
    start: usize,
    len: usize,
    count: usize,
}

impl Blocks {
    /// Makes `count` blocks of `len` bytes, a multiple of 4096.
    pub(crate) fn new(count: usize, len: usize) -> Self {
        let memory = vec![0u8; count * len + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Self {
            memory,
            start,
            len,
            count,
        }
    }

    /// Returns a block.
    pub(crate) fn get_mut(&mut self, index: usize) -> &mut [u8] {
        let start = self.start + index * self.len;
        &mut self.memory[start..start + self.len]
    }
}

/// Reads a block at each offset, with as many under way as there are blocks, and shows each
/// to `see`, in the order in which they come.
///
/// # Errors
///
/// A skip where io_uring is refused; a read that fails or is short; those of `see`.
pub(crate) fn read_all(
    file: &File,
    offsets: &[u64],
    blocks: &mut Blocks,
    mut see: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let entries = u32::try_from(blocks.count).unwrap_or(u32::MAX);
    let ring = IoUring::new(entries);
    let mut ring = ring.map_err(|error| Failure::skip(format!("no io_uring: {error}")))?;
    let mut free: Vec<usize> = (0..blocks.count).collect();
    let mut place_of = vec![0u64; blocks.count];
    let mut waiting = offsets.iter();
    let mut first_error = Ok(());
    loop {
        while let (Some(slot), true) = (free.last().copied(), first_error.is_ok()) {
            let Some(offset) = waiting.next() else {
                break;
            };
            free.pop();
            place_of[slot] = *offset;
            submit(&mut ring, file, blocks, slot, *offset);
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
            let slot = usize::try_from(entry.user_data()).unwrap_or(usize::MAX);
            let seen = match usize::try_from(entry.result()) {
                Ok(len) if len == blocks.len => see(place_of[slot], blocks.get_mut(slot)),
                _ => Err(Failure::new(format!("a read came to {}", entry.result()))),
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
    // SAFETY: `read_all` comes back only when no read is under way, and it has `blocks` to
    // itself and `file` open until then. It gives a block away once at a time and looks at it
    // after its completion only.
    let pushed = unsafe { ring.submission().push(&entry) };
    debug_assert!(pushed.is_ok(), "more reads than places");
}
