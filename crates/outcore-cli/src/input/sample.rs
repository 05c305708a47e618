//! A sample to work on: about as many lines as asked for, half of them repeats, kept
//! in an arena on disk.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use outcore::{Arena, Location, ScratchDir};

use crate::failure::Result;
use crate::random::Random;
use crate::threads;

/// Bytes of an item of the arena; whole lines, so a little more.
const BLOCK_LEN: usize = 1 << 20;

/// Threads that make lines, each with a writer of its own.
const THREADS: usize = 2;

/// What making a sample takes: for each thread a block and the buffer of its writer, each
/// with a copy in between.
pub(crate) const NEEDED_BYTES: u64 = (THREADS * 2 * BLOCK_LEN) as u64;

/// Where the random numbers start. Every sample of a size is the same.
const SEED: u64 = 0x6f75_7463_6f72_6521;

/// Lines on disk, in blocks.
#[derive(Debug)]
pub(crate) struct Sample {
    arena: Arena,
    /// In the order of the text.
    blocks: Vec<Location>,
}

impl Sample {
    /// Makes about `len_bytes` of lines in a file in `dir`.
    ///
    /// # Errors
    ///
    /// The directory takes no such file, or the disk is full.
    pub(crate) fn make(len_bytes: u64, dir: &ScratchDir, bar: &ProgressBar) -> Result<Self> {
        let arena = Arena::new_in(dir)?;
        let numbered = Mutex::new(Vec::new());
        let next = AtomicUsize::new(0);
        threads::run(THREADS, || {
            loop {
                let first = next.fetch_add(1, Relaxed);
                if first >= THREADS {
                    return Ok(());
                }
                let written = write_blocks(&arena, len_bytes, first, bar)?;
                let numbered = numbered.lock();
                numbered
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(written);
            }
        })?;
        let numbered = numbered.into_inner();
        let mut numbered = numbered.unwrap_or_else(PoisonError::into_inner);
        numbered.sort_unstable_by_key(|&(number, _)| number);
        let blocks = numbered.into_iter().map(|(_, block)| block).collect();
        Ok(Self { arena, blocks })
    }

    /// Reads the text from its begin.
    pub(crate) fn into_reader(self) -> impl Read {
        SampleReader {
            arena: self.arena,
            blocks: self.blocks.into_iter(),
            block: Vec::new(),
            start: 0,
        }
    }
}

struct SampleReader {
    arena: Arena,
    blocks: std::vec::IntoIter<Location>,
    block: Vec<u8>,
    /// Where the part of `block` starts that is still to be read.
    start: usize,
}

impl Read for SampleReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.start == self.block.len() {
            let Some(location) = self.blocks.next() else {
                return Ok(0);
            };
            self.block.clear();
            self.start = 0;
            self.arena.get_into(location, &mut self.block)?;
        }
        let len = (&self.block[self.start..]).read(buffer)?;
        self.start += len;
        Ok(len)
    }
}

/// Writes every [`THREADS`]th block from the `first` on; returns numbers and places.
fn write_blocks(
    arena: &Arena,
    len_bytes: u64,
    first: usize,
    bar: &ProgressBar,
) -> Result<Vec<(u64, Location)>> {
    let mut writer = arena.writer()?;
    let mut written = Vec::new();
    let mut block = Vec::with_capacity(BLOCK_LEN + LINE_LEN_MAX);
    let count = len_bytes.div_ceil(BLOCK_LEN as u64);
    for number in (first as u64..count).step_by(THREADS) {
        let rest = len_bytes - number * BLOCK_LEN as u64;
        let len = usize::try_from(rest).map_or(BLOCK_LEN, |rest| rest.min(BLOCK_LEN));
        block.clear();
        fill(&mut block, number, len);
        written.push((number, writer.push(&block)?));
        bar.inc(block.len() as u64);
    }
    writer.finish().map_err(outcore::Error::from)?;
    Ok(written)
}

/// Passes on the text of a sample, without keeping it.
///
/// # Errors
///
/// Those of `each`.
pub(crate) fn write(len_bytes: u64, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut block = Vec::with_capacity(BLOCK_LEN + LINE_LEN_MAX);
    for number in 0..len_bytes.div_ceil(BLOCK_LEN as u64) {
        let rest = len_bytes - number * BLOCK_LEN as u64;
        let len = usize::try_from(rest).map_or(BLOCK_LEN, |rest| rest.min(BLOCK_LEN));
        block.clear();
        fill(&mut block, number, len);
        each(&block)?;
    }
    Ok(())
}

/// No line is longer.
const LINE_LEN_MAX: usize = 256;

/// Bit that tells the lines made for one block from those that all blocks share.
const FRESH: u64 = 1 << 63;

/// Appends whole lines to `block` until it has `len` bytes. The same `number` makes the
/// same lines.
fn fill(block: &mut Vec<u8>, number: u64, len: usize) {
    let mut random = Random::new(SEED ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
    let mut fresh = FRESH | number << 24;
    while block.len() < len {
        let line = if random.below(100) < 48 {
            fresh += 1;
            fresh
        } else {
            // Half of the repeats are of a hundred lines, some are rare.
            let bits = random.below(15);
            random.below(1 << bits)
        };
        // Formatting into memory cannot fail.
        write_line(block, line).ok();
    }
}

const LEVELS: [&str; 4] = ["INFO ", "INFO ", "WARN ", "ERROR"];
const SERVICES: [&str; 8] = [
    "gateway", "billing", "search", "mailer", "auth", "catalog", "worker", "storage",
];
const PATHS: [&str; 8] = [
    "/",
    "/login",
    "/api/v2/orders",
    "/api/v2/users",
    "/static/app.js",
    "/search",
    "/health",
    "/api/v2/invoices",
];
const EVENTS: [&str; 8] = [
    "connection closed by peer",
    "retrying after timeout",
    "cache miss",
    "request queued",
    "token refreshed",
    "slow query",
    "disk usage above threshold",
    "message delivered",
];
const WORDS: [&str; 32] = [
    "the",
    "river",
    "of",
    "lines",
    "that",
    "nobody",
    "reads",
    "again",
    "and",
    "every",
    "night",
    "a",
    "machine",
    "writes",
    "more",
    "than",
    "one",
    "could",
    "count",
    "while",
    "in",
    "small",
    "rooms",
    "people",
    "wait",
    "for",
    "answers",
    "from",
    "far",
    "away",
    "caf\u{e9}",
    "na\u{ef}ve",
];

/// Appends the line with this number: a request, an event, or some prose.
fn write_line(block: &mut Vec<u8>, line: u64) -> io::Result<()> {
    let random = &mut Random::new(line);
    if line & FRESH != 0 {
        let time = (line >> 12) & 0xff_ffff;
        let (hour, minute, second) = (time / 3600 % 24, time / 60 % 60, time % 60);
        let milli = random.below(1000);
        write!(
            block,
            "2025-03-{:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z ",
            1 + time / 86_400 % 28
        )?;
    }
    match random.below(8) {
        0..=3 => {
            let user = random.below(1 << 20);
            let octets = random.next();
            writeln!(
                block,
                "10.{}.{}.{} GET {}/{user}?page={} HTTP/1.1 200 {} {}ms",
                octets & 0xff,
                octets >> 8 & 0xff,
                octets >> 16 & 0xff,
                pick(random, &PATHS),
                random.below(50),
                random.below(100_000),
                random.below(2000)
            )
        }
        4..=6 => writeln!(
            block,
            "{} {}[{}]: {} (request {:016x})",
            pick(random, &LEVELS),
            pick(random, &SERVICES),
            1000 + random.below(30_000),
            pick(random, &EVENTS),
            random.next()
        ),
        _ => {
            for _ in 0..6 + random.below(12) {
                write!(block, "{} ", pick(random, &WORDS))?;
            }
            writeln!(block, "{}.", pick(random, &WORDS))
        }
    }
}

fn pick<'a>(random: &mut Random, words: &[&'a str]) -> &'a str {
    words[random.index(words.len())]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn about_half_of_the_lines_are_repeats() {
        let mut text = Vec::new();
        for number in 0..3 {
            let len = text.len() + 200_000;
            fill(&mut text, number, len);
        }
        let lines: Vec<_> = text.split_inclusive(|&byte| byte == b'\n').collect();
        let distinct: HashSet<_> = lines.iter().collect();
        let percent = distinct.len() * 100 / lines.len();
        assert!((45..70).contains(&percent), "{percent} % are distinct");
        assert!(lines.iter().all(|line| line.len() <= LINE_LEN_MAX));
        assert!(std::str::from_utf8(&text).is_ok());
    }

    #[test]
    fn a_sample_is_its_blocks_in_order() {
        let binary = std::env::current_exe().unwrap();
        let dir = ScratchDir::builder(binary.parent().unwrap()).allow_ram(true);
        let len = 5 * BLOCK_LEN + 1000;
        let bar = ProgressBar::hidden();
        let sample = Sample::make(len as u64, &dir.build().unwrap(), &bar).unwrap();
        let mut expected = Vec::new();
        for number in 0..6 {
            let mut block = Vec::new();
            fill(
                &mut block,
                number,
                if number < 5 { BLOCK_LEN } else { 1000 },
            );
            expected.extend(block);
        }
        let mut text = Vec::new();
        sample.into_reader().read_to_end(&mut text).unwrap();
        assert!(text == expected);
    }

    #[test]
    fn a_block_has_the_length_asked_for_to_the_line() {
        for len in [1, 100, 5000] {
            let mut block = Vec::new();
            fill(&mut block, 7, len);
            assert!((len..len + LINE_LEN_MAX).contains(&block.len()));
            assert_eq!(block.last(), Some(&b'\n'));
            let mut again = Vec::new();
            fill(&mut again, 7, len);
            assert_eq!(block, again);
        }
    }
}
