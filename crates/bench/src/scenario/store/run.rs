//! One run of one store: fill, read warm, read cold, drop, and what each of them took.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cache;
use crate::failure::{Context, Failure, Result};
use crate::histogram::Histogram;
use crate::limit;
use crate::machine::Device;
use crate::measure::Sample;
use crate::pool;
use crate::random::Random;
use crate::scenario::store::{Items, Part, Store, small_disk};
use crate::series::Series;
use crate::stage::Stage;
use crate::workload::MIB;

/// So many items are read back for the checksum, and so many where each may be a slow read.
const CHECKED: u64 = 2000;
const CHECKED_LIMITED: u64 = 24;

/// What a run does.
#[derive(Clone, Debug)]
pub struct Job {
    /// The directory for files.
    pub dir: PathBuf,
    /// The items; of a vector, they are numbers.
    pub items: Items,
    /// How many of them.
    pub count: u64,
    /// How many threads fill.
    pub threads: u16,
    /// Whether the items are numbers.
    pub is_vector: bool,
    /// How many items are read after all are in, as memory is then.
    pub reads: u64,
    /// How many items are read from an empty cache.
    pub cold_reads: u64,
    /// How long reads may take; after that there are fewer.
    pub time: Duration,
    /// Whether resident memory is looked at while the store is filled.
    pub watches: bool,
    /// The size of the small disk that is to be filled up, if that is the question.
    pub disk_bytes: Option<u64>,
}

impl Job {
    /// Does a run with a store.
    pub(super) fn run<S: Store>(&self) -> Result<Sample> {
        match self.disk_bytes {
            Some(bytes) => self.until_full::<S>(bytes),
            None => self.fill_and_read::<S>(),
        }
    }

    /// Does a run in a memory group that may swap, where the machine has swap.
    pub(super) fn run_swapping<S: Store>(&self) -> Result<Sample> {
        limit::expect_swap()?;
        self.run::<S>()
    }

    fn parts<S: Store>(&self) -> Vec<Part<S::Key>> {
        let share = self.count / u64::from(self.threads);
        let keep = if S::key_of(0).is_some() {
            self.count
        } else if self.reads + self.cold_reads > 0 || self.disk_bytes.is_some() {
            1
        } else {
            self.check_step()
        };
        let part = |number: u16| {
            let first = share * u64::from(number);
            let kept = pool::index(share / keep) + 1;
            // Written once, so that this memory is resident before the measurement.
            let mut keys = vec![S::Key::default(); kept];
            std::hint::black_box(&mut keys).clear();
            Part {
                range: first..first + share,
                number,
                keys,
                keep,
                next: first.next_multiple_of(keep),
                stored: 0,
            }
        };
        (0..self.threads).map(part).collect()
    }

    fn fill_and_read<S: Store>(&self) -> Result<Sample> {
        let mut parts = self.parts::<S>();
        if !self.is_vector {
            // Makes the bytes before the clock starts.
            std::hint::black_box(self.items.get(0));
        }
        let device = Device::of(&self.dir);
        let written = || device.as_ref().and_then(Device::written_bytes);
        let written_before = written();
        let series = self.watches.then(Series::start);
        let stage = Stage::start()?;
        let mut store = S::create(&self.dir)?;
        store.fill(&self.items, &mut parts)?;
        let store = store.seal()?;
        let mut sample = stage.stop()?;
        if let Some(series) = series {
            series.stop(&mut sample)?;
        }
        let bytes = self.bytes() as f64;
        let seconds = sample.get("seconds").unwrap_or(f64::NAN);
        sample.add("rate", bytes / f64::from(1 << 30) / seconds, "GiB/s");
        let items = (self.count / u64::from(self.threads) * u64::from(self.threads)) as f64;
        sample.add("time_per_item", seconds * 1e9 / items, "ns");
        sample.checksum = self.checksum(&store, &parts)?;
        let store = self.read::<S>(store, &parts, &mut sample)?;
        if self.cold_reads > 0 {
            rustix::fs::sync();
            if let Some((after, before)) = written().zip(written_before) {
                let per_byte = after.saturating_sub(before) as f64 / bytes;
                sample.add("device_bytes_per_byte", per_byte, "bytes");
            }
        }
        let started = Instant::now();
        drop(store);
        sample.add("drop", started.elapsed().as_secs_f64(), "s");
        Ok(sample)
    }

    /// Reads at random: as memory is, where the bytes are, and from an empty cache.
    fn read<S: Store>(&self, store: S, parts: &[Part<S::Key>], sample: &mut Sample) -> Result<S> {
        if self.reads > 0 {
            let times = self.times(self.reads, 1, |index, buffer| {
                store.get(self.key::<S>(parts, index), buffer)
            })?;
            sample.add("time_per_read", times.mean(), "ns");
            times.report("read", sample);
            if S::SEES {
                let times = self.times(self.reads, 1, |index, buffer| {
                    let mut see = |bytes: &[u8]| {
                        let sum = pool::sum_words(bytes);
                        buffer.extend_from_slice(&sum.to_le_bytes());
                    };
                    store.see(self.key::<S>(parts, index), &mut see)
                })?;
                sample.add("time_per_see", times.mean(), "ns");
            }
        }
        if self.cold_reads == 0 {
            return Ok(store);
        }
        let store = store.make_cold(&self.dir)?;
        let times = self.times(self.cold_reads, 2, |index, buffer| {
            store.get(self.key::<S>(parts, index), buffer)
        })?;
        sample.add("time_per_cold_read", times.mean(), "ns");
        times.report("cold_read", sample);
        Ok(store)
    }

    /// Reads up to `count` items at random, each timed by itself; stops when time is up.
    fn times(
        &self,
        count: u64,
        seed: u64,
        mut get: impl FnMut(u64, &mut Vec<u8>) -> Result<()>,
    ) -> Result<Histogram> {
        let mut times = Histogram::default();
        let mut random = Random::new(seed);
        let mut buffer = Vec::with_capacity(1 << 20);
        let end = Instant::now() + self.time;
        let stored = self.count / u64::from(self.threads) * u64::from(self.threads);
        for _ in 0..count {
            let index = random.below(stored);
            buffer.clear();
            let started = Instant::now();
            get(index, &mut buffer)?;
            let ended = Instant::now();
            std::hint::black_box(pool::sum_words(&buffer));
            times.add(ended.duration_since(started));
            if ended > end {
                break;
            }
        }
        Ok(times)
    }

    fn bytes(&self) -> u64 {
        if self.is_vector {
            8 * self.count
        } else {
            self.items.total(self.count)
        }
    }

    /// Finds the key of an item that is kept.
    fn key<S: Store>(&self, parts: &[Part<S::Key>], index: u64) -> S::Key {
        if let Some(key) = S::key_of(index) {
            return key;
        }
        let share = self.count / u64::from(self.threads);
        let part = &parts[pool::index(index / share)];
        let first_kept = part.range.start.div_ceil(part.keep);
        let place = pool::index((index / part.keep).saturating_sub(first_kept));
        part.keys.get(place).copied().unwrap_or_default()
    }

    fn check_step(&self) -> u64 {
        let wanted = if self.watches {
            CHECKED_LIMITED
        } else {
            CHECKED
        };
        (self.count / wanted).max(1)
    }

    /// The indices of the items that are read back.
    fn checked(&self) -> impl Iterator<Item = u64> {
        let stored = self.count / u64::from(self.threads) * u64::from(self.threads);
        (0..stored).step_by(pool::index(self.check_step()))
    }

    /// Returns the checksum that a run has to come to.
    pub fn expected(&self) -> u64 {
        if self.disk_bytes.is_some() {
            return 0;
        }
        self.checked().fold(0u64, |sum, index| {
            let number = Items::number(index).to_le_bytes();
            let bytes = if self.is_vector {
                &number[..]
            } else {
                self.items.get(index)
            };
            sum.wrapping_add(pool::fingerprint(index, bytes))
        })
    }

    fn checksum<S: Store>(&self, store: &S, parts: &[Part<S::Key>]) -> Result<u64> {
        let mut sum = 0u64;
        let mut buffer = Vec::new();
        for index in self.checked() {
            buffer.clear();
            store.get(self.key::<S>(parts, index), &mut buffer)?;
            sum = sum.wrapping_add(pool::fingerprint(index, &buffer));
        }
        Ok(sum)
    }

    /// Fills a small disk up, and looks what is left of what was put in.
    fn until_full<S: Store>(&self, bytes: u64) -> Result<Sample> {
        small_disk::enter(&self.dir, bytes)?;
        let mut parts = self.parts::<S>();
        let mut store = S::create(&self.dir).context("at the start")?;
        let filled = store.fill(&self.items, &mut parts);
        let sealed = match filled {
            Err(error) => {
                eprintln!("the error: {error}");
                store.salvage()
            }
            // A store that kept everything in memory until now.
            Ok(()) => store.seal(),
        };
        if let Err(error) = &sealed {
            eprintln!("the error: {error}");
        } else if parts[0].stored == self.count {
            return Err(Failure::new("the disk did not become full"));
        }
        let kept = parts[0].stored;
        let item = if self.is_vector {
            8
        } else {
            self.items.total(1)
        };
        let mut sample = Sample::new();
        sample.add("stored", (kept * item) as f64 / MIB, "MiB");
        let mut right = 0u64;
        if let Ok(store) = sealed {
            let mut buffer = Vec::new();
            for index in 0..kept {
                buffer.clear();
                let got = store.get(self.key::<S>(&parts, index), &mut buffer);
                let number = Items::number(index).to_le_bytes();
                let is_right = if self.is_vector {
                    buffer == number
                } else {
                    buffer == self.items.get(index)
                };
                right += u64::from(got.is_ok() && is_right);
            }
        }
        let share = right as f64 / kept.max(1) as f64;
        sample.add("readable", 100.0 * share, "%");
        Ok(sample)
    }
}

/// Takes every file of a folder out of memory, for stores that are closed meanwhile.
///
/// # Errors
///
/// Pages are still cached, or a file cannot be opened.
pub fn drop_folder(folder: &Path) -> Result<()> {
    cache::expect_cold(left_of(folder)?)
}

fn left_of(folder: &Path) -> Result<u64> {
    let mut left = 0;
    for entry in fs::read_dir(folder).context("list a folder")? {
        let path = entry.context("list a folder")?.path();
        if path.is_dir() {
            left += left_of(&path)?;
        } else {
            let file = fs::OpenOptions::new().read(true).open(&path);
            let file = file.context("open a file of a store")?;
            left += cache::drop_file(&file)
                .context("drop a file from memory")?
                .cached;
        }
    }
    Ok(left)
}
