//! Crates that sort more than fits into memory, as their READMEs use them, and one that sorts what
//! is in memory. They take their input from an iterator and give their output to one.

use std::io::{self, Read, Write};
use std::iter;

use ext_sort::buffer::LimitedBufferBuilder;
use ext_sort::{ExternalSorter, ExternalSorterBuilder};
use extsort::Sortable;
use rdst::RadixSort;
use serde::{Serialize, de::DeserializeOwned};

use outcore_bench::prelude::*;
use outcore_bench::scenario::external::{FEW, MEMORY, Others, RecordJob, SortJob, Wide, wide};
use outcore_bench::scenario::strings::{LEN, StringJob, check_sorted};

pub(super) fn all() -> Others {
    let buffer = "half of the budget as items, the rest for buffers of its files";
    let numbers = |name, note, sort: fn(&SortJob) -> Result<u64>| {
        let work = move |job: &SortJob| {
            let work = |sum: &mut u64| {
                *sum = sort(job)?;
                Ok(())
            };
            job.measure(|| Ok(0), work, Ok)
        };
        Row::new(name, note, work).with(FEW)
    };
    Others {
        sort: vec![
            Row::new("rdst", "all threads", |job: &SortJob| {
                job.in_memory(RadixSort::radix_sort_unstable)
            })
            .with(MEMORY),
            numbers("spillsort", "from and to an iterator", |job| {
                job.check(by_spillsort(job.numbers(), job.dir, job.budget_bytes)?)
            }),
            numbers("extsort", buffer, |job| {
                job.check(by_extsort(job.numbers(), job.dir, job.budget_bytes)?)
            }),
            numbers("ext_sort", buffer, |job| {
                let buffer = items_in::<u64>(job.budget_bytes);
                by_ext_sort(job.numbers(), job.dir, buffer, |all| job.check(all))
            }),
        ],
        records: vec![
            Row::timed("spillsort", "", |job: &RecordJob| {
                job.check(by_spillsort(job.records(), job.dir, job.budget_bytes)?)
            }),
            Row::timed("extsort", buffer, |job: &RecordJob| {
                job.check(by_extsort(job.records(), job.dir, job.budget_bytes)?)
            }),
            Row::timed("ext_sort", buffer, |job: &RecordJob| {
                let buffer = items_in::<Wide>(job.budget_bytes);
                by_ext_sort(job.records(), job.dir, buffer, |all| job.check(all))
            }),
        ],
    }
}

/// What is sorted: a key whose bytes compare as it does, and a value.
trait Element: Copy + Ord + Send + Serialize + DeserializeOwned {
    const KEY_LEN: usize;
    const LEN: usize;

    /// Writes key and value to the first bytes of a buffer.
    fn put(self, bytes: &mut [u8; 80]);

    fn join(key: &[u8], value: &[u8]) -> Self;
}

impl Element for u64 {
    const KEY_LEN: usize = 8;
    const LEN: usize = 8;

    fn put(self, bytes: &mut [u8; 80]) {
        bytes[..8].copy_from_slice(&self.to_be_bytes());
    }

    fn join(key: &[u8], _value: &[u8]) -> Self {
        key.try_into().map_or(0, Self::from_be_bytes)
    }
}

impl Element for Wide {
    const KEY_LEN: usize = 16;
    const LEN: usize = 80;

    fn put(self, bytes: &mut [u8; 80]) {
        bytes[..16].copy_from_slice(&self.0.to_be_bytes());
        bytes[16..].copy_from_slice(self.1.map(u64::to_le_bytes).as_flattened());
    }

    fn join(key: &[u8], value: &[u8]) -> Self {
        wide((key, value))
    }
}

fn spill_sorter(dir: &Path, budget_bytes: u64) -> Result<spillsort::Sorter> {
    let config = spillsort::Config::default().max_bytes(index(budget_bytes));
    Ok(spillsort::Sorter::new(config.tmp_dir(dir).threads(1))?)
}

fn by_spillsort<T: Element>(
    items: impl Iterator<Item = T>,
    dir: &Path,
    budget_bytes: u64,
) -> Result<impl Iterator<Item = Result<T>>> {
    let mut sorter = spill_sorter(dir, budget_bytes)?;
    let mut bytes = [0; 80];
    for item in items {
        item.put(&mut bytes);
        let (key, value) = bytes[..T::LEN].split_at(T::KEY_LEN);
        sorter.push(key, value)?;
    }
    let mut merged = sorter.finish()?;
    Ok(iter::from_fn(move || {
        let next = merged.next_record().map_err(Error::from);
        next.map(|next| next.map(|(key, value)| T::join(key, value)))
            .transpose()
    }))
}

/// An element that is written as its bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flat<T>(T);

impl<T: Element> Sortable for Flat<T> {
    fn encode<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        let mut bytes = [0; 80];
        self.0.put(&mut bytes);
        writer.write_all(&bytes[..T::LEN])
    }

    fn decode<R: Read>(reader: &mut R) -> io::Result<Self> {
        let mut bytes = [0; 80];
        reader.read_exact(&mut bytes[..T::LEN])?;
        let (key, value) = bytes[..T::LEN].split_at(T::KEY_LEN);
        Ok(Self(T::join(key, value)))
    }
}

/// Returns how many items fit into half of the budget.
fn items_in<T>(budget_bytes: u64) -> usize {
    index(budget_bytes) / 2 / size_of::<T>()
}

fn by_extsort<T: Element>(
    items: impl Iterator<Item = T>,
    dir: &Path,
    budget_bytes: u64,
) -> Result<impl Iterator<Item = Result<T>>> {
    let sorter = extsort::ExternalSorter::new().with_sort_dir(dir.to_owned());
    let sorter = sorter.with_segment_size(items_in::<T>(budget_bytes));
    let items = sorter.sort(items.map(Flat)).context("sort")?;
    Ok(items.map(|item| Ok(item?.0)))
}

/// Sorts with so many items in memory, and has `see` look at them.
fn by_ext_sort<T: Ord + Send + Serialize + DeserializeOwned>(
    items: impl Iterator<Item = T>,
    dir: &Path,
    buffer: usize,
    see: impl FnOnce(&mut dyn Iterator<Item = Result<T>>) -> Result<u64>,
) -> Result<u64> {
    let buffer = LimitedBufferBuilder::new(buffer, true);
    let builder = ExternalSorterBuilder::new();
    let builder = builder.with_tmp_dir(dir).with_buffer(buffer);
    let sorter: ExternalSorter<T, io::Error, LimitedBufferBuilder> =
        builder.with_threads_number(1).build()?;
    let items = sorter.sort(items.map(Ok))?;
    see(&mut items.map(|item| Ok(item?)))
}

/// Crates that sort strings.
pub(super) fn strings() -> Vec<Row<StringJob>> {
    vec![
        Row::timed("spillsort", "one thread", |job: &StringJob| {
            let mut sorter = spill_sorter(job.dir, job.budget_bytes)?;
            for text in job.strings() {
                sorter.push(&text, &[])?;
            }
            let mut merged = sorter.finish()?;
            check_sorted(iter::from_fn(|| {
                let next = merged.next_record().map_err(Error::from);
                next.map(|next| next.map(|(text, _)| text.to_vec()))
                    .transpose()
            }))
        }),
        Row::timed(
            "ext_sort",
            "half of the budget as strings",
            |job: &StringJob| {
                let buffer = index(job.budget_bytes) / 2 / (LEN + 24);
                let strings = job.strings().map(|text| text.to_vec());
                by_ext_sort(strings, job.dir, buffer, |sorted| check_sorted(sorted))
            },
        ),
    ]
}
