//! Crates that sort more than fits into memory, as their READMEs use them, and one that sorts what
//! is in memory. They take their input from an iterator and give their output to one.

use std::io::{self, Read, Write};
use std::iter;
use std::path::Path;

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
    Others {
        sort: vec![
            Row::new("rdst", "all threads", |job: &SortJob| {
                let work = |vec: &mut Vec<u64>| {
                    vec.radix_sort_unstable();
                    Ok(())
                };
                let make = || Ok(job.numbers().collect::<Vec<u64>>());
                job.measure(make, work, |vec| job.check(vec.into_iter().map(Ok)))
            })
            .with(MEMORY),
            Row::new("spillsort", "from and to an iterator", |job| {
                numbers(job, |job| {
                    job.check(by_spillsort(job.numbers(), &job.dir, job.budget_bytes)?)
                })
            })
            .with(FEW),
            Row::new("extsort", buffer, |job| {
                numbers(job, |job| {
                    job.check(by_extsort(job.numbers(), &job.dir, job.budget_bytes)?)
                })
            })
            .with(FEW),
            Row::new("ext_sort", buffer, |job| {
                numbers(job, |job| {
                    by_ext_sort(job.numbers(), &job.dir, job.budget_bytes, |all| {
                        job.check(all)
                    })
                })
            })
            .with(FEW),
        ],
        records: vec![
            Row::new("spillsort", "", |job: &RecordJob| {
                job.measure(|job| {
                    job.check(by_spillsort(job.records(), &job.dir, job.budget_bytes)?)
                })
            }),
            Row::new("extsort", buffer, |job| {
                job.measure(|job| job.check(by_extsort(job.records(), &job.dir, job.budget_bytes)?))
            }),
            Row::new("ext_sort", buffer, |job| {
                job.measure(|job| {
                    by_ext_sort(job.records(), &job.dir, job.budget_bytes, |all| {
                        job.check(all)
                    })
                })
            }),
        ],
    }
}

/// Times `sort`, which has the numbers put in and taken out.
fn numbers(job: &SortJob, sort: impl FnOnce(&SortJob) -> Result<u64>) -> Result<Sample> {
    let work = |sum: &mut u64| {
        *sum = sort(job)?;
        Ok(())
    };
    job.measure(|| Ok(0), work, Ok)
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

fn by_spillsort<T: Element>(
    items: impl Iterator<Item = T>,
    dir: &Path,
    budget_bytes: u64,
) -> Result<impl Iterator<Item = Result<T>>> {
    let config = spillsort::Config::default().max_bytes(index(budget_bytes));
    let mut sorter = spillsort::Sorter::new(config.tmp_dir(dir).threads(1))?;
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

fn by_ext_sort<T: Element>(
    items: impl Iterator<Item = T>,
    dir: &Path,
    budget_bytes: u64,
    see: impl FnOnce(&mut dyn Iterator<Item = Result<T>>) -> Result<u64>,
) -> Result<u64> {
    let buffer = LimitedBufferBuilder::new(items_in::<T>(budget_bytes), true);
    let builder = ExternalSorterBuilder::new()
        .with_tmp_dir(dir)
        .with_buffer(buffer);
    let sorter: ExternalSorter<T, io::Error, LimitedBufferBuilder> =
        builder.with_threads_number(1).build()?;
    let items = sorter.sort(items.map(Ok))?;
    see(&mut items.map(|item| Ok(item?)))
}

/// Crates that sort strings.
pub(super) fn strings() -> Vec<Row<StringJob>> {
    vec![
        Row::new("spillsort", "one thread", |job: &StringJob| {
            job.in_order(|job| {
                let config = spillsort::Config::default().max_bytes(index(job.budget_bytes));
                let mut sorter = spillsort::Sorter::new(config.tmp_dir(&job.dir).threads(1))?;
                for text in job.strings() {
                    sorter.push(&text, &[])?;
                }
                let mut merged = sorter.finish()?;
                check_sorted(iter::from_fn(|| {
                    let next = merged.next_record().map_err(Error::from);
                    next.map(|next| next.map(|(text, _)| text.to_vec()))
                        .transpose()
                }))
            })
        }),
        Row::new("ext_sort", "half of the budget as strings", |job| {
            job.in_order(|job| {
                let buffer =
                    LimitedBufferBuilder::new(index(job.budget_bytes) / 2 / (LEN + 24), true);
                let builder = ExternalSorterBuilder::new()
                    .with_tmp_dir(&job.dir)
                    .with_buffer(buffer);
                let sorter: ExternalSorter<Vec<u8>, io::Error, LimitedBufferBuilder> =
                    builder.with_threads_number(1).build()?;
                let items = sorter.sort(job.strings().map(|text| Ok(text.to_vec())))?;
                check_sorted(items.map(|item| Ok(item?)))
            })
        }),
    ]
}
