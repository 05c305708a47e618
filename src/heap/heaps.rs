//! Heaps: the runs of small blocks, distributed among threads so that these seldom wait for each
//! other.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::heap::runs::Runs;

/// The number of heaps. Further threads share them.
const HEAPS: u8 = 8;

/// A thread that has no heap yet.
const NO_HEAP: u8 = u8::MAX;

thread_local! {
    /// The heap of this thread. It has no destructor, so that it can be used until the thread ends.
    static HEAP: Cell<u8> = const { Cell::new(NO_HEAP) };
}

/// The heaps of one file.
#[derive(Debug)]
pub(crate) struct Heaps {
    heaps: [Heap; HEAPS as usize],
}

/// A heap, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Heap {
    runs: Mutex<Runs>,
}

impl Heaps {
    pub(crate) const fn new() -> Self {
        Self {
            heaps: [const {
                Heap {
                    runs: Mutex::new(Runs::new()),
                }
            }; HEAPS as usize],
        }
    }

    /// Locks a heap. The thread that holds the lock waits for nothing except page faults on the
    /// blocks.
    #[inline]
    pub(crate) fn lock(&self, heap: u8) -> MutexGuard<'_, Runs> {
        let [first, ..] = &self.heaps;
        let heap = self.heaps.get(usize::from(heap)).unwrap_or(first);
        heap.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the number of this thread's heap.
#[inline]
pub(crate) fn heap_of_thread() -> u8 {
    let heap = HEAP.try_with(Cell::get).unwrap_or(0);
    if heap == NO_HEAP { choose_heap() } else { heap }
}

#[cold]
fn choose_heap() -> u8 {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let heap = NEXT.fetch_add(1, Relaxed) % HEAPS;
    let _gone = HEAP.try_with(|mine| mine.set(heap));
    heap
}
