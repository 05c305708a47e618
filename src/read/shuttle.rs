//! Schedules of the idle engines: threads take and return engines, in orders that a scheduler
//! chooses. `testing::schedules` says how to run them.

use std::cell::RefCell;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::read::Engine;
use crate::read::idle::{Idle, KEPT_MAX};
use crate::sys;
use crate::sys::{Finished, Read};
use crate::testing::schedules::{check, finds, point};

/// More than there are places for engines.
const THREADS: usize = KEPT_MAX + 1;
const STEPS: usize = 4;
const DEPTH_MAX: usize = 3;

/// An engine that detects two users at a time, and use after it was returned.
#[derive(Debug)]
struct Watched {
    depth: usize,
    /// Whether a thread uses the engine. Outlives the engine, so that later use is detected too.
    used: Arc<AtomicBool>,
    alive: Arc<AtomicUsize>,
}

impl Engine for Watched {
    fn start(&mut self, _file: &sys::File, _read: Read) {}

    /// The only operation here: it takes a while, and no other thread may begin it meanwhile.
    fn submit(&mut self) {
        use_alone(&self.used);
        LAST_USED.set(Some(Arc::clone(&self.used)));
    }

    fn finished(&mut self, _wait: usize) -> Option<Finished> {
        None
    }

    fn depth_for_others(&self) -> usize {
        self.depth
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        point();
        self.alive.fetch_sub(1, Relaxed);
    }
}

thread_local! {
    /// The engine that was used last. All threads of a model run on one thread of the system.
    static LAST_USED: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

fn use_alone(used: &AtomicBool) {
    assert!(!used.swap(true, Relaxed), "two use one engine");
    point();
    used.store(false, Relaxed);
}

/// Threads take an engine or create one, use it, and return it. The planted bug: a thread uses an
/// engine after it returned it.
fn takers(planted: bool) {
    let idle = Arc::new(Idle::default());
    let alive = Arc::new(AtomicUsize::new(0));
    let start = |_| {
        let (idle, alive) = (Arc::clone(&idle), Arc::clone(&alive));
        thread::spawn(move || {
            for _ in 0..STEPS {
                let depth = thread_rng().gen_range(0..=DEPTH_MAX);
                let mut engine = idle.take(depth).unwrap_or_else(|| {
                    alive.fetch_add(1, Relaxed);
                    let used = Arc::new(AtomicBool::new(false));
                    let alive = Arc::clone(&alive);
                    Box::new(Watched { depth, used, alive })
                });
                assert!(engine.depth_for_others() >= depth, "it is for fewer");
                engine.submit();
                let used = LAST_USED.take().unwrap();
                idle.keep(engine);
                if planted {
                    use_alone(&used);
                }
            }
        })
    };
    let threads: Vec<_> = (0..THREADS).map(start).collect();
    for one in threads {
        one.join().unwrap();
    }
    let left = alive.load(Relaxed);
    assert!(left <= KEPT_MAX, "{left} engines are kept");
    let kept: Vec<_> = iter::from_fn(|| idle.take(0)).collect();
    assert_eq!(kept.len(), left, "one is lost");
    drop(kept);
    assert_eq!(alive.load(Relaxed), 0);
}

#[test]
fn no_engine_has_two_users_and_a_few_at_most_are_kept() {
    check("the engine that is kept", 10_000, || takers(false));
}

#[test]
fn who_uses_an_engine_that_he_has_left_is_found_out() {
    finds("two use one engine", || takers(true));
}
