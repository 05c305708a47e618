//! A checksum of the data on disk.
//!
//! It detects devices and file systems that lose, mix up or zero data; it does not protect against
//! adversaries. Words of 8 bytes go to four lanes in turn; each step is a bijection of its lane for
//! a given word, and of the word for a given lane. So two inputs of the same length that differ in
//! one word of a lane always differ in the sum of that lane, before the lanes are folded.
//! Differences of several words can cancel each other out, by chance one time in 2^64. The seed
//! identifies the expected bytes: those of another place do not match.
//!
//! A crate would be faster only with instructions of one kind of processor; this is as fast as
//! memory, and needs no dependency.

/// Odd numbers without a pattern: the first digits of the square roots of 2, 3, 5 and 7.
const FACTORS: [u64; 4] = [
    0x6A09_E667_F3BC_C909,
    0xBB67_AE85_84CA_A73B,
    0x3C6E_F372_FE94_F82B,
    0xA54F_F53A_5F1D_36F1,
];

/// Returns the sum of some bytes, which depends on their number too.
pub(crate) fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    let mut lanes = FACTORS.map(|factor| seed ^ factor);
    let mut groups = bytes.chunks_exact(32);
    for group in &mut groups {
        step(&mut lanes, group);
    }
    let mut last = [0; 32];
    for (target, byte) in last.iter_mut().zip(groups.remainder()) {
        *target = *byte;
    }
    step(&mut lanes, &last);
    let start = fold(seed ^ bytes.len() as u64);
    lanes
        .iter()
        .fold(start, |sum, lane| fold(sum.rotate_left(17) ^ lane))
}

/// Adds a group of 32 bytes to the lanes.
#[inline]
fn step(lanes: &mut [u64; 4], group: &[u8]) {
    for ((lane, factor), word) in lanes.iter_mut().zip(FACTORS).zip(group.chunks_exact(8)) {
        let word = word
            .first_chunk()
            .map_or(0, |word| u64::from_le_bytes(*word));
        let mixed = (*lane ^ word).wrapping_mul(factor);
        // A multiplication hardly spreads the upper bits.
        *lane = mixed ^ (mixed >> 29);
    }
}

/// Makes every bit of a number depend on every other: a bijection.
pub(crate) fn fold(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_change_of_a_bit_a_length_or_a_place_changes_the_sum() {
        let bytes: Vec<u8> = (0..200_u8).map(|n| n.wrapping_mul(37)).collect();
        let mut sums = HashSet::new();
        for len in 0..bytes.len() {
            assert!(sums.insert(checksum(1, &bytes[..len])), "length {len}");
            assert!(
                sums.insert(checksum(2, &bytes[..len])),
                "seed, length {len}"
            );
        }
        let mut changed = bytes.clone();
        for bit in 0..bytes.len() * 8 {
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(sums.insert(checksum(1, &changed)), "bit {bit}");
            changed[bit / 8] ^= 1 << (bit % 8);
        }
        for (from, to) in [(0, 32), (0, 8), (8, 40)] {
            let mut swapped = bytes.clone();
            for n in 0..8 {
                swapped.swap(from + n, to + n);
            }
            assert!(
                sums.insert(checksum(1, &swapped)),
                "words {from} and {to} exchanged"
            );
        }
        for len in 0..100 {
            assert!(
                sums.insert(checksum(1, &vec![0; len + 1000])),
                "{len} zeros more"
            );
        }
    }
}
