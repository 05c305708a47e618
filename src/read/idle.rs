//! A ring that has nothing to do, kept for the next batch.

use std::sync::TryLockError;

use crate::read::Engine;
use crate::sync::Mutex;
use crate::sys;

/// A place for one engine. To make a ring takes up to as long as a cold read (R11): much for a batch
/// of a few items, and nothing for one of thousands.
#[derive(Debug, Default)]
pub(crate) struct Idle(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    engine: Box<dyn Engine>,
    /// For how many reads at a time it was made.
    depth: usize,
    owner: u64,
}

impl Idle {
    /// Takes the engine out, if there is one of this process for so many reads at a time.
    pub(super) fn take(&self, depth: usize) -> Option<Box<dyn Engine>> {
        let fits = |kept: &mut Kept| kept.owner == sys::process() && kept.depth >= depth;
        self.with(|place| Some(place.take_if(fits)?.engine))
    }

    /// Keeps an engine, unless it is of no use to others, or there is one already.
    pub(super) fn keep(&self, engine: Box<dyn Engine>) {
        let (depth, owner) = (engine.depth_for_others(), sys::process());
        if depth == 0 {
            return;
        }
        // What is not kept is dropped when the lock is free again.
        let _other = self.with(|place| {
            let kept = Kept {
                engine,
                depth,
                owner,
            };
            if place.is_some() {
                return Some(kept);
            }
            place.replace(kept)
        });
    }

    /// Never waits: in a forked child, the lock may be that of a thread that only the parent has.
    fn with<R>(&self, work: impl FnOnce(&mut Option<Kept>) -> Option<R>) -> Option<R> {
        match self.0.try_lock() {
            Ok(mut place) => work(&mut place),
            Err(TryLockError::Poisoned(poisoned)) => work(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Finished, Read};

    /// An engine that somebody says is good for so many reads.
    #[derive(Debug)]
    struct Said(usize);

    impl Engine for Said {
        fn start(&mut self, _file: &sys::File, _read: Read) {}

        fn tell(&mut self) {}

        fn finished(&mut self, _wait: usize) -> Option<Finished> {
            None
        }

        fn depth_for_others(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn an_engine_is_taken_once_by_its_process_for_what_it_was_made_for() {
        let idle = Idle::default();
        idle.keep(Box::new(Said(0)));
        assert!(idle.take(0).is_none(), "it was of no use");
        idle.keep(Box::new(Said(8)));
        assert!(idle.take(9).is_none(), "it was made for fewer");
        // All that tells a child from its parent.
        let change = || idle.with(|place| place.as_mut().map(|kept| kept.owner ^= u64::MAX));
        assert!(change().is_some());
        assert!(idle.take(8).is_none(), "it is the parent's");
        assert!(change().is_some());
        assert!(idle.take(8).is_some());
        assert!(idle.take(8).is_none(), "it was taken");
    }

    /// A child that is forked while another thread has the lock finds it locked for ever.
    #[test]
    fn nobody_waits_for_the_lock() {
        let idle = Idle::default();
        let locked = idle.0.lock().unwrap();
        idle.keep(Box::new(Said(8)));
        assert!(idle.take(1).is_none());
        drop(locked);
    }
}
