//! How many reads at a time, and through the page cache or around it.

/// How a batch of reads is done: by [`Arena::get_many_with`](crate::Arena::get_many_with) and
/// similar functions.
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

/// The default number of reads in flight. Devices reach their full speed with fewer; more only wait
/// in the kernel.
const IN_FLIGHT: usize = 128;

/// The largest number of reads in flight. Where pages are large, the memory for buffers may allow
/// fewer.
pub(crate) const IN_FLIGHT_MAX: usize = 192;

impl ReadOptions {
    /// Returns the default: 128 reads at a time, through the page cache, by `io_uring` where the
    /// system permits it.
    pub const fn new() -> Self {
        Self {
            in_flight: IN_FLIGHT,
            direct: false,
            threads: false,
        }
    }

    /// Sets the number of reads in flight, from 1 to 192. A number outside of that is replaced by
    /// the nearest inside. Where pages are larger than 4 KiB there may be fewer, since their
    /// buffers take 16 MiB at most.
    ///
    /// More reads keep a fast device busy; fewer leave some of it to other programs.
    pub const fn in_flight(mut self, reads: usize) -> Self {
        self.in_flight = reads;
        self
    }

    /// Sets whether reads bypass the page cache (`O_DIRECT`): they evict nothing from it, and do
    /// not use what is in it.
    ///
    /// For data that is read once and is larger than memory. Where the file system does not support
    /// such reads, they go through the cache. A child that is forked while such a batch runs does
    /// not have the bytes that are being delivered.
    pub const fn direct(mut self, direct: bool) -> Self {
        self.direct = direct;
        self
    }

    /// Sets whether threads read although the system may offer an `io_uring`: for measurements, and
    /// for programs that will forbid it to themselves.
    ///
    /// By default, threads read only where the system refuses `io_uring`.
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
