//! The syncs of one file: after one of them failed, no later one counts as a success.
//!
//! The kernel reports lost pages once, to one caller, and takes them for clean after that
//! (linux-facts D1, D2). So a sync of another thread that ran at the same time may return success
//! for pages that were lost: a success counts only if all syncs that were in flight have succeeded.

use std::sync::PoisonError;

use crate::exact::sum;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// The syncs of one file.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whether a sync has failed.
    failed: bool,
    /// The number of the next sync.
    next: u64,
    /// The numbers of the syncs in flight.
    under_way: Vec<u64>,
}

impl Syncs {
    /// Runs a sync. Returns `None` if another one has failed, before or meanwhile.
    pub(crate) fn run<E>(&self, sync: impl FnOnce() -> Result<(), E>) -> Option<Result<(), E>> {
        let mut state = self.lock();
        if state.failed {
            return None;
        }
        let own = state.next;
        state.next = sum(own, 1);
        state.under_way.push(own);
        drop(state);
        let ended = Ended { syncs: self, own };
        let answer = sync();
        if answer.is_err() {
            self.lock().failed = true;
        }
        drop(ended);
        if answer.is_err() {
            return Some(answer);
        }
        let mut state = self.lock();
        let horizon = state.next;
        while !state.failed && state.under_way.iter().any(|number| *number < horizon) {
            state = (self.ended.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
        (!state.failed).then_some(answer)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records the end of a sync, also on unwind.
struct Ended<'syncs> {
    syncs: &'syncs Syncs,
    own: u64,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let own = self.own;
        self.syncs.lock().under_way.retain(|number| *number != own);
        self.syncs.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn after_a_failure_nothing_is_tried_any_more() {
        let syncs = Syncs::default();
        assert_eq!(syncs.run(|| Ok::<(), u8>(())), Some(Ok(())));
        assert_eq!(syncs.run(|| Err(5)), Some(Err(5)));
        assert_eq!(syncs.run(|| -> Result<(), u8> { panic!("was run") }), None);
    }

    /// The kernel reported lost pages to one of two concurrent callers. The other sync returned
    /// success, and its caller believed it.
    #[test]
    fn a_success_beside_a_failure_is_none() {
        let syncs = Syncs::default();
        let (has_begun, begun) = channel();
        let (may_end, end) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(|| {
                syncs.run(move || {
                    has_begun.send(()).unwrap();
                    end.recv().unwrap();
                    Err(5)
                })
            });
            begun.recv().unwrap();
            let beside = scope.spawn(|| {
                syncs.run(|| {
                    may_end.send(()).unwrap();
                    Ok::<(), u8>(())
                })
            });
            assert_eq!(beside.join().unwrap(), None);
        });
    }
}

/// Schedules of concurrent syncs. `testing::schedules` says how to run them.
#[cfg(test)]
#[cfg(shuttle)]
mod shuttle {
    use std::ops::Range;
    use std::sync::Arc;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

    use shuttle::rand::{Rng, thread_rng};
    use shuttle::thread;

    use crate::io::syncs::Syncs;
    use crate::testing::schedules::{check, finds, point};

    const THREADS: u32 = 3;
    const SYNCS: u32 = 3;

    /// A file that loses pages at some time; the system reports it once.
    struct World {
        syncs: Syncs,
        now: AtomicU64,
        /// How many syncs succeed before the loss.
        well: AtomicU32,
        /// When the sync ran in the kernel that failed, and each sync that counted as a success.
        failed: Mutex<Vec<Range<u64>>>,
        believed: Mutex<Vec<Range<u64>>>,
    }

    impl World {
        fn tick(&self) -> u64 {
            point();
            self.now.fetch_add(1, Relaxed)
        }

        /// The kernel's part of a sync.
        fn sync(&self) -> (Result<(), ()>, Range<u64>) {
            let start = self.tick();
            let fails = self.well.fetch_sub(1, Relaxed) == 0;
            let ran = start..self.tick();
            if fails {
                self.failed.lock().unwrap().push(ran.clone());
            }
            (if fails { Err(()) } else { Ok(()) }, ran)
        }

        fn live(&self, planted: bool) {
            for _ in 0..SYNCS {
                let mut ran = 0..0;
                let mut sync = || {
                    let (answer, when) = self.sync();
                    ran = when;
                    answer
                };
                let answer = if planted {
                    // The planted bug: other syncs are ignored.
                    Some(sync())
                } else {
                    self.syncs.run(sync)
                };
                if answer == Some(Ok(())) {
                    self.believed.lock().unwrap().push(ran);
                }
            }
        }
    }

    fn syncs(planted: bool) {
        let world = Arc::new(World {
            syncs: Syncs::default(),
            now: AtomicU64::new(0),
            well: AtomicU32::new(thread_rng().gen_range(0..THREADS * SYNCS)),
            failed: Mutex::default(),
            believed: Mutex::default(),
        });
        let start = |_| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.live(planted))
        };
        let threads: Vec<_> = (0..THREADS).map(start).collect();
        for one in threads {
            one.join().unwrap();
        }
        let failed = world.failed.lock().unwrap().clone();
        assert_eq!(failed.len(), 1, "the loss is reported once");
        for ran in &*world.believed.lock().unwrap() {
            let before = ran.end <= failed[0].start;
            assert!(before, "a sync counts that did not end before the loss");
        }
    }

    #[test]
    fn no_sync_is_believed_that_runs_beside_one_that_fails_or_after_it() {
        check("syncs of one file", 10_000, || syncs(false));
    }

    #[test]
    fn who_believes_each_sync_for_itself_is_found_out() {
        finds("did not end before", || syncs(true));
    }
}
