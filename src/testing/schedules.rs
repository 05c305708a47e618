//! Schedules: what threads do to each other, under a scheduler that chooses at each atomic, each lock
//! and, where a model asks for it, each system call which thread goes on. Run with
//! `RUSTFLAGS="--cfg shuttle" cargo test --release --lib shuttle`: other tests share the atomics, and
//! know no scheduler.
//!
//! Half of the schedules choose at random, half change the thread at few places that are chosen at
//! random (probabilistic concurrency testing). `$OUTCORE_SEED` says where they begin,
//! `$OUTCORE_SCHEDULES` how many there are of each kind, for each model. A schedule that failed is printed, and
//! `$OUTCORE_SCHEDULE` runs it again.
//!
//! A scheduler has one order for all threads: what a processor may reorder is for loom, and for the
//! sanitizer of threads.
//!
//! The canary is [`finds_torn`]: an addition, or an exchange, between whose two halves others may go
//! on. What a model does not find then, it would not find in our code.

use std::any::Any;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::sync::atomic;
use shuttle::{Config, Runner};

use crate::sync::torn::tear;
use crate::sys::plan::before_each_call;

/// Schedules of each kind in which a planted bug has to be found.
const COUNT_PLANTED: usize = 4000;

/// How many changes of thread those of the second kind make that nothing forces, and one.
const DEPTH: usize = 4;

/// Bytes of a thread's stack: paths are looked up on it.
const STACK_BYTES: usize = 512 << 10;

/// Runs `model` in `count` schedules of each kind, in none of which it may panic, or wait for ever.
/// Returns how many there were.
pub(crate) fn check(name: &str, count: usize, model: impl Fn() + Send + Sync + 'static) -> usize {
    let ran = run(count, model);
    println!("shuttle: {name}: {ran} schedules");
    ran
}

/// Checks that a model in which a bug is planted complains of it.
pub(crate) fn finds(complaint: &str, model: impl Fn() + Send + Sync + 'static) {
    let found = catch_unwind(AssertUnwindSafe(|| run(COUNT_PLANTED, model)));
    let text = match found {
        Ok(ran) => panic!("what is planted is not found in {ran} schedules"),
        Err(payload) => text_of(payload.as_ref()),
    };
    assert!(text.contains(complaint), "not what is planted: {text}");
    println!("shuttle: planted, and found: {complaint}");
}

/// Checks that a model complains where additions and exchanges are in two halves.
pub(crate) fn finds_torn(complaint: &str, model: impl Fn() + Send + Sync + 'static) {
    tear(true);
    finds(complaint, model);
    tear(false);
}

/// Lets others go on, as each atomic does.
pub(crate) fn point() {
    atomic::AtomicBool::new(false).load(Relaxed);
}

fn run(count: usize, model: impl Fn() + Send + Sync + 'static) -> usize {
    let model = std::sync::Arc::new(model);
    if let Ok(encoded) = env::var("OUTCORE_SCHEDULE") {
        return with(ReplayScheduler::new_from_encoded(&encoded), &model);
    }
    let seed = env::var("OUTCORE_SEED").map_or(0, |seed| seed.parse().unwrap());
    let count = env::var("OUTCORE_SCHEDULES").map_or(count, |count| count.parse().unwrap());
    let by_chance = with(RandomScheduler::new_from_seed(seed, count), &model);
    by_chance + with(PctScheduler::new_from_seed(seed, DEPTH, count), &model)
}

fn with<M: Fn() + Send + Sync + 'static>(
    scheduler: impl Scheduler + 'static,
    model: &std::sync::Arc<M>,
) -> usize {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.silence_warnings = true;
    let _quiet = Quiet;
    let model = std::sync::Arc::clone(model);
    Runner::new(scheduler, config).run(move || model())
}

/// Ends what is done before each call, however a run ends.
struct Quiet;

impl Drop for Quiet {
    fn drop(&mut self) {
        before_each_call(None);
    }
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| payload.downcast_ref::<&str>().unwrap_or(&"").to_string())
}
