//! The global allocator: big blocks in a file, all others where they were.
//!
//! A global allocator is called from everywhere: before `main`, in destructors of threads, in
//! forked children. So our own code allocates nothing here, and nothing waits for anything that
//! could be waiting for it: while the file is being made, the inner allocator serves.
#![expect(
    unsafe_code,
    reason = "holds what is made once, by the thread that may; see docs/safety.md"
)]

mod calls;
#[cfg(test)]
mod faults;
#[cfg(test)]
#[cfg(shuttle)]
mod shuttle;
mod threshold;

use std::alloc::System;
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::containers::spill::threshold::parse_threshold;
use crate::error::Result;
use crate::heap::Blocks;
use crate::io::quiet;
use crate::sync::{AtomicU8, AtomicU64, AtomicUsize, thread_local};
use crate::sys;

/// A global allocator whose large blocks live in a file of the scratch directory.
///
/// For programs with a few huge vectors, strings or hash tables. **It does not help trees of small
/// nodes**, such as `serde_json::Value` or `BTreeMap<String, _>`: their blocks are below every
/// useful threshold and stay in memory. A JSON text of 244 MB, read into a `serde_json::Value`, was
/// killed in 512 MiB at every threshold (`docs/records/past-memory-2026-11.md`).
///
/// It takes two lines in a program. The large blocks no longer count against the memory limit, since
/// the kernel writes them to disk when memory runs short. Blocks of at least `threshold` bytes go to
/// the file, all others to an inner allocator, std's [`System`] unless another is named. The variable
/// `$OUTCORE_SPILL` replaces the threshold: a number of bytes, with `KiB`, `MiB` or `GiB` behind it,
/// or `off`. The first large block makes the file, in the directory that
/// [`ScratchDir::from_env`](crate::ScratchDir::from_env) finds with the environment that the process
/// was started with. The allocator allocates no memory for itself, does not read the environment
/// through std, and needs one byte of each thread, so it works before `main` and in destructors of
/// thread-locals.
///
/// # Examples
///
/// ```
/// use outcore::SpillAlloc;
///
/// #[global_allocator]
/// static GLOBAL: SpillAlloc = SpillAlloc::new(1 << 20);
///
/// let numbers: Vec<u64> = (0..1_000_000).collect();
/// assert!(GLOBAL.spilled_bytes() >= 8_000_000);
/// drop(numbers);
/// assert!(GLOBAL.spilled_bytes() < 8_000_000);
/// ```
///
/// # Other inner allocators
///
/// A program that has a global allocator already keeps it for its small blocks:
///
/// ```
/// # // Stands in for the crate of that name, which a C compiler makes.
/// # mod mimalloc {
/// #     use std::alloc::{GlobalAlloc, Layout, System};
/// #     pub struct MiMalloc;
/// #     // SAFETY: `System` does it all.
/// #     unsafe impl GlobalAlloc for MiMalloc {
/// #         unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
/// #             // SAFETY: the caller keeps the contract.
/// #             unsafe { System.alloc(layout) }
/// #         }
/// #         unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
/// #             // SAFETY: the caller keeps the contract.
/// #             unsafe { System.dealloc(block, layout) }
/// #         }
/// #     }
/// # }
/// use mimalloc::MiMalloc;
/// use outcore::SpillAlloc;
///
/// #[global_allocator]
/// static GLOBAL: SpillAlloc<MiMalloc> = SpillAlloc::with_inner(64 << 20, MiMalloc);
///
/// let names = vec!["small".to_owned(), "blocks".to_owned()];
/// let table = vec![0_u8; 64 << 20];
/// assert_eq!(GLOBAL.spilled_bytes(), 64 << 20);
/// # drop((names, table));
/// ```
///
/// `tikv_jemallocator::Jemalloc` goes in the same place. `ci/spill-crates.sh` runs the tests of
/// published crates with either.
///
/// # Growth
///
/// A block is copied when it grows past the threshold, and as long as it has at most 1 MiB; after
/// that never again: the system gives it more of the file, behind it or at other addresses. The
/// exception is a program with more than 4096 big blocks at a time, whose blocks up to 32 MiB are
/// copied. What shrinks gives space back to the disk.
///
/// # Failure
///
/// Where the directory cannot be used, the disk is full or a quota reached, the inner allocator
/// gets the request, and [`failures`](Self::failures) counts it. It also gets, uncounted, what other
/// threads ask for while the first big block of the program makes the file. A page that the device
/// cannot deliver kills the process with `SIGBUS` when it is touched.
///
/// # Fork
///
/// A forked child does not inherit big blocks, and cannot change its parent's. Where they were it
/// finds nothing: to touch one is `SIGSEGV`. It may free them, which does nothing, and shrink them;
/// to grow one is refused as if memory were full. What the child allocates itself is the inner
/// allocator's, so a child that leaves its parent's big blocks alone can go on as long as it likes.
/// If the parent had no big blocks yet, the child spills to a file of its own.
///
/// That takes the C library's `fork`. In a child made by a bare system call, memory that the child
/// maps later can come to lie where a big block was. It is then not freed, and growing an inherited
/// block copies what is there.
///
/// A child that calls `exec` at once, as [`Command`](std::process::Command) does, notices nothing,
/// with one exception: where std forks (with `pre_exec`, `uid`, `gid` and the like), an argument or
/// environment of the threshold's size is not there for `exec`, and `spawn` returns an error.
///
/// Like every allocator it must not be called from signal handlers.
pub struct SpillAlloc<A = System> {
    inner: A,
    /// Blocks of that many bytes go to the file. [`UNASKED`] until the environment was asked.
    threshold: AtomicUsize,
    /// No block in the file has a layout of fewer bytes than this: the threshold, and in a forked
    /// child the size of the shortest block that was to be shrunk there. [`UNASKED`] as above.
    smallest: AtomicUsize,
    /// The threshold of the program.
    default_threshold: usize,
    /// What is in `blocks`: [`NONE`], [`MAKING`], [`READY`] or [`FAILED`].
    state: AtomicU8,
    /// Addresses of all blocks in the file; both 0 until there are any.
    base: AtomicUsize,
    len: AtomicUsize,
    peak_bytes: AtomicU64,
    failures: AtomicU64,
    /// # Invariants
    ///
    /// 1. Initialized, and never changed again, once `state` is [`READY`]; before, only the thread
    ///    that changed `state` from [`NONE`] to [`MAKING`] writes it.
    blocks: UnsafeCell<MaybeUninit<Blocks>>,
}

const NONE: u8 = 0;
const MAKING: u8 = 1;
const READY: u8 = 2;
const FAILED: u8 = 3;

/// The threshold that lets every request look for the environment's.
const UNASKED: usize = 0;

/// The smallest threshold: below it, blocks would cost more in the file than they take.
const THRESHOLD_MIN: usize = 4 << 10;

// SAFETY: `blocks` is written by one thread before others may read it (invariant 1), and `Blocks`
// may be used by all threads.
unsafe impl<A: Sync> Sync for SpillAlloc<A> {}

thread_local! {
    /// Whether this thread is in our own code, which must not call itself.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Marks the thread as being in our own code, until it is dropped.
struct Inside;

impl Inside {
    /// Returns `None` where the thread is inside already, or has no thread-locals any more.
    fn enter() -> Option<Self> {
        let entered = INSIDE.try_with(|inside| !inside.replace(true));
        entered.unwrap_or(false).then_some(Self)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _gone = INSIDE.try_with(|inside| inside.set(false));
    }
}

impl SpillAlloc<System> {
    /// Makes an allocator that sends blocks of at least `threshold` bytes to disk, and all others
    /// to [`System`]. A threshold below 4 KiB counts as 4 KiB.
    #[must_use]
    pub const fn new(threshold: usize) -> Self {
        Self::with_inner(threshold, System)
    }
}

impl<A> SpillAlloc<A> {
    /// Makes an allocator that sends blocks of at least `threshold` bytes to disk, and all others
    /// to `inner`.
    #[must_use]
    pub const fn with_inner(threshold: usize, inner: A) -> Self {
        Self {
            inner,
            threshold: AtomicUsize::new(UNASKED),
            smallest: AtomicUsize::new(UNASKED),
            default_threshold: if threshold < THRESHOLD_MIN {
                THRESHOLD_MIN
            } else {
                threshold
            },
            state: AtomicU8::new(NONE),
            base: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            peak_bytes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            blocks: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Returns the threshold in bytes; `usize::MAX` when `$OUTCORE_SPILL` is `off`.
    pub fn threshold(&self) -> usize {
        match self.threshold.load(Relaxed) {
            UNASKED => self.ask_threshold(),
            threshold => threshold,
        }
    }

    /// Returns how many bytes on disk big blocks take.
    pub fn spilled_bytes(&self) -> u64 {
        self.blocks().map_or(0, Blocks::claimed_bytes)
    }

    /// Returns the most bytes on disk that big blocks have taken so far.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Relaxed)
    }

    /// Returns how many big blocks the inner allocator got, since the file had no space for them.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Writes all big blocks back to disk and takes them out of memory.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system fails to write back.
    pub fn evict(&self) -> Result<()> {
        let _inside = Inside::enter();
        self.blocks().map_or(Ok(()), Blocks::evict)
    }

    /// Asks the environment for the threshold, as it was when the process started.
    #[cold]
    fn ask_threshold(&self) -> usize {
        let mut value = [0; 32];
        let asked = sys::initial_variable(b"OUTCORE_SPILL", &mut value);
        let asked = asked.and_then(parse_threshold);
        let asked = asked.unwrap_or(self.default_threshold).max(THRESHOLD_MIN);
        // Of several threads that ask, the first one's answer holds: blocks are told apart by it.
        let first = self
            .threshold
            .compare_exchange(UNASKED, asked, Relaxed, Relaxed);
        let threshold = first.err().unwrap_or(asked);
        // Nor is undone what a child has noted meanwhile.
        let _known = self
            .smallest
            .compare_exchange(UNASKED, threshold, Relaxed, Relaxed);
        threshold
    }

    /// Returns whether nothing of so many bytes is in the file, or goes there.
    #[inline]
    fn is_small(&self, bytes: usize) -> bool {
        bytes < self.smallest.load(Relaxed)
    }

    /// Returns the blocks if they have been made.
    fn blocks(&self) -> Option<&Blocks> {
        if self.state.load(Acquire) != READY {
            return None;
        }
        // SAFETY: the state says that nobody writes here any more (invariant 1).
        let blocks = unsafe { &*self.blocks.get() };
        // SAFETY: and that there is a value (invariant 1).
        Some(unsafe { blocks.assume_init_ref() })
    }

    /// Returns the blocks, making them if nobody has. The thread is inside.
    fn make_blocks(&self) -> Option<&Blocks> {
        if self
            .state
            .compare_exchange(NONE, MAKING, AcqRel, Acquire)
            .is_ok()
        {
            let made = quiet::scratch_file().and_then(|file| Blocks::over(file).ok());
            // Children are told about the addresses before there is anything at them.
            let state = match made.filter(Blocks::clear_in_children) {
                Some(blocks) => {
                    let (base, len) = blocks.addresses();
                    // SAFETY: this thread alone changed the state, so it alone writes here
                    // (invariant 1).
                    unsafe { (*self.blocks.get()).write(blocks) };
                    self.base.store(base, Relaxed);
                    self.len.store(len, Release);
                    READY
                }
                None => FAILED,
            };
            self.state.store(state, Release);
        }
        self.blocks()
    }

    /// Returns whether the file could not be made.
    fn is_without_file(&self) -> bool {
        self.state.load(Acquire) == FAILED
    }

    /// Returns whether a block is in the file.
    fn is_ours(&self, block: *mut u8) -> bool {
        // The length first: once it is seen, so is the base.
        let len = self.len.load(Acquire);
        block.addr().wrapping_sub(self.base.load(Relaxed)) < len
    }

    fn note_peak(&self) {
        self.peak_bytes.fetch_max(self.spilled_bytes(), Relaxed);
    }
}

impl<A> fmt::Debug for SpillAlloc<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpillAlloc")
            .field("threshold", &self.threshold())
            .field("spilled_bytes", &self.spilled_bytes())
            .field("peak_bytes", &self.peak_bytes())
            .field("failures", &self.failures())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout};

    use super::*;

    #[test]
    fn blocks_cross_the_threshold_both_ways_with_their_bytes() {
        // Never dropped, as a global allocator is.
        static SPILL: SpillAlloc = SpillAlloc::new(64 << 10);
        let spill = &SPILL;
        let layout = |size| Layout::from_size_align(size, 64).unwrap();
        // SAFETY: the size is not zero.
        let mut block = unsafe { spill.alloc(layout(100)) };
        // SAFETY: the block has 100 bytes.
        unsafe { block.write_bytes(7, 100) };
        assert_eq!(spill.spilled_bytes(), 0);
        let mut size = 100;
        for new_size in [1 << 20, 5 << 20, 3 << 20, 70 << 10, 64 << 10, 10] {
            // SAFETY: the block has this layout, and the new size is not zero.
            block = unsafe { spill.realloc(block, layout(size), new_size) };
            size = new_size;
            assert_eq!(block.addr() % 64, 0);
            // SAFETY: the block has `size` bytes, of which the first 100 were written.
            let kept = unsafe { std::slice::from_raw_parts(block, size.min(10)) };
            assert!(kept.iter().all(|byte| *byte == 7), "at {size}");
            assert_eq!(spill.is_ours(block), size >= 64 << 10);
        }
        // SAFETY: the block has this layout.
        unsafe { spill.dealloc(block, layout(size)) };
        assert!(spill.peak_bytes() >= 5 << 20);
        assert_eq!(spill.failures(), 0);
    }

    /// Counts what each thread asks of the heap.
    struct Counting;

    std::thread_local! {
        pub(super) static ASKED: Cell<usize> = const { Cell::new(0) };
    }

    #[global_allocator]
    static COUNTING: Counting = Counting;

    // SAFETY: all calls are passed on to the system's allocator.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let _gone = ASKED.try_with(|asked| asked.set(asked.get() + 1));
            // SAFETY: the caller keeps the contract.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the caller keeps the contract.
            unsafe { System.dealloc(block, layout) };
        }
    }
}
