//! Random traces of all six calls of an allocator: see `support::traces`.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test alloc_model`. With
//! `OUTCORE_CAMPAIGN=long` there are 2,000 cases, all but the first of them small.
#![expect(
    unsafe_code,
    reason = "an allocator with planted faults implements the trait as well"
)]

use std::alloc::Layout;
use std::cell::Cell;
use std::fs::OpenOptions;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};
use std::thread;

use allocator_api2::alloc::{AllocError, Allocator};
use outcore::{Advice, DiskAlloc, ScratchDir};

use crate::support::random::{Case, cases};
use crate::support::tally::{Tallies, Tally};
use crate::support::traces::{LEN_MAX, SMALL_WORLD, Trace, assert_apart};
use crate::support::{disk, ranged_path};

const STEPS: usize = if cfg!(miri) {
    60
} else if SMALL_WORLD {
    1500
} else {
    2500
};

/// The events of all traces together. With many addresses, long blocks seldom meet a neighbour, so
/// they stay in place: `alloc_limits` has few addresses, and moves them.
const CALLS: [&str; 11] = [
    "allocate",
    "allocate_zeroed",
    "deallocate",
    "grow",
    "grow_zeroed",
    "shrink",
    "the impossible",
    "a block of more than 1 MiB",
    "grown elsewhere",
    "grown where it is",
    "grown where it is, more than 1 MiB",
];

/// The events between the calls, and where the blocks are.
const BETWEEN: [&str; 6] = [
    "advise(Normal)",
    "advise(Sequential)",
    "advise(Random)",
    "evict",
    "in the directory of the environment",
    "on a file of the caller's",
];

fn steps(case: Case) -> usize {
    case.either(STEPS, STEPS / 10)
}

/// Makes a trace of the size of its case.
fn trace(case: Case, seed: u64, alloc: &DiskAlloc) -> Trace<DiskAlloc> {
    let mut trace = Trace::new(seed, alloc.clone());
    if case.small {
        trace.len_max = LEN_MAX.min(4 << 20);
        trace.live_max = 2 * trace.len_max;
    }
    trace
}

#[test]
fn every_trace_leaves_every_block_as_it_was() {
    let mut tallies = Tallies::default();
    for case in cases(8) {
        let alloc = place(case.seed);
        let mut trace = trace(case, case.seed, &alloc);
        trace.tally.met(match case.seed % 4 {
            2 => "on a file of the caller's",
            3 => "in the directory of the environment",
            _ => "in a directory",
        });
        for step in 0..steps(case) {
            trace.step();
            between_steps(&alloc, step, case, &mut trace.tally);
        }
        tallies.add(case, &trace.end());
        assert_all_given_back(case.seed, &alloc);
    }
    tallies.end(
        "alloc_model, every trace",
        &[&CALLS[..], &BETWEEN[..]].concat(),
    );
}

/// Makes an allocator in each possible way.
fn place(seed: u64) -> DiskAlloc {
    match seed % 4 {
        2 => on_file(),
        3 => DiskAlloc::new().unwrap(),
        _ => new_alloc(),
    }
}

/// Operations that change no block: advice, and eviction at times.
fn between_steps(alloc: &DiskAlloc, step: usize, case: Case, tally: &mut Tally) {
    let seed = case.seed;
    let advice = [Advice::Normal, Advice::Sequential, Advice::Random];
    if step % 97 == 0 {
        let advice = advice[step % 3];
        alloc.advise(advice).unwrap();
        tally.met(&format!("advise({advice:?})"));
    }
    // Few, since each waits for the disk.
    if step == steps(case) / 2 && seed % 4 == 0 {
        alloc.evict().unwrap();
        tally.met("evict");
    }
    let (claimed, mapped) = (alloc.disk_bytes(), alloc.mapped_bytes());
    // Other objects share the directory of the environment, and a file of the caller is in no
    // directory.
    let used = alloc.dir().map(ScratchDir::used_bytes);
    let expected = match seed % 4 {
        2 => used.is_none(),
        3 => used.is_some_and(|used| used >= claimed),
        _ => used == Some(claimed),
    };
    assert!(expected, "seed {seed}, step {step}: {used:?} of {claimed}");
    assert!(
        mapped as u64 >= claimed,
        "seed {seed}: {mapped} of {claimed}"
    );
    tally.reached("bytes claimed", claimed);
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
    let mut tallies = Tallies::default();
    for case in cases(4) {
        let alloc = new_alloc();
        let market = Mutex::new(Vec::new());
        let sum = Mutex::new(Tally::default());
        thread::scope(|scope| {
            for number in 0..4 {
                let (alloc, market, sum) = (&alloc, &market, &sum);
                scope.spawn(move || {
                    let mut trace = trace(case, case.seed * 4 + number, alloc);
                    trace.live_max /= 8;
                    for _ in 0..steps(case) / 4 {
                        trace.step();
                        trace.trade(market);
                    }
                    let tally = trace.end();
                    sum.lock().unwrap().add(&tally);
                });
            }
        });
        let mut last = trace(case, case.seed, &alloc);
        for block in market.into_inner().unwrap_or_else(PoisonError::into_inner) {
            last.adopt(block);
        }
        let mut sum = sum.into_inner().unwrap();
        sum.add(&last.end());
        tallies.add(case, &sum);
    }
    tallies.end(
        "alloc_model, between threads",
        &[&CALLS[..], &["trade"]].concat(),
    );
}

/// The faults of an allocator, planted in a wrapper around a correct one.
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
    /// A block does not have its alignment.
    Crooked,
    /// A request that no machine can serve seems to succeed.
    Boast,
    /// A block is not freed.
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

/// An allocator that fails at times.
struct Faulty {
    alloc: DiskAlloc,
    fault: Fault,
    calls: Cell<u32>,
    last: Cell<Option<(NonNull<[u8]>, Layout)>>,
}

impl Faulty {
    /// Returns whether the fault is due, in every tenth call.
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
            // SAFETY: the block lives, since `deallocate` removes it from the list, and is that
            // long.
            let old = unsafe { byte.read() };
            // SAFETY: as above.
            unsafe { byte.write(!old) };
        }
    }
}

// SAFETY: it breaks the contract, but only a test uses it that checks each block before its use.
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
            // SAFETY: the address is only compared, not dereferenced.
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

/// Makes an allocator in a file without a name that is opened here.
fn on_file() -> DiskAlloc {
    let path = ranged_path();
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).open(&path);
    std::fs::remove_file(&path).unwrap();
    // SAFETY: no other process can change a file without a name, and this is its only handle.
    unsafe { DiskAlloc::on_file(file.unwrap()) }.unwrap()
}

/// Twelve empty runs of small blocks may be kept.
pub(crate) fn assert_all_given_back(seed: u64, alloc: &DiskAlloc) {
    let kept = alloc.disk_bytes();
    assert!(
        kept <= 12 * (64 << 10),
        "seed {seed}: {kept} bytes still claimed at the end"
    );
}
