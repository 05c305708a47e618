//! Random traces of all six calls of an allocator, with a copy of the content of each block.
//!
//! Each call is followed by a check of the block's address and content. No two blocks may overlap,
//! every byte must be the one that was stored there last, and bytes that must be zero are zero.
#![expect(
    unsafe_code,
    reason = "calls the methods of an allocator that are unsafe by their contract"
)]

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use allocator_api2::alloc::{AllocError, Allocator};

use crate::support::random::Random;
use crate::support::tally::Tally;
use testkit::item;

/// On the heap backend there are few addresses.
pub(crate) const SMALL_WORLD: bool = cfg!(any(miri, memory_backend));

/// The longest block.
pub(crate) const LEN_MAX: usize = if cfg!(miri) {
    128 << 10
} else if SMALL_WORLD {
    3 << 20
} else {
    64 << 20
};

/// The maximum number of live bytes.
const LIVE_MAX: usize = if cfg!(miri) {
    256 << 10
} else if SMALL_WORLD {
    8 << 20
} else {
    256 << 20
};

/// The largest alignment that is guaranteed.
const ALIGN_MAX: usize = 2 << 20;

/// A block, and the number that determines its bytes.
pub(crate) struct Block {
    at: NonNull<u8>,
    layout: Layout,
    id: u64,
}

// SAFETY: a block belongs to the owner of the value, and any thread may call an allocator.
unsafe impl Send for Block {}

/// The pattern of a block: it repeats after this many bytes, which is no multiple of a page size,
/// so that a page at the wrong place is detected.
const PATTERN_BYTES: usize = 65_521;

impl Block {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the block has that many bytes, all of which were stored or are zero, and `&self`
        // excludes stores.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.layout.size()) }
    }

    /// Stores the bytes of this number.
    fn fill(&mut self, id: u64) {
        self.id = id;
        let pattern = item(id, PATTERN_BYTES.min(self.layout.size()));
        let mut at = 0;
        while at < self.layout.size() {
            let len = pattern.len().min(self.layout.size() - at);
            let to = self.at.as_ptr().wrapping_add(at);
            // SAFETY: the block has bytes up to `at + len`, and belongs to this value.
            unsafe { to.copy_from_nonoverlapping(pattern.as_ptr(), len) };
            at += len;
        }
    }

    fn span(&self) -> (usize, usize) {
        let start = self.at.addr().get();
        (start, start + self.layout.size())
    }
}

/// The first byte of each block, and the byte behind its last.
pub(crate) type Spans = BTreeMap<usize, usize>;

pub(crate) fn assert_apart(spans: &Spans, what: &str) {
    for ((_, end), (next, _)) in spans.iter().zip(spans.iter().skip(1)) {
        assert!(end <= next, "{what}: blocks touch at {next:#x}");
    }
}

/// An allocator under test, and the expected content of its blocks.
pub(crate) struct Trace<A: Allocator> {
    seed: u64,
    what: String,
    random: Random,
    alloc: A,
    blocks: Vec<Block>,
    pub(crate) spans: Spans,
    live: usize,
    pub(crate) live_max: usize,
    /// The longest block that is requested and can succeed.
    pub(crate) len_max: usize,
    pub(crate) tally: Tally,
    /// Whether requests may be refused that would succeed with enough space.
    pub(crate) scarce: bool,
    pub(crate) granted: usize,
    pub(crate) refused: usize,
    next_id: u64,
}

impl<A: Allocator> Trace<A> {
    pub(crate) fn new(seed: u64, alloc: A) -> Self {
        Self {
            seed,
            what: String::new(),
            random: Random::new(seed),
            alloc,
            blocks: Vec::new(),
            spans: Spans::new(),
            live: 0,
            live_max: LIVE_MAX,
            len_max: LEN_MAX,
            tally: Tally::default(),
            scarce: SMALL_WORLD,
            granted: 0,
            refused: 0,
            next_id: seed << 32,
        }
    }

    pub(crate) fn play(mut self, steps: usize) -> Tally {
        for step in 0..steps {
            self.step();
            if step % 64 == 0 {
                self.check_one();
            }
        }
        self.end()
    }

    /// Checks everything a last time, frees it and returns the events.
    pub(crate) fn end(mut self) -> Tally {
        "the end".clone_into(&mut self.what);
        while let Some(block) = self.blocks.pop() {
            self.free(&block);
        }
        assert_eq!(self.live, 0);
        let served = (self.scarce && !SMALL_WORLD) || self.refused * 2 <= self.granted;
        assert!(served, "{}: {} refused", self.here(), self.refused);
        self.tally
    }

    fn here(&self) -> String {
        format!("seed {}, {}", self.seed, self.what)
    }

    pub(crate) fn step(&mut self) {
        let choice = self.random.below(100);
        let full = self.live > self.live_max;
        match choice {
            0..45 if !full => self.allocate(choice % 3 == 0),
            0..60 => self.resize(),
            60..63 => self.ask_for_the_impossible(),
            63..66 => self.check_one(),
            _ => {
                if let Some(block) = self.take() {
                    self.free(&block);
                }
            }
        }
    }

    fn take(&mut self) -> Option<Block> {
        let count = self.blocks.len();
        (count > 0).then(|| self.blocks.swap_remove(self.random.below(count)))
    }

    /// Returns a size: each doubling is equally likely, but the largest are rarer.
    fn size(&mut self) -> usize {
        let most = self.len_max.ilog2() as usize + 1;
        let log = match self.random.below(20) {
            0 => self.random.below(most),
            1..5 => self.random.below(most.min(21)),
            _ => self.random.below(most.min(15)),
        };
        let size = (1 << log) + self.random.below(1 << log);
        match self.random.below(8) {
            0 => self.random.below(2) * size.next_power_of_two().min(self.len_max),
            1 => size.next_multiple_of(4096).min(self.len_max),
            _ => size.min(self.len_max),
        }
    }

    fn align(&mut self) -> usize {
        let most = if SMALL_WORLD { 15 } else { 22 };
        match self.random.below(10) {
            0 => 1 << self.random.below(most),
            _ => 1 << self.random.below(5),
        }
    }

    fn allocate(&mut self, zeroed: bool) {
        let layout = Layout::from_size_align(self.size(), self.align()).unwrap();
        self.what = format!("allocate{} {layout:?}", if zeroed { "_zeroed" } else { "" });
        let got = if zeroed {
            self.tally.met("allocate_zeroed");
            self.alloc.allocate_zeroed(layout)
        } else {
            self.tally.met("allocate");
            self.alloc.allocate(layout)
        };
        let Some(at) = self.judge(got, layout) else {
            return;
        };
        let block = Block { at, layout, id: 0 };
        self.note(&block);
        if zeroed {
            self.assert_zero(block.bytes());
        }
        self.keep(block);
    }

    fn resize(&mut self) {
        let Some(block) = self.take() else { return };
        let old = block.layout;
        // Vectors double; other collections grow or shrink a little.
        let size = match self.random.below(6) {
            0 | 1 => old.size() * 2,
            2 => old.size() + self.random.below(100),
            3 => old.size() - self.random.below(old.size().min(5000) + 1),
            _ => self.size(),
        };
        let align = match self.random.below(8) {
            0 => self.align(),
            _ => old.align(),
        };
        let new = Layout::from_size_align(size.min(self.len_max), align).unwrap();
        let zeroed = new.size() >= old.size() && self.random.below(2) == 0;
        let call = match (new.size() >= old.size(), zeroed) {
            (true, true) => "grow_zeroed",
            (true, false) => "grow",
            (false, _) => "shrink",
        };
        self.what = format!("{call} {old:?} to {new:?}");
        self.tally.met(call);
        self.look_at(&block);
        self.forget(&block);
        // The block came from this allocator with this layout, and no other code has it; the new
        // size is larger or smaller than the old one, as the method requires.
        let got = match call {
            // SAFETY: as above.
            "grow_zeroed" => unsafe { self.alloc.grow_zeroed(block.at, old, new) },
            // SAFETY: as above.
            "grow" => unsafe { self.alloc.grow(block.at, old, new) },
            // SAFETY: as above.
            _ => unsafe { self.alloc.shrink(block.at, old, new) },
        };
        let Some(at) = self.judge(got, new) else {
            // The block is unchanged.
            self.note(&block);
            self.look_at(&block);
            self.blocks.push(block);
            return;
        };
        self.note_move(&block, at, new.size());
        let resized = Block {
            at,
            layout: new,
            id: block.id,
        };
        self.note(&resized);
        let kept = old.size().min(new.size());
        self.compare(&resized.bytes()[..kept], block.id, old.size());
        if zeroed {
            self.assert_zero(&resized.bytes()[kept..]);
        }
        self.keep(resized);
    }

    /// Records whether a block that grew stayed in place.
    fn note_move(&mut self, block: &Block, at: NonNull<u8>, len: usize) {
        let long = block.layout.size() > 1 << 20;
        if len > block.layout.size() {
            self.tally.met(match (at == block.at, long) {
                (true, false) => "grown where it is",
                (true, true) => "grown where it is, more than 1 MiB",
                (false, false) => "grown elsewhere",
                (false, true) => "grown elsewhere, more than 1 MiB",
            });
        }
    }

    /// Requests more than any machine has, for a new block and for a live one.
    fn ask_for_the_impossible(&mut self) {
        let most = isize::MAX.unsigned_abs();
        let align = 1 << self.random.below(13);
        let size = match self.random.below(3) {
            0 => most - align,
            1 => most / 2 - self.random.below(10_000),
            _ => 1 << (usize::BITS - 2),
        };
        let layout = Layout::from_size_align(size, align).unwrap();
        self.what = format!("allocate {layout:?}");
        self.tally.met("the impossible");
        let got = self.alloc.allocate(layout);
        assert!(got.is_err(), "{}: not refused", self.here());
        let got = self.alloc.allocate_zeroed(layout);
        assert!(got.is_err(), "{}: not refused", self.here());
        if let Some(block) = self.take() {
            self.what = format!("grow {:?} to {layout:?}", block.layout);
            // SAFETY: the block came from this allocator with this layout, and the new size is
            // larger.
            let got = unsafe { self.alloc.grow(block.at, block.layout, layout) };
            assert!(got.is_err(), "{}: not refused", self.here());
            self.look_at(&block);
            self.blocks.push(block);
        }
    }

    /// Checks the properties of every result, and returns the address if there is one.
    fn judge(
        &mut self,
        got: Result<NonNull<[u8]>, AllocError>,
        layout: Layout,
    ) -> Option<NonNull<u8>> {
        let Ok(block) = got else {
            let here = self.here();
            let promised = layout.align() <= ALIGN_MAX && !self.scarce;
            assert!(!promised, "{here}: refused");
            self.refused += 1;
            self.tally
                .met("refused for its alignment, or for want of space");
            return None;
        };
        self.granted += 1;
        let here = self.here();
        assert!(block.len() >= layout.size(), "{here}: too short");
        let address = block.cast::<u8>().addr().get();
        assert_eq!(address % layout.align(), 0, "{here}: not aligned");
        Some(block.cast())
    }

    /// Adds a block to the live ones, which it must not overlap.
    fn note(&mut self, block: &Block) {
        let (start, end) = block.span();
        self.live += block.layout.size();
        self.tally
            .reached("bytes in a block", block.layout.size() as u64);
        self.tally.reached("bytes alive", self.live as u64);
        if start == end {
            return;
        }
        let before = self.spans.range(..end).next_back();
        let apart = before.is_none_or(|(_, before_end)| *before_end <= start);
        assert!(apart, "{}: blocks touch at {start:#x}", self.here());
        self.spans.insert(start, end);
    }

    fn forget(&mut self, block: &Block) {
        let (start, end) = block.span();
        self.live -= block.layout.size();
        if start < end {
            assert_eq!(self.spans.remove(&start), Some(end));
        }
    }

    /// Stores new bytes in a block and keeps it.
    fn keep(&mut self, mut block: Block) {
        self.next_id += 1;
        if block.layout.size() > 1 << 20 {
            self.tally.met("a block of more than 1 MiB");
        }
        block.fill(self.next_id);
        self.blocks.push(block);
    }

    fn free(&mut self, block: &Block) {
        self.what = format!("deallocate {:?}", block.layout);
        self.tally.met("deallocate");
        self.look_at(block);
        self.forget(block);
        // SAFETY: the block came from this allocator with this layout, and no code uses it any
        // more.
        unsafe { self.alloc.deallocate(block.at, block.layout) };
    }

    fn check_one(&mut self) {
        if let Some(block) = self.take() {
            self.look_at(&block);
            self.blocks.push(block);
        }
    }

    fn look_at(&self, block: &Block) {
        self.compare(block.bytes(), block.id, block.layout.size());
    }

    /// Compares bytes with the pattern: the first of `full` bytes of this number.
    fn compare(&self, found: &[u8], id: u64, full: usize) {
        let pattern = item(id, PATTERN_BYTES.min(full));
        for (number, piece) in found.chunks(pattern.len().max(1)).enumerate() {
            assert!(
                piece == &pattern[..piece.len()],
                "{}: a byte differs in piece {number} of {} bytes",
                self.here(),
                found.len()
            );
        }
    }

    fn assert_zero(&self, found: &[u8]) {
        static ZEROS: [u8; 4096] = [0; 4096];
        let zero = found
            .chunks(ZEROS.len())
            .all(|piece| piece == &ZEROS[..piece.len()]);
        assert!(zero, "{}: bytes are not zero", self.here());
    }

    /// Gives a block to other threads, or takes one of theirs.
    pub(crate) fn trade(&mut self, market: &Mutex<Vec<Block>>) {
        let mut offers = market.lock().unwrap_or_else(PoisonError::into_inner);
        self.tally.met("trade");
        if self.random.below(2) == 0 {
            if let Some(block) = self.take() {
                self.forget(&block);
                offers.push(block);
            }
        } else if !offers.is_empty() {
            let at = self.random.below(offers.len());
            let block = offers.swap_remove(at);
            drop(offers);
            self.adopt(block);
        }
    }

    pub(crate) fn adopt(&mut self, block: Block) {
        "a block of another thread".clone_into(&mut self.what);
        self.note(&block);
        self.look_at(&block);
        self.blocks.push(block);
    }
}
