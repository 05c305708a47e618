//! The bytes that every candidate writes: made once, the same for all.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::random::{self, Random};

/// One raw write has this many bytes.
pub const CHUNK: usize = 1 << 20;

/// Items of random bytes in memory, repeated for as long as bytes are needed.
///
/// Item `i` of the stream is item `i % count` of the pool. The count is a prime, so that bytes
/// which land a whole number of pages, chunks or files away from their place are other bytes, and
/// the checksum finds it.
#[derive(Clone, Debug)]
pub struct Pool {
    /// `count` items, then the first [`CHUNK`] bytes once more, so that a chunk may start anywhere
    /// in the first round.
    bytes: Arc<[u8]>,
    item_len: usize,
    count: usize,
}

impl Pool {
    /// Makes about 8 MiB of items of `item_len` bytes, a multiple of 8.
    pub fn new(item_len: usize, seed: u64) -> Self {
        let count = largest_prime_up_to((8 << 20) / item_len);
        Self {
            bytes: made(count * item_len, seed),
            item_len,
            count,
        }
    }

    /// Returns item `index` of the stream.
    pub fn item(&self, index: u64) -> &[u8] {
        let start = self::index(index % self.count as u64) * self.item_len;
        &self.bytes[start..start + self.item_len]
    }

    /// Returns the [`CHUNK`] bytes at `offset` of the stream.
    pub fn chunk(&self, offset: u64) -> &[u8] {
        let start = index(offset % (self.count * self.item_len) as u64);
        &self.bytes[start..start + CHUNK]
    }

    /// Returns the items of the stream from `first` on, without end; cheaper than
    /// [`item`](Self::item) one by one.
    pub fn items_from(&self, first: u64) -> impl Iterator<Item = &[u8]> {
        let round = &self.bytes[..self.count * self.item_len];
        let start = index(first % self.count as u64) * self.item_len;
        let head = round[start..].chunks_exact(self.item_len);
        head.chain(std::iter::repeat_with(|| round.chunks_exact(self.item_len)).flatten())
    }
}

/// The length of a round, the seed, the bytes.
type Made = (usize, u64, Arc<[u8]>);

/// All pools that this process has made: most workloads need the same few.
static MADE: Mutex<Vec<Made>> = Mutex::new(Vec::new());

fn made(round: usize, seed: u64) -> Arc<[u8]> {
    let mut all = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let known = all.iter().find(|known| (known.0, known.1) == (round, seed));
    if let Some((_, _, bytes)) = known {
        return Arc::clone(bytes);
    }
    let mut bytes = vec![0; round + CHUNK];
    Random::new(seed).fill(&mut bytes[..round]);
    bytes.copy_within(..CHUNK, round);
    let bytes: Arc<[u8]> = bytes.into();
    all.push((round, seed, Arc::clone(&bytes)));
    bytes
}

fn largest_prime_up_to(limit: usize) -> usize {
    let is_prime = |number: usize| {
        let mut divisors = (2..).take_while(|divisor| divisor * divisor <= number);
        divisors.all(|divisor| number % divisor != 0)
    };
    let found = (2..=limit).rev().find(|number| is_prime(*number));
    found.unwrap_or(1)
}

/// Returns a number as an index; one that no index can be, for one that is too large.
pub fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Returns the checksum of one item at one place of the stream.
///
/// The sum (wrapping) over all items does not depend on the order in which threads deliver them,
/// and is another one if two items changed places.
pub fn fingerprint(index: u64, bytes: &[u8]) -> u64 {
    let mut state = random::mix(index + 1) ^ bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        state = (state.rotate_left(23) ^ word_of(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    for byte in words.remainder() {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    random::mix(state)
}

/// Returns the sum (wrapping) of numbers.
pub fn sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::wrapping_add)
}

/// Returns the sum (wrapping) of numbers, or the first error.
pub fn try_sum<E: Into<Error>>(numbers: impl IntoIterator<Item = Result<u64, E>>) -> Result<u64> {
    let mut numbers = numbers.into_iter();
    let sum = numbers.try_fold(0_u64, |sum, number| {
        number.map(|number| sum.wrapping_add(number))
    });
    sum.map_err(Into::into)
}

/// Returns the sum of the 8-byte words of `bytes`: the cheapest use of every byte.
#[inline]
pub fn sum_words(bytes: &[u8]) -> u64 {
    sum(words(bytes))
}

/// Returns the 8-byte words of `bytes`.
#[inline]
pub fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).map(word_of)
}

fn word_of(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_and_chunks_show_the_same_stream() {
        let pool = Pool::new(256, 5);
        let per_chunk = (CHUNK / 256) as u64;
        for number in 0..3 * pool.count as u64 / per_chunk {
            let chunk = pool.chunk(number * CHUNK as u64);
            let first = number * per_chunk;
            for (index, bytes) in (first..).zip(chunk.chunks_exact(256)) {
                assert_eq!(bytes, pool.item(index));
            }
        }
        let start = pool.count as u64 - 3;
        for (index, bytes) in (start..start + 10).zip(pool.items_from(start)) {
            assert_eq!(bytes, pool.item(index));
        }
        assert_ne!(
            pool.item(0),
            pool.item(1 << 15),
            "it repeats at a power of two"
        );
    }

    #[test]
    fn the_fingerprint_depends_on_place_content_and_length() {
        let print = fingerprint(3, b"twelve bytes");
        assert_ne!(print, fingerprint(4, b"twelve bytes"));
        assert_ne!(print, fingerprint(3, b"twelve bytez"));
        assert_ne!(print, fingerprint(3, b"twelve byte"));
        let bytes = [1u64.to_le_bytes(), 41u64.to_le_bytes()].concat();
        assert_eq!(sum_words(&bytes), 42);
    }
}
