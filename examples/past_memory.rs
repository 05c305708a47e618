//! Data larger than memory: the obvious way and the right way, to be timed under a memory limit.
//!
//! Run each mode in its own memory group; docs/records/past-memory-2026-11.md has the commands and
//! their output.
//!
//! ```sh
//! cargo run --release --example past_memory -- get-one 20000000
//! ```
#![expect(
    clippy::print_stdout,
    reason = "a program that prints its measurements"
)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::panic_in_result_fn,
    reason = "a panic in a measurement is a failed one, and counts are small"
)]

use hashbrown::HashMap;
use outcore::external::Aggregator;
use outcore::{Advice, Arena, DiskAlloc, DiskVec, Location, MemoryBudget, StrVec};
use std::error::Error;
use std::time::Instant;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const MODES: &str =
    "get-one, get-advised, get-many, get-index, sort-whole, sort-external, map-whole, aggregate";

/// For a memory group of 64 MiB: the page cache needs some of it too.
const BUDGET: u64 = 32 << 20;

fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let mode = args.next().unwrap_or_default();
    let count = args.next().map_or(Ok(100_000), |count| count.parse())?;
    run(&mode, count)
}

fn run(mode: &str, count: usize) -> Outcome {
    match mode {
        "get-one" => get_one(count, None),
        "get-advised" => get_one(count, Some(Advice::Random)),
        "get-many" => get_many(count),
        "get-index" => get_index(count),
        "sort-whole" => sort_whole(count),
        "sort-external" => sort_external(count),
        "map-whole" => map_whole(count),
        "aggregate" => aggregate(count),
        _ => Err(format!("past_memory MODE [COUNT], where MODE is one of {MODES}").into()),
    }
}

/// Makes an arena of `count` short strings, and a vector with the location of each.
fn strings(count: usize) -> outcore::Result<(Arena, DiskVec<Location>)> {
    let arena = Arena::new()?;
    let mut writer = arena.writer()?;
    let mut index = DiskVec::new();
    for n in 0..count {
        index.push(writer.push(string(n))?)?;
    }
    writer.finish()?;
    Ok((arena, index))
}

fn string(n: usize) -> String {
    format!("a string with the number {n:024}")
}

/// Reads random strings one by one: each read waits for the device twice, for the location and for
/// the string.
fn get_one(count: usize, advice: Option<Advice>) -> Outcome {
    let (arena, mut index) = strings(count)?;
    if let Some(advice) = advice {
        index.advise(advice)?;
    }
    let mut random = Random(1);
    let mut text = String::new();
    let gets = count.min(5_000);
    let started = Instant::now();
    for _ in 0..gets {
        let n = random.below(count);
        text.clear();
        arena.get_str_into(index[n], &mut text)?;
        assert_eq!(text[25..].parse(), Ok(n));
    }
    report(started, gets, "gets");
    Ok(())
}

/// Reads random strings in batches: many reads are in flight, and neighbours are one read.
fn get_many(count: usize) -> Outcome {
    let (arena, index) = strings(count)?;
    let wanted = wanted(count);
    let started = Instant::now();
    let locations = index.gather(&wanted)?;
    let mut right = 0;
    arena.get_many(&locations, |at, text| {
        let number = std::str::from_utf8(&text[25..]).map(str::parse);
        right += usize::from(number == Ok(Ok(wanted[at])));
    })?;
    report(started, wanted.len(), "gets");
    assert_eq!(right, wanted.len());
    Ok(())
}

/// The same with strings by index: a `StrVec` keeps their places itself.
fn get_index(count: usize) -> Outcome {
    let mut strings = StrVec::new();
    for n in 0..count {
        strings.push(string(n))?;
    }
    let wanted = wanted(count);
    let started = Instant::now();
    let mut right = 0;
    strings.get_many(&wanted, |at, text| {
        right += usize::from(text[25..].parse() == Ok(wanted[at]));
    })?;
    report(started, wanted.len(), "gets");
    assert_eq!(right, wanted.len());
    Ok(())
}

fn wanted(count: usize) -> Vec<usize> {
    let mut random = Random(1);
    let gets = count.min(1_000_000);
    (0..gets).map(|_| random.below(count)).collect()
}

/// Sorts numbers in place: every pass of the sort goes through the whole file.
fn sort_whole(count: usize) -> Outcome {
    let mut random = Random(2);
    let mut numbers = DiskVec::new();
    numbers.try_extend((0..count).map(|_| random.next()))?;
    let started = Instant::now();
    numbers.sort_unstable();
    report(started, count, "numbers sorted");
    assert!(numbers.is_sorted());
    Ok(())
}

/// Sorts numbers in runs that fit into the budget, and merges the runs: the numbers are read and
/// written twice.
fn sort_external(count: usize) -> Outcome {
    let mut random = Random(2);
    let mut numbers = DiskVec::new();
    numbers.try_extend((0..count).map(|_| random.next()))?;
    let started = Instant::now();
    numbers.sort_external(&MemoryBudget::new(BUDGET))?;
    report(started, count, "numbers sorted");
    assert!(numbers.is_sorted());
    Ok(())
}

/// Counts `count` numbers, half of them distinct, in one map on disk: the page of nearly every
/// number is not in memory.
fn map_whole(count: usize) -> Outcome {
    let mut random = Random(3);
    let mut counts = HashMap::new_in(DiskAlloc::new()?);
    let started = Instant::now();
    for done in 1..=count {
        *counts.entry(random.below(count / 2)).or_insert(0_u64) += 1;
        if done % 1_000_000 == 0 {
            report(started, done, "numbers counted so far");
        }
    }
    report(started, count, "numbers counted");
    assert_eq!(counts.values().sum::<u64>(), count as u64);
    Ok(())
}

/// Counts them in one map as long as it fits into the budget, and then in parts that do: equal
/// numbers are in the same part.
fn aggregate(count: usize) -> Outcome {
    let mut random = Random(3);
    let started = Instant::now();
    let budget = MemoryBudget::new(BUDGET);
    let mut counts = Aggregator::new(&budget, |sum: &mut u64, more: u64| *sum += more);
    for _ in 0..count {
        counts.add(random.below(count / 2), 1)?;
    }
    let mut total = 0;
    for group in counts.finish()? {
        total += group?.1;
    }
    report(started, count, "numbers counted");
    assert_eq!(total, count as u64);
    Ok(())
}

fn report(started: Instant, count: usize, what: &str) {
    let taken = started.elapsed();
    let each = taken.as_secs_f64() * 1e6 / count as f64;
    println!(
        "{count} {what} in {:.1} s, {each:.2} us each",
        taken.as_secs_f64()
    );
}

/// Numbers at random, the same in each run: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    /// Each mode checks what it computes.
    #[test]
    fn both_ways_of_each_job_come_to_the_right_result() {
        for mode in super::MODES.split(", ") {
            super::run(mode, 300_000).unwrap();
        }
    }
}
