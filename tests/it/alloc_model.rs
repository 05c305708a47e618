//! Random traces of all six calls of an allocator: see `support::traces`.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test alloc_model`. With
//! `OUTCORE_CAMPAIGN=long` there are 2,000 cases.
#![expect(
    unsafe_code,
    reason = "an allocator that goes wrong implements the trait all the same"
)]

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};
use std::thread;

use allocator_api2::alloc::{AllocError, Allocator};
use outcore::{Advice, DiskAlloc, ScratchDir};

use crate::support::disk;
use crate::support::random::cases;
use crate::support::traces::{LEN_MAX, SMALL_WORLD, Trace, assert_apart};

const STEPS: usize = if cfg!(miri) {
    60
} else if SMALL_WORLD {
    1500
} else {
    2500
};

#[test]
fn every_trace_leaves_every_block_as_it_was() {
    for seed in cases(8) {
        let alloc = new_alloc();
        let mut trace = Trace::new(seed, alloc.clone());
        for step in 0..STEPS {
            trace.step();
            between_steps(&alloc, step, seed);
        }
        trace.end();
        assert_all_given_back(seed, &alloc);
    }
}

/// What changes no block: now and then it is said how they are used, or they leave memory.
fn between_steps(alloc: &DiskAlloc, step: usize, seed: u64) {
    let advice = [Advice::Normal, Advice::Sequential, Advice::Random];
    if step % 97 == 0 {
        alloc.advise(advice[step % 3]).unwrap();
    }
    // Few, since each waits for the disk.
    if step == STEPS / 2 && seed % 4 == 0 {
        alloc.evict().unwrap();
    }
    let (claimed, mapped) = (alloc.disk_bytes(), alloc.mapped_bytes());
    assert_eq!(
        alloc.dir().unwrap().used_bytes(),
        claimed,
        "seed {seed}, step {step}"
    );
    assert!(
        mapped as u64 >= claimed,
        "seed {seed}: {mapped} of {claimed}"
    );
}

#[test]
fn blocks_of_many_allocators_are_apart() {
    let allocs = [new_alloc(), new_alloc(), new_alloc()];
    let mut traces: Vec<_> = (0..)
        .zip(&allocs)
        .map(|(seed, alloc)| Trace::new(seed, alloc.clone()))
        .collect();
    for step in 0..STEPS {
        traces[step % 3].step();
    }
    let spans = traces.iter().flat_map(|trace| trace.spans.clone());
    assert_apart(&spans.collect(), "of many allocators");
    for trace in traces {
        trace.end();
    }
}

/// Blocks that one thread allocates are read, resized and freed by others.
#[test]
fn blocks_that_wander_between_threads_are_as_they_were() {
    for seed in cases(4) {
        let alloc = new_alloc();
        let market = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for number in 0..4 {
                let (alloc, market) = (alloc.clone(), &market);
                scope.spawn(move || {
                    let mut trace = Trace::new(seed * 4 + number, alloc);
                    trace.live_max /= 8;
                    for _ in 0..STEPS / 4 {
                        trace.step();
                        trace.trade(market);
                    }
                    trace.end();
                });
            }
        });
        let mut last = Trace::new(seed, alloc);
        for block in market.into_inner().unwrap_or_else(PoisonError::into_inner) {
            last.adopt(block);
        }
        last.end();
    }
}

/// What an allocator could do wrong, in a wrapper around one that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A block is handed out a second time while it lives.
    Overlap,
    /// A byte that should be zero is not.
    Dirt,
    /// The last byte of a block is lost when it grows.
    LostByte,
    /// A byte of a block that is not involved changes.
    Scribble,
    /// A block is not where its alignment wants it.
    Crooked,
    /// A request that no machine can serve seems to be served.
    Boast,
    /// A block is not given back.
    Leak,
}

#[test]
fn planted_faults_are_found() {
    for (fault, expected) in [
        (Fault::Overlap, "touch"),
        (Fault::Dirt, "zero"),
        (Fault::LostByte, "differs"),
        (Fault::Scribble, "differs"),
        (Fault::Crooked, "aligned"),
        (Fault::Boast, "refused"),
        (Fault::Leak, "still claimed"),
    ] {
        let played = std::panic::catch_unwind(|| {
            let alloc = new_alloc();
            let faulty = Faulty {
                alloc: alloc.clone(),
                fault,
                calls: Cell::new(0),
                last: Cell::new(None),
            };
            Trace::new(0, faulty).play(STEPS);
            assert_all_given_back(0, &alloc);
        });
        let panic = played.expect_err("the harness saw nothing");
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(
            message.contains("seed 0") && message.contains(expected),
            "{fault:?}: {message}"
        );
    }
}

/// An allocator that goes wrong now and then.
struct Faulty {
    alloc: DiskAlloc,
    fault: Fault,
    calls: Cell<u32>,
    last: Cell<Option<(NonNull<[u8]>, Layout)>>,
}

impl Faulty {
    /// Returns whether the fault is due, which it is in each tenth call.
    fn due(&self, fault: Fault) -> bool {
        self.calls.set(self.calls.get() + 1);
        self.fault == fault && self.calls.get() % 10 == 0
    }

    fn remember(
        &self,
        got: Result<NonNull<[u8]>, AllocError>,
        layout: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let block = got?;
        if !block.is_empty() {
            self.last.set(Some((block, layout)));
        }
        Ok(block)
    }

    fn scribble(&self, at: usize) {
        if let Some((block, _)) = self.last.get().filter(|(block, _)| at < block.len()) {
            let byte = block.cast::<u8>().as_ptr().wrapping_add(at);
            // SAFETY: the block lives, since `deallocate` forgets it, and is that long.
            let old = unsafe { byte.read() };
            // SAFETY: as above.
            unsafe { byte.write(!old) };
        }
    }
}

// SAFETY: it does not keep the contract, and is only ever asked by a harness that looks for that
// before it uses a block.
unsafe impl Allocator for Faulty {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if self.due(Fault::Overlap) {
            if let Some((block, had)) = self.last.get() {
                if had.size() >= layout.size() && had.align() >= layout.align() {
                    return Ok(NonNull::slice_from_raw_parts(block.cast(), layout.size()));
                }
            }
        }
        if self.due(Fault::Scribble) {
            self.scribble(0);
        }
        let got = self.alloc.allocate(layout);
        if self.fault == Fault::Boast && layout.size() > LEN_MAX {
            let boast = self.alloc.allocate(Layout::new::<[u8; 64]>())?;
            return Ok(NonNull::slice_from_raw_parts(boast.cast(), layout.size()));
        }
        if self.due(Fault::Crooked) && layout.align() > 1 {
            let block = got?.cast::<u8>();
            // SAFETY: the address is not used, only looked at.
            let crooked = unsafe { block.byte_add(1) };
            return Ok(NonNull::slice_from_raw_parts(crooked, layout.size()));
        }
        self.remember(got, layout)
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let got = self.alloc.allocate_zeroed(layout);
        let got = self.remember(got, layout);
        if self.due(Fault::Dirt) {
            self.scribble(layout.size() / 2);
        }
        got
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        let is_last = |(last, _): (NonNull<[u8]>, Layout)| last.cast::<u8>() == block;
        if self.last.get().is_some_and(is_last) {
            self.last.set(None);
        }
        if !self.due(Fault::Leak) {
            // SAFETY: the caller keeps the contract.
            unsafe { self.alloc.deallocate(block, layout) };
        }
    }

    unsafe fn grow(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller keeps the contract.
        let got = unsafe { self.alloc.grow(block, old, new) };
        let got = self.remember(got, new);
        if self.due(Fault::LostByte) && old.size() > 0 {
            self.scribble(old.size() - 1);
        }
        got
    }

    unsafe fn shrink(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller keeps the contract.
        let got = unsafe { self.alloc.shrink(block, old, new) };
        self.remember(got, new)
    }
}

fn new_alloc() -> DiskAlloc {
    let dir = ScratchDir::builder(disk().path()).build().unwrap();
    DiskAlloc::new_in(&dir).unwrap()
}

/// Twelve empty runs of small blocks may be kept.
pub(crate) fn assert_all_given_back(seed: u64, alloc: &DiskAlloc) {
    let kept = alloc.disk_bytes();
    assert!(
        kept <= 12 * (64 << 10),
        "seed {seed}: {kept} bytes still claimed at the end"
    );
}
