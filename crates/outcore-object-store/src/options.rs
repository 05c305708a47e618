//! How a store makes requests.

use std::time::Duration;

use crate::cache::CHUNK_BYTES;

/// How a [`Store`](crate::Store) makes requests.
///
/// # Examples
///
/// ```
/// use object_store::memory::InMemory;
/// use outcore_object_store::{Options, Store, object_store};
///
/// // For a store that is near, or charges for bytes.
/// let options = Options::new().gap_bytes(16 << 10).concurrency(64);
/// let store = Store::with_options(InMemory::new(), options)?;
/// # drop(store);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) gap_bytes: u64,
    pub(crate) request_bytes_max: u64,
    pub(crate) concurrency: usize,
    pub(crate) retries: u32,
    pub(crate) first_pause: Duration,
}

impl Options {
    /// Gaps of up to 256 KiB, requests of up to 4 MiB, 16 of them at a time, three retries.
    pub fn new() -> Self {
        Self {
            gap_bytes: 256 << 10,
            request_bytes_max: 4 << 20,
            concurrency: 16,
            retries: 3,
            first_pause: Duration::from_millis(100),
        }
    }

    /// Sets how many bytes that are not wanted are read between two ranges to save a request.
    #[must_use]
    pub fn gap_bytes(mut self, bytes: u64) -> Self {
        self.gap_bytes = bytes;
        self
    }

    /// Sets the length of the longest request, rounded down to blocks of 16 KiB; one block is the least.
    /// Ranges that are longer take several.
    #[must_use]
    pub fn request_bytes_max(mut self, bytes: u64) -> Self {
        let blocks = (bytes / CHUNK_BYTES).max(1);
        self.request_bytes_max = blocks.saturating_mul(CHUNK_BYTES);
        self
    }

    /// Sets how many requests of one read are under way at a time; 0 means 1. As many answers are in
    /// memory.
    #[must_use]
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.max(1);
        self
    }

    /// Sets how often a request is made again, and the pause before the first retry. It doubles with each
    /// retry, up to 10 s.
    ///
    /// The clients of `object_store` retry requests too, by default for up to three minutes, before an
    /// error arrives here: see `RetryConfig` there.
    #[must_use]
    pub fn retries(mut self, retries: u32, first_pause: Duration) -> Self {
        (self.retries, self.first_pause) = (retries, first_pause);
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
