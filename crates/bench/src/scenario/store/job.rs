//! One run of one store: fill, read warm, read cold, drop, and what each of them took.

use crate::machine::{Device, limit};
use crate::prelude::*;
use crate::scenario::store::{Items, Part, Store, small_disk};
use crate::scenario::vec_push::number;

/// So many items are read back for the checksum, and so many where each may be a slow read.
const CHECKED: u64 = 2000;
const CHECKED_LIMITED: u64 = 24;

/// What a run does.
#[derive(Clone, Debug)]
pub struct Job {
    pub dir: &'static Path,
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
    /// Whether memory is limited, so that each read may be slow.
    pub is_limited: bool,
    /// The size of the small disk that is to be filled up, if that is measured.
    pub disk_bytes: Option<u64>,
}

impl Job {
    /// Does a run with a store.
    pub fn run<S: Store>(&self) -> Result<Sample> {
        match self.disk_bytes {
            Some(bytes) => self.until_full::<S>(bytes),
            None => self.fill_and_read::<S>(),
        }
    }

    /// Does a run in a memory group that may swap, where the machine has swap.
    pub fn run_swapping<S: Store>(&self) -> Result<Sample> {
        limit::expect_swap()?;
        self.run::<S>()
    }

    /// Does a run with so many threads.
    pub fn run_on<S: Store>(&self, threads: u16) -> Result<Sample> {
        let job = self.clone();
        Self { threads, ..job }.run::<S>()
    }

    /// How many items each thread puts.
    pub fn share(&self) -> u64 {
        self.count / u64::from(self.threads)
    }

    fn stored(&self) -> u64 {
        self.share() * u64::from(self.threads)
    }

    fn parts<S: Store>(&self) -> Vec<Part<S::Key>> {
        let share = self.share();
        let keep = if S::key_of(0).is_some() {
            self.count
        } else if self.reads + self.cold_reads > 0 || self.disk_bytes.is_some() {
            1
        } else {
            self.check_step()
        };
        let part = |number: u16| {
            let first = share * u64::from(number);
            // Written once, so that this memory is resident before the measurement.
            let mut keys = vec![S::Key::default(); index(share / keep) + 1];
            black_box(&mut keys).clear();
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
            black_box(self.items.get(0));
        }
        let device = Device::of(self.dir);
        let written = || device.as_ref().and_then(Device::written_bytes);
        let written_before = written();
        let ready = S::IS_READY.then(|| S::create(self)).transpose()?;
        let stage = Stage::start()?;
        let mut store = ready.map_or_else(|| S::create(self), Ok)?;
        store.fill(&self.items, &mut parts)?;
        let store = store.seal()?;
        let mut sample = stage.stop()?;
        sample.add_rate(self.bytes(self.count));
        sample.add_time("time_per_item", self.stored());
        for index in self.checked() {
            let mut buffer = Vec::new();
            store.get(self.key::<S>(&parts, index), &mut buffer)?;
            let print = fingerprint(index, &buffer);
            sample.checksum = sample.checksum.wrapping_add(print);
        }
        let store = self.read::<S>(store, &parts, &mut sample)?;
        if self.cold_reads > 0 {
            rustix::fs::sync();
            if let Some((after, before)) = written().zip(written_before) {
                let bytes = self.bytes(self.count) as f64;
                let per_byte = after.saturating_sub(before) as f64 / bytes;
                sample.add("device_bytes_per_byte", per_byte, "bytes");
            }
        }
        timed_drop(store, &mut sample);
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
        }
        if self.reads > 0 && S::SEES {
            let times = self.times(self.reads, 1, |index, buffer| {
                let mut see = |bytes: &[u8]| {
                    buffer.extend_from_slice(&sum_words(bytes).to_le_bytes());
                };
                store.see(self.key::<S>(parts, index), &mut see)
            })?;
            sample.add("time_per_see", times.mean(), "ns");
        }
        if self.cold_reads == 0 {
            return Ok(store);
        }
        let store = store.make_cold(self.dir)?;
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
        for _ in 0..count {
            let index = random.below_u64(self.stored());
            buffer.clear();
            let started = Instant::now();
            get(index, &mut buffer)?;
            let ended = Instant::now();
            black_box(sum_words(&buffer));
            times.add(ended.duration_since(started));
            if ended > end {
                break;
            }
        }
        Ok(times)
    }

    fn bytes(&self, count: u64) -> u64 {
        if self.is_vector {
            8 * count
        } else {
            self.items.total(count)
        }
    }

    /// Calls `see` with the bytes of an item.
    fn with_item<T>(&self, index: u64, see: impl FnOnce(&[u8]) -> T) -> T {
        if self.is_vector {
            see(&number(index).to_le_bytes())
        } else {
            see(self.items.get(index))
        }
    }

    /// Finds the key of an item that is kept.
    fn key<S: Store>(&self, parts: &[Part<S::Key>], item: u64) -> S::Key {
        if let Some(key) = S::key_of(item) {
            return key;
        }
        let part = &parts[index(item / self.share())];
        let first_kept = part.range.start.div_ceil(part.keep);
        let place = index((item / part.keep).saturating_sub(first_kept));
        part.keys.get(place).copied().unwrap_or_default()
    }

    fn check_step(&self) -> u64 {
        let checked = if self.is_limited {
            CHECKED_LIMITED
        } else {
            CHECKED
        };
        (self.count / checked).max(1)
    }

    /// The indices of the items that are read back.
    fn checked(&self) -> impl Iterator<Item = u64> + use<> {
        (0..self.stored()).step_by(index(self.check_step()))
    }

    /// Returns the checksum that a run has to return.
    pub(super) fn expected(&self) -> u64 {
        if self.disk_bytes.is_some() {
            return 0;
        }
        let print = |index| self.with_item(index, |bytes| fingerprint(index, bytes));
        pool::sum(self.checked().map(print))
    }

    /// Fills a small disk up, and looks what is left of what was put in.
    fn until_full<S: Store>(&self, bytes: u64) -> Result<Sample> {
        small_disk::enter(self.dir, bytes)?;
        let mut parts = self.parts::<S>();
        let mut store = S::create(self).context("at the start")?;
        let sealed = match store.fill(&self.items, &mut parts) {
            Err(error) => {
                eprintln!("the error: {error:#}");
                store.salvage()
            }
            // A store that kept everything in memory until now.
            Ok(()) => store.seal(),
        };
        let kept = parts[0].stored;
        if let Err(error) = &sealed {
            eprintln!("the error: {error:#}");
        } else {
            ensure!(kept < self.count, "the disk did not become full");
        }
        let mut sample = Sample::default();
        sample.add("stored", self.bytes(kept) as f64 / MIB, "MiB");
        let mut right = 0u64;
        if let Ok(store) = sealed {
            for index in 0..kept {
                let mut buffer = Vec::new();
                let got = store.get(self.key::<S>(&parts, index), &mut buffer);
                let is_right = self.with_item(index, |bytes| buffer == bytes);
                right += u64::from(got.is_ok() && is_right);
            }
        }
        let share = right as f64 / kept.max(1) as f64;
        sample.add("readable", 100.0 * share, "%");
        Ok(sample)
    }
}
