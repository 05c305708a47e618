//! A reader that goes through a file in ascending order: what it has passed leaves the page cache,
//! unless it was there before, or has a place in the share of the process.

use std::collections::VecDeque;

use crate::io::cache::trail::CHUNK_BYTES;
use crate::io::file::OwnedFile;

/// How many chunks ahead of the reader are looked at: more than the kernel reads ahead, which is twice
/// the device's `read_ahead_kb`, 8 MiB at most on the images that we know.
const AHEAD: u64 = 16;

/// How many more are looked at together.
const TOGETHER: u64 = 8;

/// One way through a file.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    /// The first chunk that the reader has not passed as a whole.
    chunk: u64,
    /// Whether the chunks from there on were in the cache before the reader came near.
    was_cached: VecDeque<bool>,
}

impl Pass {
    /// Begins at an offset. Nothing is known of the chunks around it: they will stay.
    pub(crate) fn start(&mut self, offset: u64) {
        self.chunk = offset / CHUNK_BYTES;
        self.was_cached.clear();
    }

    /// Notes, before the first byte is read, that the reader begins at this offset of the file, which
    /// is `len` bytes long.
    pub(crate) fn start_cold(&mut self, file: &OwnedFile, offset: u64, len: u64) {
        self.start(offset);
        self.look(file, len);
    }

    /// Returns whether a byte is among those that come next, of which it is known what was cached.
    pub(crate) fn expects(&self, offset: u64) -> bool {
        let ahead = (offset / CHUNK_BYTES).checked_sub(self.chunk);
        ahead.is_some_and(|ahead| ahead < self.was_cached.len() as u64)
    }

    /// Notes that the reader is done with the bytes before `offset`.
    pub(crate) fn reach(&mut self, file: &OwnedFile, offset: u64, len: u64) {
        let chunk = offset / CHUNK_BYTES;
        while self.chunk < chunk {
            match self.was_cached.pop_front() {
                Some(false) => file.pass(self.chunk.saturating_mul(CHUNK_BYTES)),
                Some(true) => {}
                // Nothing is known of the others, however many they are.
                None => {
                    self.chunk = chunk;
                    break;
                }
            }
            self.chunk = self.chunk.saturating_add(1);
        }
        if (self.was_cached.len() as u64) < AHEAD {
            self.look(file, len);
        }
    }

    /// Looks what of the chunks ahead is in the cache.
    fn look(&mut self, file: &OwnedFile, len: u64) {
        let end = len.div_ceil(CHUNK_BYTES);
        let known = self.chunk.saturating_add(self.was_cached.len() as u64);
        let to = self.chunk.saturating_add(AHEAD.saturating_add(TOGETHER));
        for chunk in known..to.min(end) {
            if self.was_cached.try_reserve(1).is_err() {
                return;
            }
            let offset = chunk.saturating_mul(CHUNK_BYTES);
            // The last one may be shorter: it is cached where most of what it has is.
            let here = CHUNK_BYTES.min(len.saturating_sub(offset));
            self.was_cached.push_back(file.is_cached(offset, here));
        }
    }
}
