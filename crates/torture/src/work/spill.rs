//! Large blocks of this program's global allocator, each against the number that determines its
//! bytes. Blocks that cannot be spilled go to the inner allocator, so no request is refused.

use crate::job::counted;
use crate::random::{assert_item, item};
use crate::work::Work;

struct Block {
    id: u64,
    bytes: Vec<u8>,
}

pub(crate) fn run(work: &mut Work) {
    let mut blocks: Vec<Block> = Vec::new();
    let mut bytes = 0;
    for step in 0..work.steps {
        work.step();
        work.operations += 1;
        match work.random.below(10) {
            0..=4 if bytes < work.bytes => {
                let longest = if work.random.once_in(8) {
                    work.bytes / 4
                } else {
                    300_000
                };
                let (id, len) = (work.random.next(), work.random.len(longest));
                bytes += len;
                blocks.push(Block {
                    id,
                    bytes: item(id, len),
                });
            }
            5 | 6 if !blocks.is_empty() => {
                let block = blocks.swap_remove(work.random.below(blocks.len()));
                bytes -= block.bytes.len();
                assert_item(
                    &block.bytes,
                    block.id,
                    block.bytes.len(),
                    "a block before its release",
                );
            }
            7 if !blocks.is_empty() => {
                let chosen = work.random.below(blocks.len());
                let block = &mut blocks[chosen];
                let len = work.random.len(400_000);
                bytes = bytes - block.bytes.len() + len;
                resize(block, len);
            }
            8 if work.random.once_in(4) => {
                let answer = crate::GLOBAL.evict();
                work.done("evict", answer);
            }
            _ => {
                if !blocks.is_empty() {
                    let block = &blocks[work.random.below(blocks.len())];
                    assert_item(&block.bytes, block.id, block.bytes.len(), "on the way");
                }
            }
        }
        if step == work.steps / 2 && work.has_bug("lose") {
            let longest = blocks.iter_mut().max_by_key(|block| block.bytes.len());
            if let Some(byte) = longest.and_then(|block| block.bytes.last_mut()) {
                *byte ^= 1;
            }
        }
    }
    if work.is_unlimited() {
        assert_eq!(crate::GLOBAL.failures(), 0, "blocks that were not spilled");
    }
    counted("spilled-blocks-refused", crate::GLOBAL.failures());
    counted("max-spilled-bytes", crate::GLOBAL.peak_bytes());
    for block in &blocks {
        assert_item(&block.bytes, block.id, block.bytes.len(), "at the end");
    }
}

/// Makes a block longer or shorter, and returns unused capacity.
fn resize(block: &mut Block, len: usize) {
    let before = block.bytes.len();
    if len <= before {
        block.bytes.truncate(len);
        block.bytes.shrink_to_fit();
        return;
    }
    block.bytes.reserve_exact(len - before);
    let longer = item(block.id, len);
    assert_item(&block.bytes, block.id, before, "a block that grew");
    block.bytes.extend_from_slice(&longer[before..]);
}
