//! The plain alternative to batches: an `io_uring` kept full, nothing in between.
#![expect(unsafe_code, reason = "hands addresses to the kernel")]

use std::fs::File;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, types};

use crate::failure::{Failure, Result};
use crate::pool;

/// What is read at a time past the page cache, and where its parts start.
const BLOCK: usize = 4096;

/// Reads `len` bytes at each offset, `depth` at a time, in ascending order, and returns the sum of
/// their words. Direct files are read by whole blocks; no item crosses one.
///
/// # Errors
///
/// A system that refuses rings, or a read that fails or comes back short.
pub(super) fn sum(
    file: &File,
    sorted: &[u64],
    len: usize,
    depth: usize,
    direct: bool,
) -> Result<u64> {
    let mut ring = IoUring::new(u32::try_from(depth).unwrap_or(128))?;
    let mut memory = vec![0u8; (depth + 1) * BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    let mut free: Vec<usize> = (0..depth).collect();
    let mut inside = vec![0; depth];
    let mut left = sorted.iter();
    let mut running = 0;
    let mut sum = 0u64;
    loop {
        while let Some(slot) = free.pop() {
            let Some(offset) = left.next() else {
                free.push(slot);
                break;
            };
            inside[slot] = if direct {
                pool::index(offset % BLOCK as u64)
            } else {
                0
            };
            let asked = if direct { BLOCK } else { len };
            let at = memory[start + slot * BLOCK..].as_mut_ptr();
            let asked = u32::try_from(asked).unwrap_or(u32::MAX);
            let entry = opcode::Read::new(types::Fd(file.as_raw_fd()), at, asked)
                .offset(offset - inside[slot] as u64)
                .build()
                .user_data(slot as u64);
            // SAFETY: the file is open and the memory lives until the loop below has seen
            // every completion, also when one of them is an error.
            if unsafe { ring.submission().push(&entry) }.is_err() {
                return Err(Failure::new("the ring is full"));
            }
            running += 1;
        }
        if running == 0 {
            return Ok(sum);
        }
        ring.submit_and_wait(1)?;
        for done in ring.completion() {
            running -= 1;
            let slot = pool::index(done.user_data());
            let end = inside[slot] + len;
            if usize::try_from(done.result()).is_ok_and(|brought| brought >= end) {
                let block = &memory[start + slot * BLOCK..][..end];
                sum = sum.wrapping_add(pool::sum_words(&block[inside[slot]..]));
            } else {
                // Nothing else is started, and the others are under way into this memory.
                std::process::exit(1);
            }
            free.push(slot);
        }
    }
}
