//! The checksums of the blocks of data that arrive in order, in pieces of any length.

use crate::format::sums::{FileId, Part, SUM_BYTES, sum_of};
use crate::format::write::BLOCK_BYTES;

/// A block as an index.
const BLOCK: usize = BLOCK_BYTES as usize;

/// The checksums of all blocks so far, and the beginning of the next one.
#[derive(Debug)]
pub(crate) struct BlockSums {
    pub(super) id: FileId,
    /// The bytes that arrived.
    bytes: u64,
    /// Those of the last block, as long as that is not complete.
    begun: Vec<u8>,
    /// The checksums of the complete ones, as they will be in the file.
    table: Vec<u8>,
}

/// There is no memory for the checksums. The bytes did not arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoMemory;

/// How far the data had come.
#[derive(Debug)]
pub(crate) struct Mark {
    bytes: u64,
    begun: Vec<u8>,
    table_len: usize,
}

impl BlockSums {
    pub(crate) const fn new(id: FileId) -> Self {
        Self {
            id,
            bytes: 0,
            begun: Vec::new(),
            table: Vec::new(),
        }
    }

    /// Returns how many bytes arrived.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), NoMemory> {
        let sums = self.begun.len().saturating_add(bytes.len()) / BLOCK;
        let sum_len = usize::try_from(SUM_BYTES).unwrap_or(0);
        let reserved = self.table.try_reserve(sums.saturating_mul(sum_len));
        let missing = BLOCK.saturating_sub(self.begun.len());
        let begun = self.begun.try_reserve_exact(missing);
        if reserved.is_err() || begun.is_err() {
            return Err(NoMemory);
        }
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        if !self.begun.is_empty() {
            let (head, behind) = bytes.split_at(missing.min(bytes.len()));
            self.begun.extend_from_slice(head);
            rest = behind;
            if self.begun.len() < BLOCK {
                return Ok(());
            }
            self.end_block();
        }
        let blocks = rest.chunks_exact(BLOCK);
        self.begun.extend_from_slice(blocks.remainder());
        for block in blocks {
            self.enter(block_sum(&self.id, self.entered(), block));
        }
        Ok(())
    }

    /// Ends the last block, and returns all checksums.
    pub(super) fn finish(&mut self) -> Result<&[u8], NoMemory> {
        if !self.begun.is_empty() {
            let sum_len = usize::try_from(SUM_BYTES).unwrap_or(0);
            self.table.try_reserve(sum_len).map_err(|_full| NoMemory)?;
            self.end_block();
        }
        Ok(&self.table)
    }

    /// Returns how far the data are, for [`reset`](Self::reset).
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            bytes: self.bytes,
            begun: self.begun.clone(),
            table_len: self.table.len(),
        }
    }

    /// Forgets what arrived after a mark.
    pub(crate) fn reset(&mut self, mark: Mark) {
        self.bytes = mark.bytes;
        self.begun = mark.begun;
        self.table.truncate(mark.table_len);
    }

    fn end_block(&mut self) {
        self.enter(block_sum(&self.id, self.entered(), &self.begun));
        self.begun.clear();
    }

    /// Returns the number of complete blocks.
    fn entered(&self) -> u64 {
        self.table.len() as u64 / SUM_BYTES
    }

    /// Enters the checksum of the next block. There is room for it.
    fn enter(&mut self, sum: u64) {
        self.table.extend_from_slice(&sum.to_le_bytes());
    }
}

fn block_sum(id: &FileId, number: u64, bytes: &[u8]) -> u64 {
    sum_of(id, Part::Block, number, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: FileId = [7; 16];

    fn sums_of(pieces: &[&[u8]]) -> Vec<u8> {
        let mut sums = BlockSums::new(ID);
        for piece in pieces {
            sums.push(piece).unwrap();
        }
        sums.finish().unwrap().to_vec()
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_the_bytes_arrive() {
        let bytes: Vec<u8> = (0..5 * BLOCK + 77)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();
        let blocks = (0..).zip(bytes.chunks(BLOCK));
        let expected: Vec<u8> = blocks
            .flat_map(|(number, block)| block_sum(&ID, number, block).to_le_bytes())
            .collect();
        assert_eq!(expected.len(), 6 * 8);
        for len in [1, 63, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, bytes.len()] {
            let pieces: Vec<&[u8]> = bytes.chunks(len).collect();
            assert_eq!(sums_of(&pieces), expected, "pieces of {len}");
        }
        assert!(sums_of(&[]).is_empty());
    }

    #[test]
    fn what_arrived_after_a_mark_can_be_forgotten() {
        let bytes = vec![3; 2 * BLOCK + 10];
        let mut sums = BlockSums::new(ID);
        sums.push(&bytes).unwrap();
        let mark = sums.mark();
        sums.push(&bytes).unwrap();
        sums.finish().unwrap();
        sums.reset(mark);
        assert_eq!(sums.bytes(), bytes.len() as u64);
        sums.push(&[4; 100]).unwrap();
        assert_eq!(sums.finish().unwrap(), sums_of(&[&bytes, &[4; 100]]));
    }
}
