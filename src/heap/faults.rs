//! Fault injection in the blocks: every block keeps the bytes of its shadow copy, whatever call
//! fails.
#![expect(
    unsafe_code,
    clippy::arithmetic_side_effects,
    reason = "a panic in a test is a failed test"
)]

use std::alloc::Layout;
use std::io::ErrorKind;
use std::ptr::NonNull;

use crate::heap::Blocks;
use crate::io::dir::ScratchDir;
use crate::io::scratch::ScratchFile;
use crate::sys::fault::{Fault, Outcome, arm, disarm};
use crate::testing::{Campaign, EINTR, Life};

#[test]
fn blocks_keep_their_bytes_whatever_call_fails() {
    Campaign::new("blocks", 100, live)
        .plants("another byte", "differs")
        .plants("a leaked block", "are left")
        .run();
}

/// A signal that arrived while the tables of an allocator were mapped made the constructor fail.
#[test]
fn a_signal_does_not_end_the_making_of_blocks() {
    let dir = ScratchDir::new(env!("CARGO_MANIFEST_DIR")).unwrap();
    for after in 0.. {
        let file = ScratchFile::create(&dir).unwrap();
        arm(Fault {
            after,
            sticky: false,
            outcome: Outcome::Errno(EINTR),
        });
        let made = Blocks::over(file);
        let (_calls, met) = disarm();
        assert!(made.is_ok(), "after {after}: {:?}", made.err());
        if met == 0 {
            break;
        }
    }
}

/// The size of large blocks, just above that of whole ones.
const LARGE: usize = 1200 << 10;

/// A block, and the bytes that it should hold.
struct Held {
    at: NonNull<u8>,
    layout: Layout,
    shadow: Vec<u8>,
}

/// The scenario of the blocks.
struct Run<'life> {
    life: &'life mut Life,
    dir: ScratchDir,
    blocks: Blocks,
    held: Vec<Held>,
    number: u8,
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Runs the scenario, and frees everything.
fn live(life: &mut Life) {
    let mut run = Run::new(life);
    run.live();
    if run.life.is_planted("another byte") {
        *run.held[3].shadow.last_mut().unwrap() ^= 1;
    }
    run.check("the end");
    if run.life.is_planted("a leaked block") {
        run.held.pop();
    }
    // The fault may still be armed.
    while !run.held.is_empty() {
        run.free(0);
    }
    run.life.disarm();
    // A lasting error keeps space from being freed; then nothing uses it again.
    let lasting = !run.life.is_single();
    let preallocated = run.blocks.claimed_bytes();
    let (unit, name) = (64 << 10, run.life.name());
    // One empty run of each class that was used stays.
    let kept = preallocated % unit == 0 && preallocated <= 8 * unit;
    assert!(kept || lasting, "{name}: {preallocated} bytes are left");
    drop(run.blocks);
    assert_eq!(run.dir.used_bytes(), 0, "{name}: the budget");
}

impl<'life> Run<'life> {
    fn new(life: &'life mut Life) -> Self {
        let dir = life.scratch_dir();
        let blocks = loop {
            let create = || ScratchFile::create(&dir).map_err(|refused| dir.error(refused));
            let file = life.attempt("create", create);
            match Blocks::over(file) {
                Ok(blocks) => {
                    blocks.set_folds(true);
                    break blocks;
                }
                Err(refused) => {
                    let error = dir.error(refused);
                    let kind = error.io_error().map(std::io::Error::kind);
                    let interrupted = kind == Some(ErrorKind::Interrupted);
                    assert!(!interrupted, "{}: {error}", life.name());
                }
            }
            life.gave_up("map");
            assert_eq!(
                dir.used_bytes(),
                0,
                "{}: the budget is not back",
                life.name()
            );
        };
        Self {
            life,
            dir,
            blocks,
            held: Vec::new(),
            number: 0,
        }
    }

    /// Uses everything that blocks can do.
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
        // Whole and large blocks grow and shrink in place, or move.
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
        self.evict();
        for _ in 0..4 {
            self.free(self.held.len() / 2);
        }
        // Freed space is zero when it is allocated again.
        for size in [20 << 10, 100 << 10, 1100 << 10, LARGE] {
            self.take(layout(size, 8), true);
        }
        self.check("reuse");
    }

    /// Evicts, which is refused for good after a failed sync.
    fn evict(&mut self) {
        while let Err(refused) = self.blocks.evict() {
            self.life.refused("evicting", &self.dir.error(refused));
            self.check("evicting");
            if self
                .life
                .errors()
                .any(|error| error.contains("cannot sync"))
            {
                break;
            }
        }
        self.check("evicting");
    }

    /// Repeats until it works.
    fn attempt<R>(&mut self, what: &str, work: impl Fn(&Blocks) -> Option<R>) -> R {
        loop {
            if let Some(result) = work(&self.blocks) {
                return result;
            }
            self.life.gave_up(what);
            self.check(what);
        }
    }

    fn take(&mut self, layout: Layout, zeroed: bool) {
        let at = self.attempt("taking", |blocks| blocks.allocate(layout, zeroed));
        assert_eq!(at.addr().get() % layout.align(), 0, "{}", self.life.name());
        let start = at.addr().get();
        for held in &self.held {
            let other = held.at.addr().get();
            let apart = start + layout.size() <= other || other + held.layout.size() <= start;
            assert!(apart, "{}: {layout:?} overlaps another", self.life.name());
        }
        self.held.push(Held {
            at,
            layout,
            shadow: Vec::new(),
        });
        let index = self.held.len() - 1;
        if zeroed {
            let zero = bytes(&self.held[index]) == vec![0; layout.size()];
            assert!(zero, "{}: {layout:?} is not zero", self.life.name());
        }
        self.fill(index, 0);
    }

    /// Fills a block from `start` with a byte that no other block has.
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
        let name = self.life.name();
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

    fn check(&self, what: &str) {
        for held in &self.held {
            let same = bytes(held) == held.shadow;
            assert!(
                same,
                "{}: {what}: {:?} differs",
                self.life.name(),
                held.layout
            );
        }
        let (used, preallocated) = (self.dir.used_bytes(), self.blocks.claimed_bytes());
        assert_eq!(
            used,
            preallocated,
            "{}: {what}: the budget differs",
            self.life.name()
        );
    }
}

fn bytes(held: &Held) -> &[u8] {
    // SAFETY: the block has that many bytes; they were written or are zero.
    unsafe { std::slice::from_raw_parts(held.at.as_ptr(), held.layout.size()) }
}
