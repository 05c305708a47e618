//! Heaps: the runs of small blocks, distributed among threads so that these seldom wait for each
//! other.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bug::bug;
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
        let found = self.heaps.get(usize::from(heap));
        let found = found.unwrap_or_else(|| bug!("heap {heap} of {HEAPS}"));
        found.runs.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(all(test, target_os = "linux", not(any(miri, memory_backend))))]
mod tests {
    use std::alloc::Layout;
    use std::path::Path;
    use std::sync::mpsc;
    use std::{fs, thread};

    use super::*;
    use crate::heap::Blocks;
    use crate::heap::table::UNIT_BYTES;
    use crate::io::dir::ScratchDir;
    use crate::io::scratch::ScratchFile;

    /// A thread looked up the units, and then waited for its heap. The thread that had the heap
    /// opened more units meanwhile, and added a run there. So the first one changed a list of runs
    /// of which it did not see all, and the links of the others stayed as they were.
    #[test]
    fn a_thread_that_waited_for_its_heap_sees_the_runs_that_were_added() {
        let dir = ScratchDir::new(env!("CARGO_MANIFEST_DIR")).unwrap();
        let blocks = Blocks::over(ScratchFile::create(&dir).unwrap()).unwrap();
        blocks.take_units(0, UNIT_BYTES).unwrap();
        let seen = blocks.table.units().len();
        let heap = heap_of_thread();
        let mut runs = blocks.heaps.lock(heap);
        thread::scope(|scope| {
            let (send, receive) = mpsc::channel();
            let blocks = &blocks;
            let waits = scope.spawn(move || {
                HEAP.set(heap);
                send.send(fs::read_link("/proc/thread-self").unwrap())
                    .unwrap();
                let block = blocks.allocate(Layout::new::<u64>(), false);
                blocks.offset(block.unwrap())
            });
            let entry = Path::new("/proc").join(receive.recv().unwrap());
            let sleeps = || {
                let stat = fs::read_to_string(entry.join("stat")).unwrap();
                stat.rsplit_once(") ").unwrap().1.starts_with('S')
            };
            while !sleeps() {
                thread::yield_now();
            }
            let added = blocks.take_units(12, UNIT_BYTES).unwrap();
            assert!(added >= seen, "unit {added} of {seen}");
            runs.add(blocks.table.units(), added, 0, heap);
            drop(runs);
            assert_eq!(waits.join().unwrap() / UNIT_BYTES, added);
        });
    }
}
