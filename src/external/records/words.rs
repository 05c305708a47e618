//! Sorting an index of keys word by word: numbers are compared where keys would have to be read.

use crate::external::records::chunk::Entry;

/// Bytes of a word.
const WORD_BYTES: usize = 8;

/// Keys that are equal up to here are compared as they are: a bound on the recursion.
const DEPTH_MAX: usize = 16 * WORD_BYTES;

/// So few are compared as they are.
const FEW: usize = 3;

/// An entry of an index, with a word that the sort uses.
pub(in crate::external) trait Indexed {
    fn set_word(&mut self, word: u64);

    /// Returns the word, and behind it what decides among entries of equal keys.
    fn order(&self) -> u128;
}

impl Indexed for Entry {
    #[inline]
    fn set_word(&mut self, word: u64) {
        self.0 = word;
    }

    #[inline]
    fn order(&self) -> u128 {
        let (word, (at, _)) = *self;
        u128::from(word) << 32 | u128::from(at)
    }
}

/// Sorts entries by the keys that `key` returns for them, and those of equal keys by what else they
/// have. Changes the words of the entries.
pub(in crate::external) fn sort<'k, E: Indexed>(entries: &mut [E], key: &impl Fn(&E) -> &'k [u8]) {
    sort_from(entries, key, 0);
}

/// Sorts entries whose keys are equal up to `depth`, and reach that far.
fn sort_from<'k, E: Indexed>(entries: &mut [E], key: &impl Fn(&E) -> &'k [u8], depth: usize) {
    if entries.len() <= FEW || depth >= DEPTH_MAX {
        return compare_from(entries, key, depth);
    }
    let (mut shortest, mut longest) = (usize::MAX, 0);
    for entry in entries.iter_mut() {
        let key = key(entry);
        entry.set_word(word_at(key, depth));
        shortest = shortest.min(key.len());
        longest = longest.max(key.len());
    }
    let end = depth.saturating_add(WORD_BYTES);
    entries.sort_unstable_by_key(E::order);
    for equal in entries.chunk_by_mut(|entry, other| word_of(entry) == word_of(other)) {
        if equal.len() == 1 {
            continue;
        }
        if shortest >= end {
            sort_from(equal, key, end);
        } else if longest < end && shortest == longest {
            // The keys are equal, and sorted by what else the entries have.
        } else {
            sort_ended(equal, key, end);
        }
    }
}

/// Sorts entries whose keys are equal up to `end`, where some have zeros behind their last byte.
fn sort_ended<'k, E: Indexed>(entries: &mut [E], key: &impl Fn(&E) -> &'k [u8], end: usize) {
    let is_longer = entries.iter().all(|entry| key(entry).len() >= end);
    if is_longer {
        return sort_from(entries, key, end);
    }
    entries.sort_unstable_by_key(|entry| (key(entry).len().min(end), entry.order()));
    let short = entries.partition_point(|entry| key(entry).len() < end);
    let longer = entries.get_mut(short..).unwrap_or_default();
    if longer.len() > 1 {
        sort_from(longer, key, end);
    }
}

/// Compares keys as they are, behind what they have in common.
fn compare_from<'k, E: Indexed>(entries: &mut [E], key: &impl Fn(&E) -> &'k [u8], depth: usize) {
    let rest = |entry: &E| key(entry).get(depth..).unwrap_or_default();
    for entry in entries.iter_mut() {
        entry.set_word(0);
    }
    entries.sort_unstable_by(|entry, other| {
        let compared = rest(entry).cmp(rest(other));
        compared.then_with(|| entry.order().cmp(&other.order()))
    });
}

fn word_of(entry: &impl Indexed) -> u128 {
    entry.order() >> 32
}

/// Returns a word of a key, filled up with zeros.
#[inline]
fn word_at(key: &[u8], depth: usize) -> u64 {
    let rest = key.get(depth..).unwrap_or_default();
    if let Some(word) = rest.first_chunk::<WORD_BYTES>() {
        return u64::from_be_bytes(*word);
    }
    let mut word = [0; WORD_BYTES];
    for (target, byte) in word.iter_mut().zip(rest) {
        *target = *byte;
    }
    u64::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys over few bytes with long common beginnings, of which many are equal or end in zeros.
    fn keys(count: u32) -> Vec<Vec<u8>> {
        let mut state = 1_u64;
        let mut random = move |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        let mut keys = Vec::new();
        for _ in 0..count {
            let common = [0, 5, 8, 16, 23, 130][usize::try_from(random(6)).unwrap()];
            let mut key = vec![b'c'; common];
            for _ in 0..random(20) {
                key.push([0, 0, 0, 1, 255][usize::try_from(random(5)).unwrap()]);
            }
            keys.push(key);
        }
        keys
    }

    #[test]
    fn entries_are_in_the_order_of_keys_and_those_of_equal_keys_in_that_of_positions() {
        let keys = keys(if cfg!(miri) { 300 } else { 5000 });
        let key = |(_, (at, _)): &Entry| keys[*at as usize].as_slice();
        for count in [0, 1, 2, 3, 4, 50, keys.len()] {
            let count = u32::try_from(count).unwrap();
            let mut entries: Vec<Entry> = (0..count).map(|at| (0, (at, 0))).collect();
            sort(&mut entries, &key);
            let found = entries.iter().map(|(_, (at, _))| *at);
            let mut expected: Vec<u32> = (0..count).collect();
            expected.sort_by_key(|at| &keys[*at as usize]);
            assert!(found.eq(expected), "{count}");
        }
    }
}
