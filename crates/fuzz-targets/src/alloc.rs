//! An allocator on disk: unusual layouts, and a distinct pattern in each block, so that overlapping
//! blocks are detected.
#![expect(unsafe_code, reason = "calls an allocator by its unsafe trait")]

use std::alloc::Layout;
use std::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use outcore::{Advice, DiskAlloc};

use crate::bytes::{Bytes, fill, is_item};

/// The most bytes that the blocks of one case take.
const BYTES_MAX: usize = 12 << 20;

/// The longest block that most cases request, and the longest of all.
const LEN_COMMON: usize = 80 << 10;
const LEN_MAX: usize = 5 << 20;

/// Requests with a larger alignment may be refused.
const ALIGN_MAX: usize = 2 << 20;

/// An allocated block. Its bytes are those of the item.
struct Block {
    /// Invariant 1: the allocator handed it out for `layout`, and no other code uses it.
    start: NonNull<u8>,
    layout: Layout,
    id: u64,
}

impl Block {
    fn bytes(&self) -> &[u8] {
        // SAFETY: invariant 1, and the bytes were filled when the block was made.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: invariant 1, and the bytes are zero or were filled.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }

    fn fill(&mut self) {
        let id = self.id;
        fill(self.bytes_mut(), id);
    }

    fn check(&self) {
        assert!(
            is_item(self.bytes(), self.id),
            "{:?} was changed",
            self.layout
        );
    }
}

struct Run {
    alloc: DiskAlloc,
    blocks: Vec<Block>,
    next: u64,
    bytes: usize,
    planted: bool,
}

pub(crate) fn run(data: &[u8], planted: bool) {
    let mut bytes = Bytes::new(data);
    let mut run = Run {
        alloc: DiskAlloc::new().unwrap(),
        blocks: Vec::new(),
        next: 0,
        bytes: 0,
        planted,
    };
    while !bytes.is_empty() {
        match bytes.byte() % 16 {
            0..=6 => run.allocate(&mut bytes),
            7 | 8 => run.free(&mut bytes),
            9..=13 => run.resize(&mut bytes),
            14 => run.blocks.iter().for_each(Block::check),
            _ => run.advise(&mut bytes),
        }
    }
    while !run.blocks.is_empty() {
        run.free(&mut bytes);
    }
}

/// Reads a layout: mostly small ones, some with unusual alignments.
fn layout(bytes: &mut Bytes<'_>) -> Layout {
    let size = match bytes.byte() {
        0..8 => bytes.len(LEN_MAX),
        8..16 => (1 << bytes.below(23)) + bytes.below(3) - 1,
        _ => bytes.len(LEN_COMMON),
    };
    let align = match bytes.byte() {
        0..8 => 1 << bytes.below(23),
        small => 1 << (small % 5),
    };
    Layout::from_size_align(size, align).unwrap()
}

impl Run {
    fn has_room(&self, layout: Layout) -> bool {
        self.bytes + layout.size().max(layout.align() / 16) < BYTES_MAX
    }

    fn allocate(&mut self, bytes: &mut Bytes<'_>) {
        let (layout, zeroed) = (layout(bytes), bytes.flag());
        if !self.has_room(layout) {
            return;
        }
        let made = if zeroed {
            self.alloc.allocate_zeroed(layout)
        } else {
            self.alloc.allocate(layout)
        };
        let Ok(start) = made else {
            assert!(layout.align() > ALIGN_MAX, "{layout:?} was refused");
            return;
        };
        self.took(start.cast(), layout, zeroed, 0);
    }

    /// Records a block. If zeros were requested, it must be zero from byte `from` on.
    fn took(&mut self, start: NonNull<u8>, layout: Layout, zeroed: bool, from: usize) {
        assert!(start.addr().get() % layout.align() == 0, "{layout:?}");
        if !zeroed {
            // SAFETY: the block is ours, and has this many bytes.
            unsafe { start.write_bytes(0, layout.size()) };
        }
        let id = self.next;
        let mut block = Block { start, layout, id };
        let rest = block.bytes().get(from..).unwrap_or_default();
        assert!(
            rest.iter().all(|byte| *byte == 0),
            "{layout:?} is not zeroed"
        );
        block.fill();
        self.next += 1;
        self.bytes += layout.size();
        self.blocks.push(block);
    }

    /// Chooses a block and checks that it is unchanged.
    fn choose(&mut self, bytes: &mut Bytes<'_>) -> Option<Block> {
        if self.blocks.is_empty() {
            return None;
        }
        let chosen = bytes.below(self.blocks.len());
        let mut block = self.blocks.swap_remove(chosen);
        // Planted: a write to a block behind a long one.
        if self.planted && block.layout.size() > 40_000 && self.blocks.len() > 3 {
            if let Some(first) = block.bytes_mut().first_mut() {
                *first ^= 1;
            }
        }
        block.check();
        self.bytes -= block.layout.size();
        Some(block)
    }

    fn free(&mut self, bytes: &mut Bytes<'_>) {
        if let Some(block) = self.choose(bytes) {
            // SAFETY: invariant 1 of `Block`, which ends here.
            unsafe { self.alloc.deallocate(block.start, block.layout) };
        }
    }

    fn resize(&mut self, bytes: &mut Bytes<'_>) {
        let (new, zeroed) = (layout(bytes), bytes.flag());
        if !self.has_room(new) {
            return;
        }
        let Some(block) = self.choose(bytes) else {
            return;
        };
        let (start, old) = (block.start, block.layout);
        let kept = old.size().min(new.size());
        let resized = if new.size() < old.size() {
            // SAFETY: invariant 1 of `Block`, which ends here; the new layout is not longer.
            unsafe { self.alloc.shrink(start, old, new) }
        } else if zeroed {
            // SAFETY: as above; the new layout is not shorter.
            unsafe { self.alloc.grow_zeroed(start, old, new) }
        } else {
            // SAFETY: as above.
            unsafe { self.alloc.grow(start, old, new) }
        };
        let Ok(resized) = resized else {
            assert!(new.align() > ALIGN_MAX, "{old:?} to {new:?} was refused");
            block.check();
            self.bytes += old.size();
            self.blocks.push(block);
            return;
        };
        let start: NonNull<u8> = resized.cast();
        // SAFETY: the block was allocated for `new`, and the old one had this many bytes.
        let moved = unsafe { std::slice::from_raw_parts(start.as_ptr(), kept) };
        assert!(is_item(moved, block.id), "{old:?} to {new:?} lost bytes");
        let zeroed = zeroed && new.size() >= old.size();
        self.took(start, new, zeroed, if zeroed { kept } else { 0 });
    }

    fn advise(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.byte() % 4 {
            0 => self.alloc.evict().unwrap(),
            1 => self.alloc.advise(Advice::Random).unwrap(),
            2 => self.alloc.advise(Advice::Sequential).unwrap(),
            _ => self.alloc.advise(Advice::Normal).unwrap(),
        }
        assert!(self.alloc.disk_bytes() >= self.bytes as u64);
    }
}
