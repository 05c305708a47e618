//! The global allocator: large blocks in a file, all others in the inner allocator.
//!
//! A global allocator is called from everywhere: before `main`, in destructors of threads, in
//! forked children. So this code allocates nothing, and waits for nothing that could wait for it:
//! while the file is created, the inner allocator serves all requests.
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
use crate::io::search;
use crate::sync::{AtomicU8, AtomicU64, AtomicUsize, thread_local};
use crate::sys;

/// A global allocator whose large blocks live in a file of the scratch directory.
///
/// For programs with a few huge vectors, strings or hash tables. **It does not help trees of small
/// nodes**, such as `serde_json::Value` or `BTreeMap<String, _>`: their blocks are below every
/// useful threshold and stay in memory. A program that read a JSON text of 244 MB into a
/// `serde_json::Value` was killed in 512 MiB at every threshold
/// (`docs/records/past-memory-2026-11.md`).
///
/// A program needs two lines. The large blocks no longer count against the memory limit, since the
/// kernel writes them to disk when memory runs short. Blocks of at least `threshold` bytes go to
/// the file, all others to an inner allocator, std's [`System`] unless another is named. The
/// variable `$OUTCORE_SPILL` replaces the threshold: a number of bytes, followed by `KiB`, `MiB` or
/// `GiB`, or `off`. The first large block creates the file, in the directory that
/// [`ScratchDir::from_env`](crate::ScratchDir::from_env) finds with the environment that the
/// process was started with. The allocator allocates no memory for itself, does not read the
/// environment through std, and needs one byte of each thread, so it works before `main` and in
/// destructors of thread-locals.
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
/// A program that already has a global allocator keeps it for its small blocks:
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
/// `tikv_jemallocator::Jemalloc` is used in the same way. `ci/spill-crates.sh` runs the tests of
/// published crates with either.
///
/// # Growth
///
/// A block is copied when it grows past the threshold, and while it has at most 1 MiB. After that
/// it is never copied: the system extends it in place, or remaps it to other addresses. The
/// exception is a program with more than 4096 large blocks at a time, whose blocks up to 32 MiB are
/// copied. A block that shrinks gives space back to the disk.
///
/// # Failure
///
/// If the directory cannot be used, the disk is full or a quota is reached, the inner allocator
/// gets the request, and [`failures`](Self::failures) counts it. The inner allocator also gets,
/// uncounted, the requests of other threads while the first large block of the program creates the
/// file. A page that the device cannot deliver kills the process with `SIGBUS` when it is accessed.
///
/// # Fork
///
/// A child cannot access its parent's spilled blocks, nor change them: an access raises `SIGSEGV`.
/// It may free them, which does nothing, and shrink them; growing one is refused as if memory were
/// full. The child's own blocks come from the inner allocator, so a child that leaves its parent's
/// large blocks alone can run as long as it likes. If the parent had no large blocks yet, the child
/// spills to its own file.
///
/// This requires the C library's `fork`. In a child made by a bare system call, memory that the
/// child maps later may get the addresses of a large block. Such memory is then not freed, and
/// growing an inherited block copies what is there.
///
/// A child that calls `exec` at once, as [`Command`](std::process::Command) does, is not affected,
/// with one exception: where std forks (with `pre_exec`, `uid`, `gid` and the like), an argument or
/// environment of the threshold's size is missing for `exec`, and `spawn` returns an error.
///
/// Like every allocator it must not be called from signal handlers.
pub struct SpillAlloc<A = System> {
    inner: A,
    /// Blocks of at least this size go to the file. [`UNASKED`] until the environment was read.
    threshold: AtomicUsize,
    /// No block in the file has a layout of fewer bytes than this: the threshold, or in a forked
    /// child the size of the shortest block that was to be shrunk there. [`UNASKED`] as above.
    smallest: AtomicUsize,
    /// The threshold that the program has set.
    default_threshold: usize,
    /// The state of `blocks`: [`NONE`], [`MAKING`], [`READY`] or [`FAILED`].
    state: AtomicU8,
    /// Addresses of all blocks in the file; both 0 while there are none.
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

/// The threshold with which every request reads the environment.
const UNASKED: usize = 0;

/// The smallest threshold: below it, blocks would cost more in the file than they save.
const THRESHOLD_MIN: usize = 4 << 10;

// SAFETY: `blocks` is written by one thread before others may read it (invariant 1), and `Blocks`
// may be used by all threads.
unsafe impl<A: Sync> Sync for SpillAlloc<A> {}

thread_local! {
    /// Whether this thread runs our own code, which must not call itself.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Marks that the thread runs our own code, until it is dropped.
struct Inside;

impl Inside {
    /// Returns `None` if the thread runs our code already, or has no thread-locals any more.
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
    /// Creates an allocator that sends blocks of at least `threshold` bytes to disk, and all others
    /// to [`System`]. A threshold below 4 KiB counts as 4 KiB.
    #[must_use]
    pub const fn new(threshold: usize) -> Self {
        Self::with_inner(threshold, System)
    }
}

impl<A> SpillAlloc<A> {
    /// Creates an allocator that sends blocks of at least `threshold` bytes to disk, and all others
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

    /// Returns the number of bytes that large blocks take on disk.
    pub fn spilled_bytes(&self) -> u64 {
        self.blocks().map_or(0, Blocks::claimed_bytes)
    }

    /// Returns the largest number of bytes that large blocks have taken on disk so far.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Relaxed)
    }

    /// Returns how many large blocks the inner allocator got because the file had no space for
    /// them.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Writes all large blocks back to disk and releases them from memory.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system fails to write back.
    pub fn evict(&self) -> Result<()> {
        let _inside = Inside::enter();
        let Some(blocks) = self.blocks() else {
            return Ok(());
        };
        blocks.evict().map_err(|refused| blocks.error(refused))
    }

    /// Reads the threshold from the environment with which the process started.
    #[cold]
    fn ask_threshold(&self) -> usize {
        let mut value = [0; 32];
        let asked = sys::initial_variable(b"OUTCORE_SPILL", &mut value);
        let asked = asked.and_then(parse_threshold);
        let asked = asked.unwrap_or(self.default_threshold).max(THRESHOLD_MIN);
        // If several threads read it, the first result is kept: blocks are identified by it.
        let first = self
            .threshold
            .compare_exchange(UNASKED, asked, Relaxed, Relaxed);
        let threshold = first.err().unwrap_or(asked);
        // A value that a child has stored meanwhile is kept too.
        let _known = self
            .smallest
            .compare_exchange(UNASKED, threshold, Relaxed, Relaxed);
        threshold
    }

    /// Returns whether blocks of so many bytes are never in the file, nor go there.
    #[inline]
    fn is_small(&self, bytes: usize) -> bool {
        bytes < self.smallest.load(Relaxed)
    }

    /// Returns the blocks if they exist.
    fn blocks(&self) -> Option<&Blocks> {
        if self.state.load(Acquire) != READY {
            return None;
        }
        // SAFETY: the state says that no thread writes here any more (invariant 1).
        let blocks = unsafe { &*self.blocks.get() };
        // SAFETY: the state says that there is a value (invariant 1).
        Some(unsafe { blocks.assume_init_ref() })
    }

    /// Returns the blocks, and creates them if no thread has. The caller is marked as [`Inside`].
    fn make_blocks(&self) -> Option<&Blocks> {
        if self
            .state
            .compare_exchange(NONE, MAKING, AcqRel, Acquire)
            .is_ok()
        {
            let made = search::initial_scratch_file().and_then(|file| Blocks::over(file).ok());
            // Children are prepared before any block is at the addresses.
            let state = match made.filter(Blocks::clear_in_children) {
                Some(blocks) => {
                    let (base, len) = blocks.addresses();
                    // SAFETY: only this thread changed the state to `MAKING`, so only it writes
                    // here (invariant 1).
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

    /// Returns whether the file could not be created.
    fn is_without_file(&self) -> bool {
        self.state.load(Acquire) == FAILED
    }

    /// Returns whether a block is in the file.
    fn is_ours(&self, block: *mut u8) -> bool {
        // The length first: a thread that sees it also sees the base.
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
        // Never dropped, like a global allocator.
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

    /// Counts the heap calls of each thread.
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
