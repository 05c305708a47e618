//! Idle rings, kept for the next reads: all objects of the process share them.

use std::sync::{Arc, Mutex as PlainMutex, TryLockError, Weak};

use crate::read::Engine;
use crate::sync::Mutex;
use crate::sys;

/// The number of engines that are kept. As many threads can read batches at a time without creating
/// a ring for each.
pub(super) const KEPT_MAX: usize = 4;

/// Places for idle engines. Creating a ring takes up to as long as a cold read (R11): much for a
/// batch of a few items, and nothing for one of thousands.
///
/// An engine that was taken has one user, and is in no place meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Idle(Mutex<[Option<Kept>; KEPT_MAX]>);

#[derive(Debug)]
struct Kept {
    engine: Box<dyn Engine>,
    /// The number of reads at a time that the engine was created for.
    depth: usize,
    owner: u64,
}

/// Where objects find the places that they share: in the library those of the process, in tests those
/// of one test.
#[derive(Debug)]
struct Shared(PlainMutex<Weak<Idle>>);

impl Shared {
    const fn new() -> Self {
        Self(PlainMutex::new(Weak::new()))
    }

    /// Returns the places. They are dropped, with the rings in them, when the last object drops them.
    ///
    /// Never waits, like [`Idle::with`]: if another thread holds the lock, it returns new places that
    /// are not shared.
    fn places(&self) -> Arc<Idle> {
        let mut shared = match self.0.try_lock() {
            Ok(shared) => shared,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Arc::default(),
        };
        shared.upgrade().unwrap_or_else(|| {
            let made = Arc::default();
            *shared = Arc::downgrade(&made);
            made
        })
    }
}

impl Idle {
    /// Returns the places that all objects of the process share.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Shared = Shared::new();
        SHARED.places()
    }

    /// Takes an engine of this process for `depth` reads at a time, if there is one.
    pub(super) fn take(&self, depth: usize) -> Option<Box<dyn Engine>> {
        let owner = sys::process();
        self.with(|places| {
            let fits = |kept: &Kept| kept.owner == owner && kept.depth >= depth;
            let mut places = places.iter_mut();
            let place = places.find(|place| place.as_ref().is_some_and(fits))?;
            Some(place.take()?.engine)
        })
    }

    /// Keeps an engine, unless other reads could not use it. If all places are taken, the engine
    /// for the fewest reads is dropped.
    pub(super) fn keep(&self, engine: Box<dyn Engine>) {
        let (depth, owner) = (engine.depth_for_others(), sys::process());
        if depth == 0 {
            return;
        }
        // The engine that is not kept is dropped after the lock is released.
        let _other = self.with(|places| {
            // Engines of a parent are useless, and dropping them here does not affect the parent.
            let use_of = |kept: &Kept| if kept.owner == owner { kept.depth } else { 0 };
            let kept = Kept {
                engine,
                depth,
                owner,
            };
            let worth = |place: &Option<Kept>| place.as_ref().map(use_of);
            match places.iter_mut().min_by_key(|place| worth(place)) {
                Some(place) if worth(place) < Some(depth) => place.replace(kept),
                _ => Some(kept),
            }
        });
    }

    /// Never waits: in a forked child, the lock may be held by a thread that exists only in the
    /// parent.
    fn with<R>(&self, work: impl FnOnce(&mut [Option<Kept>; KEPT_MAX]) -> Option<R>) -> Option<R> {
        match self.0.try_lock() {
            Ok(mut places) => work(&mut places),
            Err(TryLockError::Poisoned(poisoned)) => work(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Finished, Read};

    /// An engine that claims to be good for a number of reads.
    #[derive(Debug)]
    struct Said(usize);

    impl Engine for Said {
        fn start(&mut self, _file: &sys::File, _read: Read) {}

        fn submit(&mut self) {}

        fn finished(&mut self, _wait: usize) -> Option<Finished> {
            None
        }

        fn depth_for_others(&self) -> usize {
            self.0
        }
    }

    /// Changes all that distinguishes a child from its parent; returns how many engines are kept.
    fn change_owner(idle: &Idle) -> usize {
        let change = |kept: &mut Kept| kept.owner ^= u64::MAX;
        let changed = idle.with(|places| Some(places.iter_mut().flatten().map(change).count()));
        changed.unwrap()
    }

    /// A ring for a single read kept its place for as long as the process ran, and a child kept the
    /// rings of its parent instead of its own.
    #[test]
    fn where_all_places_are_taken_the_engine_of_least_use_goes() {
        let idle = Idle::default();
        let depths = || [(); KEPT_MAX].map(|()| idle.take(0).map(|kept| kept.depth_for_others()));
        for depth in 1..=KEPT_MAX {
            idle.keep(Box::new(Said(depth)));
        }
        idle.keep(Box::new(Said(1)));
        idle.keep(Box::new(Said(100)));
        let mut found = depths();
        found.sort_unstable();
        assert_eq!(found, [2, 3, 4, 100].map(Some));
        for _ in 0..KEPT_MAX {
            idle.keep(Box::new(Said(100)));
        }
        assert_eq!(change_owner(&idle), KEPT_MAX);
        idle.keep(Box::new(Said(1)));
        assert_eq!(depths(), [Some(1), None, None, None]);
    }

    /// Objects share the engines, and none is left when the last object is dropped.
    ///
    /// The test kept its engine in the places of the process: another test that read at that moment
    /// could take it, and would have waited for reads that it never does; and if another test held the
    /// lock, it was not kept, and the test failed.
    #[test]
    fn all_objects_share_the_places_for_as_long_as_one_has_them() {
        let shared = Shared::new();
        let (one, other) = (shared.places(), shared.places());
        assert!(Arc::ptr_eq(&one, &other));
        one.keep(Box::new(Said(1000)));
        assert!(other.take(1000).is_some());
        other.keep(Box::new(Said(1000)));
        drop((one, other));
        assert!(shared.places().take(0).is_none(), "an engine is left");
    }

    /// A child that is forked while another thread has the lock finds it locked for ever.
    #[test]
    fn where_the_lock_is_held_the_places_are_new_ones() {
        let shared = Shared::new();
        let one = shared.places();
        let locked = shared.0.lock().unwrap();
        assert!(!Arc::ptr_eq(&one, &shared.places()));
        drop(locked);
        assert!(Arc::ptr_eq(&one, &shared.places()));
    }

    #[test]
    fn an_engine_is_taken_once_by_its_process_for_what_it_was_made_for() {
        let idle = Idle::default();
        idle.keep(Box::new(Said(0)));
        assert!(idle.take(0).is_none(), "it was of no use");
        idle.keep(Box::new(Said(8)));
        assert!(idle.take(9).is_none(), "it was made for fewer");
        assert!(change_owner(&idle) == 1);
        assert!(idle.take(8).is_none(), "it is the parent's");
        assert!(change_owner(&idle) == 1);
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
