//! The fault campaign of the blocks: system calls of a long life fail in every way, once and for
//! good, and every block keeps the bytes of its shadow copy.
//!
//! What fails is tried again, as by a caller that freed space; a lasting fault ends with the first
//! refusal that it causes. A failure names the fault and the step.
#![expect(
    unsafe_code,
    clippy::arithmetic_side_effects,
    reason = "a panic in a test is a failed test"
)]

use std::alloc::Layout;
use std::ptr::NonNull;

use crate::storage::blocks::Blocks;
use crate::storage::dir::ScratchDir;
use crate::storage::scratch::ScratchFile;
use crate::sys::fault::{Fault, Outcome, arm, disarm};

const EINTR: i32 = 4;
const EIO: i32 = 5;
const ENOMEM: i32 = 12;
const EFBIG: i32 = 27;
const ENOSPC: i32 = 28;
const EOPNOTSUPP: i32 = 95;

/// Nine ways in which a call can go wrong.
const OUTCOMES: [Outcome; 9] = [
    Outcome::Errno(EINTR),
    Outcome::Errno(EIO),
    Outcome::Errno(ENOMEM),
    Outcome::Errno(EFBIG),
    Outcome::Errno(ENOSPC),
    Outcome::Errno(EOPNOTSUPP),
    Outcome::HalfThenErrno(ENOSPC),
    Outcome::Short,
    Outcome::Zero,
];

/// How often a caller tries again before it gives up.
const TRIES: usize = 6;

/// The size of large blocks, just above that of whole ones.
const LARGE: usize = 1200 << 10;

/// A block, and what it should hold.
struct Held {
    at: NonNull<u8>,
    layout: Layout,
    shadow: Vec<u8>,
}

/// What the harness plants to see whether it finds it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sabotage {
    None,
    /// A byte of a block is another.
    Byte,
    /// A block is not taken back.
    Leak,
}

/// A life of blocks with one fault.
struct Run {
    name: String,
    fault: Fault,
    armed: bool,
    calls: usize,
    met: usize,
    dir: ScratchDir,
    blocks: Blocks,
    held: Vec<Held>,
    number: u8,
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

impl Run {
    fn new(fault: Fault) -> Self {
        let dir = ScratchDir::new(env!("CARGO_MANIFEST_DIR")).unwrap();
        let name = format!("{fault:?}");
        let mut tries = 0;
        let (mut calls, mut met, mut armed) = (0, 0, true);
        arm(fault);
        let blocks = loop {
            let made = ScratchFile::create(&dir).ok();
            if let Some(blocks) = made.and_then(|file| Blocks::over(file).ok()) {
                blocks.set_folds(true);
                break blocks;
            }
            assert!(tries < TRIES, "{name}: refused {TRIES} times");
            tries += 1;
            if fault.sticky && armed {
                (calls, met) = disarm();
                armed = false;
            }
            assert_eq!(dir.used_bytes(), 0, "{name}: the budget is not back");
        };
        Self {
            name,
            fault,
            armed,
            calls,
            met,
            dir,
            blocks,
            held: Vec::new(),
            number: 0,
        }
    }

    /// Lives, and gives everything back; returns how many calls there were.
    fn play(mut self, sabotage: Sabotage) -> usize {
        self.live();
        if sabotage == Sabotage::Byte {
            *self.held[3].shadow.last_mut().unwrap() ^= 1;
        }
        self.check("the end");
        if sabotage == Sabotage::Leak {
            self.held.pop();
        }
        // While the fault may still be armed.
        while !self.held.is_empty() {
            self.free(0);
        }
        self.disarm();
        // A lasting error keeps space from being given back; then nobody uses it again.
        let lasting = self.fault.sticky && matches!(self.fault.outcome, Outcome::Errno(_));
        let claimed = self.blocks.claimed_bytes();
        let (unit, name) = (64 << 10, &self.name);
        // One empty run of each class that was used.
        let kept = claimed % unit == 0 && claimed <= 8 * unit;
        assert!(kept || lasting, "{name}: {claimed} bytes are left");
        assert!(
            self.met > 0 || self.fault.after > self.calls,
            "{}",
            self.name
        );
        drop(self.blocks);
        assert_eq!(self.dir.used_bytes(), 0, "{}: the budget", self.name);
        self.calls
    }

    /// Does everything that blocks can do.
    fn live(&mut self) {
        for (size, align) in [(16, 8), (100, 8), (500, 256), (16 << 10, 16)] {
            for zeroed in [false, true, false] {
                self.take(layout(size, align), zeroed);
            }
        }
        for (size, align) in [(20 << 10, 8), (1 << 20, 4096), (LARGE, 8), (LARGE, 8)] {
            self.take(layout(size, align), false);
        }
        self.check("taking");
        self.free(1);
        self.take(layout(16, 8), true);
        // Whole and large blocks grow and shrink where they are, or move.
        let whole = self.held.len() - 4;
        for (index, size) in [
            (whole, 60 << 10),
            (whole, 30 << 10),
            (whole, 50 << 10),
            (whole, 200 << 10),
            (whole + 1, LARGE),
            (whole + 1, 1100 << 10),
            (whole + 1, LARGE),
            (whole + 2, LARGE * 2),
            (whole + 2, LARGE),
            (whole + 2, LARGE * 4),
            (whole + 2, LARGE * 3),
            (whole + 2, 100 << 10),
            (whole + 3, 1100 << 10),
            (0, 120),
            (2, 30 << 10),
            (2, 20),
        ] {
            self.resize(index, size, size % 20 != 0);
        }
        self.check("resizing");
        for _ in 0..4 {
            self.free(self.held.len() / 2);
        }
        // What was given back is zero again.
        for size in [20 << 10, 100 << 10, 1100 << 10, LARGE] {
            self.take(layout(size, 8), true);
        }
        self.check("reuse");
    }

    /// Tries until it works.
    fn attempt<R>(&mut self, what: &str, work: impl Fn(&Blocks) -> Option<R>) -> R {
        for _ in 0..TRIES {
            if let Some(result) = work(&self.blocks) {
                return result;
            }
            if self.fault.sticky {
                self.disarm();
            }
            self.check(what);
        }
        panic!("{}: {what}: refused {TRIES} times", self.name);
    }

    fn take(&mut self, layout: Layout, zeroed: bool) {
        let at = self.attempt("taking", |blocks| blocks.allocate(layout, zeroed));
        assert_eq!(at.addr().get() % layout.align(), 0, "{}", self.name);
        let start = at.addr().get();
        for held in &self.held {
            let other = held.at.addr().get();
            let apart = start + layout.size() <= other || other + held.layout.size() <= start;
            assert!(apart, "{}: {layout:?} overlaps another", self.name);
        }
        self.held.push(Held {
            at,
            layout,
            shadow: Vec::new(),
        });
        let index = self.held.len() - 1;
        if zeroed {
            let zero = bytes(&self.held[index]) == vec![0; layout.size()];
            assert!(zero, "{}: {layout:?} is not zero", self.name);
        }
        self.fill(index, 0);
    }

    /// Fills a block from `start` with bytes that no other has.
    fn fill(&mut self, index: usize, start: usize) {
        self.number = self.number.wrapping_add(1).max(1);
        let (held, number) = (&mut self.held[index], self.number);
        let rest = vec![number; held.layout.size() - start];
        held.shadow.extend_from_slice(&rest);
        let shadow = held.shadow.as_ptr();
        // SAFETY: the block and its shadow have as many bytes, and lie apart.
        unsafe { std::ptr::copy_nonoverlapping(shadow, held.at.as_ptr(), held.layout.size()) };
    }

    fn resize(&mut self, index: usize, size: usize, zeroed: bool) {
        let (at, old) = (self.held[index].at, self.held[index].layout);
        let new = layout(size, old.align());
        let resized = self.attempt(
            "resizing",
            // SAFETY: the block has this layout, and is used at its new address from now on.
            |blocks| unsafe { blocks.resize(at, old, new, zeroed) },
        );
        let held = &mut self.held[index];
        (held.at, held.layout) = (resized, new);
        let kept = old.size().min(size);
        held.shadow.truncate(kept);
        let name = &self.name;
        assert!(
            bytes(held)[..kept] == held.shadow,
            "{name}: {old:?} to {size}: another"
        );
        if zeroed {
            let zero = bytes(held)[kept..] == vec![0; size - kept];
            assert!(zero, "{name}: {old:?} to {size}: the rest is not zero");
        }
        self.fill(index, kept);
    }

    fn free(&mut self, index: usize) {
        let held = self.held.remove(index);
        // SAFETY: the block was handed out and is not used any more.
        unsafe { self.blocks.deallocate(held.at) };
    }

    fn disarm(&mut self) {
        if self.armed {
            let (calls, met) = disarm();
            (self.calls, self.met) = (self.calls + calls, self.met + met);
            self.armed = false;
        }
    }

    fn check(&self, what: &str) {
        for held in &self.held {
            let same = bytes(held) == held.shadow;
            assert!(same, "{}: {what}: {:?} differs", self.name, held.layout);
        }
        let (used, claimed) = (self.dir.used_bytes(), self.blocks.claimed_bytes());
        assert_eq!(used, claimed, "{}: {what}: the budget differs", self.name);
    }
}

fn bytes(held: &Held) -> &[u8] {
    // SAFETY: the block has that many bytes; they were written or are zero.
    unsafe { std::slice::from_raw_parts(held.at.as_ptr(), held.layout.size()) }
}

fn without_fault() -> Fault {
    Fault {
        after: usize::MAX,
        sticky: false,
        outcome: Outcome::Short,
    }
}

#[cfg_attr(miri, ignore = "too slow")]
#[test]
fn blocks_keep_their_bytes_whatever_call_fails() {
    let calls = Run::new(without_fault()).play(Sabotage::None);
    assert!(calls > 30, "{calls} calls are no campaign");
    for (outcome, way) in OUTCOMES.into_iter().zip(0..) {
        for sticky in [false, true] {
            if sticky && outcome == Outcome::Errno(EINTR) {
                // Without end, by the contract of `retry`.
                continue;
            }
            // A full disk at each call; everything else at each fifth, another one for each way.
            let full = outcome == Outcome::Errno(ENOSPC) && !sticky;
            let mut step = if full { 1 } else { 5 };
            if cfg!(heap_backend) {
                // Every byte is looked at, and under a sanitizer slowly: fewer calls, other ones.
                step = step * 5 + 2;
            }
            for after in (way * 3 % step..calls).step_by(step) {
                let fault = Fault {
                    after,
                    sticky,
                    outcome,
                };
                Run::new(fault).play(Sabotage::None);
            }
        }
    }
}

/// In a life of its own, since each sync waits for the device.
#[test]
fn blocks_keep_their_bytes_when_they_cannot_be_evicted() {
    for outcome in OUTCOMES {
        for after in 0..4 {
            let mut run = Run::new(without_fault());
            run.take(layout(100 << 10, 8), false);
            run.take(layout(16, 8), false);
            run.disarm();
            arm(Fault {
                after,
                sticky: false,
                outcome,
            });
            let evicted = run.blocks.evict();
            let (_calls, met) = disarm();
            let failed = matches!(outcome, Outcome::Errno(errno) if errno != EINTR);
            assert!(
                evicted.is_ok() || met > 0,
                "{outcome:?}, {after}: {evicted:?}"
            );
            assert!(
                evicted.is_err() || !failed || met == 0,
                "{outcome:?}, {after}"
            );
            run.check("evicting");
        }
    }
}

#[test]
#[should_panic(expected = "differs")]
fn a_byte_that_changed_is_found() {
    Run::new(without_fault()).play(Sabotage::Byte);
}

#[test]
#[should_panic(expected = "left")]
fn a_block_that_was_leaked_is_found() {
    Run::new(without_fault()).play(Sabotage::Leak);
}
