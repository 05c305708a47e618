//! The allocator compared with a model, and cases that random operations do not reach.

use super::*;
use crate::containers::range_file::align::ALIGNMENT;

/// The unit of the model. Ranges may end between two multiples of the alignment.
const BLOCK: u64 = ALIGNMENT / 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Free,
    Content,
    Out,
    Written,
}

/// An allocator, and the expected state of each block.
struct World {
    allocator: RangeAllocator,
    blocks: Vec<Block>,
    content_end: u64,
    out: Vec<Range<u64>>,
    name: String,
}

impl World {
    fn new(blocks: u64, content: u64, seed: u64) -> Self {
        let mut world = Self {
            allocator: RangeAllocator::new(blocks * BLOCK, content * BLOCK),
            blocks: vec![Block::Free; usize::try_from(blocks).unwrap()],
            content_end: content * BLOCK,
            out: Vec::new(),
            name: format!("seed {seed}"),
        };
        world.of(0..content * BLOCK).fill(Block::Content);
        world
    }

    fn end(&self) -> u64 {
        self.blocks.len() as u64 * BLOCK
    }

    fn of(&mut self, range: Range<u64>) -> &mut [Block] {
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at / BLOCK));
        &mut self.blocks[start.unwrap()..end.unwrap()]
    }

    fn is_all(&mut self, range: Range<u64>, block: Block) -> bool {
        self.of(range).iter().all(|found| *found == block)
    }

    /// Returns the length of the range at `start` that has room for `len` bytes.
    fn fit(&self, start: u64, len: u64) -> u64 {
        align_up(len).min(self.end() - start)
    }

    fn allocate(&mut self, len: u64) {
        let name = self.name.clone();
        let Some(range) = self.allocator.allocate(len) else {
            let end = self.end();
            let mut starts = (0..end).step_by(usize::try_from(ALIGNMENT).unwrap());
            let fits = starts.find(|start| {
                let whole = *start..*start + self.fit(*start, len);
                len > 0 && start + len <= end && self.is_all(whole, Block::Free)
            });
            assert_eq!(fits, None, "{name}: {len} bytes fit there");
            return;
        };
        assert!(len > 0 && range.end <= self.end(), "{name}: {range:?}");
        assert_eq!(range.start % ALIGNMENT, 0, "{name}: {range:?}");
        let fit = self.fit(range.start, len);
        assert_eq!(range.end - range.start, fit, "{name}: {len}");
        assert!(fit >= len, "{name}: {len} bytes in {range:?}");
        assert!(self.is_all(range.clone(), Block::Free), "{name}: {range:?}");
        self.take(range);
    }

    fn claim(&mut self, range: Range<u64>) {
        let expected = if range.start > range.end || range.end > self.end() {
            Err(Refused::OutOfBounds)
        } else {
            let mut blocks = self.of(range.clone()).iter();
            let is_in_use = blocks.any(|block| matches!(block, Block::Out | Block::Written));
            if is_in_use {
                Err(Refused::InUse)
            } else {
                Ok(())
            }
        };
        let claimed = self.allocator.claim(&range);
        assert_eq!(claimed, expected, "{}: {range:?}", self.name);
        if claimed.is_ok() && !range.is_empty() {
            self.take(range);
        }
    }

    fn take(&mut self, range: Range<u64>) {
        self.of(range.clone()).fill(Block::Out);
        self.out.push(range);
    }

    /// Ends `range`, by freezing or by dropping it. Returns whether it was the last one.
    fn end_range(&mut self, range: Range<u64>, is_kept: bool) -> bool {
        if is_kept {
            self.of(range.clone()).fill(Block::Written);
            self.allocator.finish(range.clone());
            return self.allocator.returned().release(range.end - range.start);
        }
        let middle = self.content_end.clamp(range.start, range.end);
        self.of(range.start..middle).fill(Block::Content);
        self.of(middle..range.end).fill(Block::Free);
        self.allocator.give_back(range);
        assert!(
            !self.allocator.is_all_back(),
            "{}: a byte is out",
            self.name
        );
        self.allocator.returned().release(1)
    }

    fn grow(&mut self, blocks: u64) {
        let len = self.end() + blocks * BLOCK;
        assert!(self.allocator.grow(len), "{}", self.name);
        let blocks = usize::try_from(len / BLOCK).unwrap();
        self.blocks.resize(blocks, Block::Free);
    }

    fn check(&mut self) {
        let name = self.name.clone();
        assert_eq!(self.allocator.len(), self.end(), "{name}");
        let free = self.blocks.iter().filter(|block| **block == Block::Free);
        let free = free.count() as u64 * BLOCK;
        assert_eq!(self.allocator.remaining(), free, "{name}");
        assert_eq!(self.allocator.is_all_back(), self.out.is_empty(), "{name}");
    }

    /// The record has the finished ranges, and nothing else.
    fn check_written(&self) {
        let name = &self.name;
        let written = self.allocator.written();
        for (block, number) in self.blocks.iter().zip(0..) {
            let at = number * BLOCK;
            let is_written = written.contains(&(at..at + BLOCK));
            assert_eq!(is_written, *block == Block::Written, "{name}: {at}");
        }
    }
}

/// Numbers below a bound.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    move |bound| {
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    }
}

/// Scenarios of an allocator of about `units` times the alignment.
fn live(seeds: Range<u64>, units: u64, steps: usize) {
    for seed in seeds {
        let mut next = numbers(seed);
        let blocks = 4 + next(4 * units);
        let content = [0, blocks, next(blocks)][usize::try_from(next(3)).unwrap()];
        let mut world = World::new(blocks, content, seed);
        for _ in 0..steps {
            let end = world.blocks.len() as u64;
            match next(10) {
                0..4 => {
                    let longest = [4, end / 2 + 1, end + 2][usize::try_from(next(3)).unwrap()];
                    let odd = [0, 0, 1, BLOCK - 1][usize::try_from(next(4)).unwrap()];
                    let len = next(longest) * BLOCK;
                    world.allocate(len + odd);
                }
                4 | 5 => {
                    let start = next(end + 2) / (1 + next(8));
                    let stop = next(3) * (end / 8) + next(8) + start;
                    world.claim(start * BLOCK..stop.saturating_sub(1) * BLOCK);
                }
                6 if next(8) == 0 => world.grow(next(9)),
                _ if !world.out.is_empty() => {
                    let chosen = usize::try_from(next(world.out.len() as u64)).unwrap();
                    let range = world.out.swap_remove(chosen);
                    let blocks = (range.end - range.start) / BLOCK;
                    let first = [blocks, 1 + next(blocks)][usize::try_from(next(2)).unwrap()];
                    let middle = range.start + first * BLOCK;
                    if middle < range.end {
                        world.out.push(middle..range.end);
                    }
                    let is_last = world.end_range(range.start..middle, next(10) == 0);
                    assert!(!is_last, "{}: not closed", world.name);
                }
                _ => {}
            }
            world.check();
        }
        end(world);
    }
}

/// The last range, or the close after it, reports that it is the last, and nothing before does.
fn end(mut world: World) {
    let name = world.name.clone();
    world.check_written();
    assert!(!world.allocator.is_sealed());
    world.allocator.seal();
    assert!(world.allocator.is_sealed() && world.allocator.remaining() == 0);
    assert_eq!(world.allocator.allocate(1), None, "{name}");
    assert_eq!(
        world.allocator.claim(&(0..1)),
        Err(Refused::Sealed),
        "{name}"
    );
    assert!(!world.allocator.grow(world.end() + BLOCK), "{name}");
    assert_eq!(world.allocator.len(), world.end(), "{name}");
    let is_alone = world
        .allocator
        .returned()
        .close(world.allocator.watermark());
    assert_eq!(is_alone, world.out.is_empty(), "{name}");
    while let Some(range) = world.out.pop() {
        let is_last = world.end_range(range, world.out.len() % 2 == 0);
        assert_eq!(is_last, world.out.is_empty(), "{name}");
    }
}

#[test]
fn the_allocator_knows_the_state_of_every_byte() {
    live(0..200, 20, 150);
}

/// The counter has room for failed additions, as long as no thread adds more than 1 MiB.
#[test]
fn what_cannot_fit_does_not_move_the_counter() {
    let allocator = RangeAllocator::new(ALIGNMENT, 0);
    for len in [FAST_MAX + 1, FAST_MAX * 2, 1 << 62, 1 << 63, u64::MAX] {
        assert_eq!(allocator.allocate(len), None);
        assert_eq!(allocator.watermark(), 0);
    }
    assert_eq!(allocator.allocate(FAST_MAX), None);
    assert!(allocator.grow(LEN_MAX));
    assert_eq!(allocator.remaining(), LEN_MAX);
    assert_eq!(allocator.allocate(LEN_MAX), Some(0..LEN_MAX));
}

/// Whether the counter reached the end by a claim, by failed allocations, or by a range across the
/// list: the next thread adds nothing.
#[test]
fn a_counter_that_is_at_the_end_stays_there() {
    let stays = |allocator: &RangeAllocator, len: u64, expected: Option<Range<u64>>| {
        let watermark = allocator.watermark();
        assert_eq!(allocator.allocate(len), expected);
        assert_eq!(allocator.watermark(), watermark);
    };
    let claimed = RangeAllocator::new(2 * FAST_MAX, 0);
    claimed.claim(&(0..2 * FAST_MAX)).unwrap();
    stays(&claimed, 1, None);

    let asked_in_vain = RangeAllocator::new(ALIGNMENT, 0);
    assert_eq!(asked_in_vain.allocate(8 * ALIGNMENT), None);
    stays(&asked_in_vain, 8 * ALIGNMENT, None);
    assert!(asked_in_vain.grow(4 * ALIGNMENT));
    stays(&asked_in_vain, ALIGNMENT, Some(0..ALIGNMENT));
    assert!(asked_in_vain.grow(16 * ALIGNMENT));
    let behind = asked_in_vain.allocate(8 * ALIGNMENT);
    assert_eq!(behind, Some(8 * ALIGNMENT..16 * ALIGNMENT));

    let across = RangeAllocator::new(2 * FAST_MAX, 0);
    let first = across.allocate(ALIGNMENT).unwrap();
    across.give_back(first);
    assert!(across.allocate(2 * FAST_MAX).is_some());
    stays(&across, 1, None);

    let too_short = RangeAllocator::new(2 * FAST_MAX, 0);
    let [_out, second] = [(); 2].map(|()| too_short.allocate(ALIGNMENT).unwrap());
    too_short.give_back(second);
    stays(&too_short, 2 * FAST_MAX, None);
}

/// A file whose counter was used up by failed allocations does not grow.
#[test]
fn a_counter_without_room_refuses_to_grow() {
    for (watermark, has_room) in [(0, true), (1 << 62, true), ((1 << 62) + ALIGNMENT, false)] {
        let allocator = RangeAllocator::new(ALIGNMENT, 0);
        allocator.advance(0, watermark).unwrap();
        assert_eq!(allocator.grow(2 * ALIGNMENT), has_room, "{watermark}");
        assert_eq!(allocator.len(), if has_room { 2 } else { 1 } * ALIGNMENT);
    }
}

/// Allocations above 1 MiB, which do not use the counter alone.
#[test]
fn long_ranges_are_found_wherever_they_fit() {
    live(0..400, 1200, 12);
}

/// In a file that was all free, 2 MiB could not be allocated: returned ranges were in the list, the
/// rest was behind the counter, and each was searched alone.
#[test]
fn a_long_range_may_begin_in_what_was_given_back() {
    let len = 2 * FAST_MAX;
    for given_back in [2 * ALIGNMENT, FAST_MAX, len - ALIGNMENT] {
        for longer in [0, 1, ALIGNMENT - 1, ALIGNMENT] {
            let allocator = RangeAllocator::new(len + longer, 0);
            let range = allocator.allocate(given_back).unwrap();
            allocator.give_back(range);
            assert!(!allocator.returned().release(1));
            assert_eq!(allocator.allocate(len + longer + 1), None);
            assert_eq!(
                allocator.allocate(len),
                Some(0..len),
                "{given_back}, {longer}"
            );
            assert_eq!(allocator.remaining(), longer);
            let rest = (longer > 0).then_some(len..len + longer);
            assert_eq!(allocator.allocate(longer), rest);
            assert_eq!(allocator.allocate(1), None);
        }
    }
}
