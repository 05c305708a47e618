//! Schedules: how threads affect each other. A scheduler chooses at each atomic, each lock and, if
//! the model asks for it, each system call which thread continues. Run with `RUSTFLAGS="--cfg
//! shuttle" cargo test --release --lib shuttle`: other tests share the atomics, but run outside of
//! a scheduler.
//!
//! Half of the schedules choose at random; the other half switch the thread at few places that are
//! chosen at random (probabilistic concurrency testing). `$OUTCORE_SEED` sets the first seed,
//! `$OUTCORE_SCHEDULES` the number of schedules of each kind, for each model. A failed schedule is
//! printed, and `$OUTCORE_SCHEDULE` runs it again.
//!
//! A scheduler has one order for all threads: loom and the thread sanitizer cover what a processor
//! may reorder.
//!
//! The canary is [`finds_torn`]: an addition, or an exchange, in two halves, between which other
//! threads may run. A bug that a model misses there, it would also miss in our code.

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

/// How many unforced thread switches the second kind makes, plus one.
const DEPTH: usize = 4;

/// Bytes of a thread's stack, on which paths are resolved.
const STACK_BYTES: usize = 512 << 10;

/// Runs `model` in `count` schedules of each kind. Panics if the model panics or deadlocks in one.
/// Returns the number of schedules.
pub(crate) fn check(name: &str, count: usize, model: impl Fn() + Send + Sync + 'static) -> usize {
    let ran = run(count, model);
    println!("shuttle: {name}: {ran} schedules");
    ran
}

/// Checks that a model with a planted bug fails with this message.
pub(crate) fn finds(complaint: &str, model: impl Fn() + Send + Sync + 'static) {
    let found = catch_unwind(AssertUnwindSafe(|| run(COUNT_PLANTED, model)));
    let text = match found {
        Ok(ran) => panic!("the planted bug was not found in {ran} schedules"),
        Err(payload) => text_of(payload.as_ref()),
    };
    assert!(text.contains(complaint), "not the planted bug: {text}");
    println!("shuttle: planted bug found: {complaint}");
}

/// Checks that a model fails with this message when additions and exchanges are split in two
/// halves.
pub(crate) fn finds_torn(complaint: &str, model: impl Fn() + Send + Sync + 'static) {
    tear(true);
    finds(complaint, model);
    tear(false);
}

/// Lets other threads run, as each atomic does.
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

/// Ends the hook that runs before each call, however a run ends.
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
