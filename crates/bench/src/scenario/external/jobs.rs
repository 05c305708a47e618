//! The data of external work: made from a number, so that nothing has to be kept to check it.

use std::io::{BufWriter, Read, Seek, SeekFrom, Write};

use crate::prelude::*;

/// In which order numbers are put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Random,
    Sorted,
    Reversed,
    /// Random, and only sixteen of them.
    Few,
    /// Sorted, and they are to be shuffled.
    Shuffled,
}

/// Numbers that are to be sorted or shuffled.
#[derive(Clone, Copy, Debug)]
pub struct SortJob {
    pub dir: &'static Path,
    pub count: u64,
    pub budget_bytes: u64,
    pub order: Order,
}

impl SortJob {
    /// Returns the numbers, in the order in which they are put in.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let (order, count) = (self.order, self.count);
        (0..count).map(move |index| match order {
            Order::Random => mix(index),
            Order::Sorted | Order::Shuffled => index,
            Order::Reversed => count - index,
            Order::Few => mix(index) % 16,
        })
    }

    /// Makes the input, and times `work`; `check` returns the checksum of the result.
    pub fn measure<T>(
        &self,
        make: impl FnOnce() -> Result<T>,
        work: impl FnOnce(&mut T) -> Result<()>,
        check: impl FnOnce(T) -> Result<u64>,
    ) -> Result<Sample> {
        let mut data = make()?;
        let stage = Stage::start()?;
        work(&mut data)?;
        let mut sample = stage.stop()?;
        sample.add_rate(8 * self.count);
        sample.checksum = check(data)?;
        Ok(sample)
    }

    /// Times `sort` of all numbers in memory.
    pub fn in_memory(&self, sort: impl FnOnce(&mut [u64])) -> Result<Sample> {
        let work = |vec: &mut Vec<u64>| {
            sort(vec);
            Ok(())
        };
        let make = || Ok(self.numbers().collect());
        self.measure(make, work, |vec| self.check(vec.into_iter().map(Ok)))
    }

    /// Fails unless numbers are in order, or out of order where they are to be shuffled; returns
    /// their checksum.
    pub fn check(&self, sorted: impl Iterator<Item = Result<u64>>) -> Result<u64> {
        let (mut last, mut descents) = (0, 0_u64);
        let sum = pool::try_sum(sorted.map(|number| {
            let number = number?;
            descents += u64::from(number < last);
            last = number;
            Ok::<_, Error>(mix(number))
        }))?;
        let wanted = if self.order == Order::Shuffled {
            self.count / 3..self.count
        } else {
            0..1
        };
        ensure!(
            wanted.contains(&descents),
            "{descents} of {} are out of order",
            self.count
        );
        Ok(sum)
    }

    pub(super) fn expected(&self) -> u64 {
        pool::sum(self.numbers().map(mix))
    }
}

/// A record of a key and 64 bytes.
pub type Wide = (u128, [u64; 8]);

/// Records that are to be sorted.
#[derive(Clone, Copy, Debug)]
pub struct RecordJob {
    pub dir: &'static Path,
    pub count: u64,
    pub budget_bytes: u64,
}

impl RecordJob {
    pub fn records(&self) -> impl Iterator<Item = Wide> + use<> {
        (0..self.count).map(|index| {
            let key = u128::from(mix(index)) << 64 | u128::from(index);
            (key, [index; 8])
        })
    }

    /// Fails unless records are in order, and returns their checksum.
    pub fn check(&self, sorted: impl Iterator<Item = Result<Wide>>) -> Result<u64> {
        let mut last = 0;
        pool::try_sum(sorted.map(|record| {
            let (key, value) = record?;
            ensure!(last <= key, "out of order");
            last = key;
            Ok(mix(value[0] ^ value[7]).wrapping_add(value[3]))
        }))
    }

    pub(super) fn expected(&self) -> u64 {
        pool::sum(
            self.records()
                .map(|(_, value)| mix(0).wrapping_add(value[3])),
        )
    }
}

impl Work for RecordJob {
    fn add_to(&self, sample: &mut Sample) {
        sample.add_rate(80 * self.count);
    }
}

/// Makes a record of its bytes.
pub fn wide((key, value): (&[u8], &[u8])) -> Wide {
    let mut words = pool::words(value);
    let key = key.try_into().map_or(0, u128::from_be_bytes);
    (
        key,
        std::array::from_fn(|_| words.next().unwrap_or_default()),
    )
}

/// Pairs that are to be added up by key.
#[derive(Clone, Copy, Debug)]
pub struct GroupJob {
    pub dir: &'static Path,
    pub count: u64,
    pub keys: u64,
    pub budget_bytes: u64,
}

impl GroupJob {
    /// Returns the pairs of one of two threads.
    pub fn pairs(&self, thread: usize) -> impl Iterator<Item = (u64, u64)> + use<> {
        let keys = self.keys;
        let indices = (thread as u64..self.count).step_by(2);
        indices.map(move |index| (mix(index) % keys, index))
    }

    /// Returns the checksum of groups.
    pub(super) fn checksum(groups: impl Iterator<Item = Result<(u64, u64)>>) -> Result<u64> {
        pool::try_sum(groups.map(|group| group.map(|(_, sum)| sum.wrapping_add(mix(1)))))
    }

    pub(super) fn expected(&self) -> u64 {
        let values = pool::sum(0..self.count);
        let keys = self.pairs(0).chain(self.pairs(1)).map(|(key, _)| key);
        values.wrapping_add(mix(1).wrapping_mul(distinct(keys, self.keys)))
    }
}

impl Work for GroupJob {
    fn add_to(&self, _sample: &mut Sample) {}
}

/// Counts different numbers below `limit`.
fn distinct(numbers: impl Iterator<Item = u64>, limit: u64) -> u64 {
    let mut seen = vec![0_u64; index(limit / 64 + 1)];
    let is_new = |number: &u64| {
        let (word, bit) = (&mut seen[index(number / 64)], 1 << (number % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    };
    numbers.filter(is_new).count() as u64
}

/// A text whose words are to be counted.
#[derive(Clone, Copy, Debug)]
pub struct TextJob {
    pub dir: &'static Path,
    /// About how long it is.
    pub len: u64,
    pub budget_bytes: u64,
}

/// A word and the space behind it.
const WORD: u64 = 9;
/// How many different words there may be.
const WORDS: u64 = 1 << 24;

impl TextJob {
    /// Returns the numbers of the words: few of them are frequent.
    fn numbers(&self) -> impl Iterator<Item = u64> + use<> {
        (0..self.len / WORD).map(|index| {
            let random = mix(index);
            (random >> 40) >> (random & 15)
        })
    }

    /// Makes the text, and times `work`, which returns how many different words there are.
    pub(super) fn measure(&self, work: impl FnOnce(&Self, &Path) -> Result<u64>) -> Result<Sample> {
        let path = process::own_folder(self.dir)?.join("words");
        let mut text = BufWriter::with_capacity(1 << 18, raw::create_named(&path)?);
        for number in self.numbers() {
            // Eight letters that only this number has.
            let code = u32::try_from(number)?.wrapping_mul(0x9E37_79B9);
            let letters = code.to_be_bytes().map(|byte| [byte >> 4, byte & 15]);
            let letters = letters.map(|pair| pair.map(|half| b'a' + half));
            text.write_all(letters.as_flattened())?;
            text.write_all(b" ")?;
        }
        let file = text.into_inner().context("flush")?;
        rustix::fs::fdatasync(&file)?;
        let mut sample = timed(|| work(self, &path))?;
        sample.add_rate(self.len);
        Ok(sample)
    }

    /// Shows the words of one of two threads.
    pub(super) fn words(
        &self,
        path: &Path,
        thread: usize,
        mut see: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let count = self.len / WORD;
        let (from, to) = [(0, count / 2), (count / 2, count)][thread];
        let mut file = raw::open(path)?;
        file.seek(SeekFrom::Start(from * WORD))?;
        let mut rest = file.take((to - from) * WORD);
        let mut buffer = vec![0; index(WORD) << 15];
        loop {
            let len = read_full(&mut rest, &mut buffer)?;
            if len == 0 {
                return Ok(());
            }
            let words = buffer[..len].split(|byte| *byte == b' ');
            words
                .filter(|word| !word.is_empty())
                .try_for_each(&mut see)?;
        }
    }

    /// Fails unless so many words were counted.
    pub(super) fn check(&self, total: u64) -> Result<()> {
        ensure!(total == self.len / WORD, "{total} words");
        Ok(())
    }

    pub(super) fn expected(&self) -> u64 {
        distinct(self.numbers(), WORDS)
    }
}

fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match from.read(&mut buffer[len..])? {
            0 => break,
            more => len += more,
        }
    }
    Ok(len)
}
