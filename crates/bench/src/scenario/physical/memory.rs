//! How fast bytes move in memory.

use std::hint::black_box;
use std::thread;

use crate::failure::Result;
use crate::measure::Candidate;
use crate::pool;
use crate::scenario::physical::{shared, timed};
use crate::settings::{Settings, text_of_bytes};
use crate::workload::{FAULTS, RATE, Workload};

/// The smallest page, on the machines that this runs on.
const PAGE: usize = 4096;

pub(super) fn workload(settings: &Settings) -> Workload {
    let len = settings.bytes(256 << 20, 1 << 30).min(1 << 30);
    let name = format!("physical_memory/{}", text_of_bytes(len));
    let rounds = settings.rounds(5, 9);
    shared(name, TITLE, RATE, &[FAULTS], rounds, move || {
        Ok(candidates(len))
    })
}

fn candidates(len: u64) -> Vec<Candidate<'static>> {
    let from: &'static [u8] = Box::leak(vec![7; pool::index(len)].into_boxed_slice());
    let mut to = vec![1; pool::index(len)];
    let mut to_many = vec![1; pool::index(len)];
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    vec![
        Candidate::new("copy_1_thread", "", move || {
            timed(len, || {
                black_box(&mut to).copy_from_slice(black_box(from));
                Ok(())
            })
        }),
        Candidate::new("copy_all_cores", "", move || {
            timed(len, || {
                copy_on(cores, black_box(&mut to_many), black_box(from));
                Ok(())
            })
        }),
        Candidate::new("read_1_thread", "adds up words", move || {
            timed(len, || {
                black_box(pool::sum_words(black_box(from)));
                Ok(())
            })
        }),
        Candidate::new("first_touch", "fresh pages of the kernel", move || {
            timed(len, || touch(len))
        }),
    ]
}

fn copy_on(threads: usize, to: &mut [u8], from: &[u8]) {
    let share = from.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        for (to, from) in to.chunks_mut(share).zip(from.chunks(share)) {
            scope.spawn(move || to.copy_from_slice(from));
        }
    });
}

/// Writes a byte into each page of memory that was not used before.
fn touch(len: u64) -> Result<()> {
    let mut fresh: Vec<u8> = Vec::new();
    fresh
        .try_reserve_exact(pool::index(len))
        .map_err(|error| crate::failure::Failure::new(error.to_string()))?;
    let pages = fresh.spare_capacity_mut().iter_mut().step_by(PAGE);
    pages.for_each(|byte| {
        byte.write(1);
    });
    black_box(&mut fresh);
    Ok(())
}

const TITLE: &str = "\
What memory gives: a copy, a sum of all words, and the first touch of fresh pages.";
