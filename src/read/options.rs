//! How many reads at a time, and past the page cache or through it.

/// How a batch of reads is done: by [`Arena::get_many_with`](crate::Arena::get_many_with) and its
/// kin.
///
/// The default is right for most devices and programs.
///
/// # Examples
///
/// ```
/// use outcore::{Arena, ReadOptions};
///
/// let arena = Arena::new()?;
/// let mut writer = arena.writer()?;
/// let locations = [writer.push("one")?, writer.push("two")?];
/// writer.finish()?;
/// // A pass over all of it, once: not worth a place in the page cache.
/// let once = ReadOptions::new().direct(true);
/// let mut bytes = 0;
/// arena.get_many_with(&once, &locations, |_index, item| bytes += item.len())?;
/// assert_eq!(bytes, 6);
/// # Ok::<(), outcore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options do nothing by themselves"]
pub struct ReadOptions {
    in_flight: usize,
    direct: bool,
    threads: bool,
}

/// Reads at a time, unless a program says otherwise. Devices are as fast as they get with fewer;
/// more only wait in the kernel.
const IN_FLIGHT: usize = 128;

/// The most reads at a time. Where pages are large, the memory for them may end earlier.
pub(crate) const IN_FLIGHT_MAX: usize = 192;

impl ReadOptions {
    /// The usual way: 128 reads at a time, through the page cache, by `io_uring` where the system
    /// lets us.
    pub const fn new() -> Self {
        Self {
            in_flight: IN_FLIGHT,
            direct: false,
            threads: false,
        }
    }

    /// Sets how many reads are under way at a time, from 1 to 192. Numbers outside of that are
    /// taken for the nearest inside, and where pages are larger than 4 KiB it may be fewer: their
    /// buffers take 16 MiB at most.
    ///
    /// More keep a device busy that does many at a time; fewer leave some of it to others.
    pub const fn in_flight(mut self, reads: usize) -> Self {
        self.in_flight = reads;
        self
    }

    /// Sets whether reads go past the page cache (`O_DIRECT`): then they push nothing out of it, and
    /// find nothing in it either.
    ///
    /// For data that is read once and is larger than memory. Where the file system has no such
    /// reads, they go through the cache. A child that is forked while such a batch runs does not
    /// have the bytes that are being delivered.
    pub const fn direct(mut self, direct: bool) -> Self {
        self.direct = direct;
        self
    }

    /// Sets whether threads read although the system may have an `io_uring` to offer: for measuring,
    /// and for programs that will forbid it to themselves.
    ///
    /// Without it, threads read only where the system refuses.
    pub const fn threads(mut self, only: bool) -> Self {
        self.threads = only;
        self
    }

    pub(crate) fn in_flight_reads(&self) -> usize {
        self.in_flight.clamp(1, IN_FLIGHT_MAX)
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.direct
    }

    pub(crate) fn is_by_threads(&self) -> bool {
        self.threads
    }
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self::new()
    }
}
