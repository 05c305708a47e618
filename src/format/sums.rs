//! Checksums that say whether bytes are those that belong to a place of one file.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The bytes of a checksum.
pub(super) const SUM_BYTES: u64 = 8;

/// The checksums of blocks that one page of the table holds.
pub(super) const PAGE_SUMS: u64 = 512;

/// What a checksum is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Part {
    Block = 1,
    TablePage = 2,
    Index = 3,
    Description = 4,
    Head = 5,
    Tail = 6,
}

/// The number that a file has from its start, which no other file has.
pub(crate) type FileId = [u8; 16];

/// Returns the checksum of the bytes of a part with a number, in the file of this id: XXH3 of 64 bits,
/// whose seed is the XXH3 of id, part and number. So the bytes of another file, or of another place,
/// do not match.
pub(super) fn sum_of(id: &FileId, part: Part, number: u64, bytes: &[u8]) -> u64 {
    let mut place = [0; 32];
    let (first, rest) = place.split_at_mut(16);
    let (second, third) = rest.split_at_mut(8);
    first.copy_from_slice(id);
    second.copy_from_slice(&(part as u64).to_le_bytes());
    third.copy_from_slice(&number.to_le_bytes());
    xxh3_64_with_seed(bytes, xxh3_64(&place))
}

/// Returns the numbers that little-endian bytes hold; a rest of fewer than eight is left out.
pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let chunks = bytes.chunks_exact(8);
    chunks.filter_map(|word| word.first_chunk().map(|word| u64::from_le_bytes(*word)))
}
