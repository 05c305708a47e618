//! Sealed files: an arena written and sealed, opened, read at random with and without checks, and
//! verified as a whole.

use std::sync::atomic::{AtomicU32, Ordering};

use outcore::sealed::SealedFile;
use outcore::{Arena, Location, ScratchDir};
use rustix::fs::Advice;

use crate::prelude::*;

/// The length of an item.
const ITEM_LEN: usize = 512;

/// Where the items begin in the file of an arena.
const ITEMS_AT: u64 = 4096;

/// So many items are read back for the checksum.
const CHECKED: u64 = 2000;

/// What a program that goes through a file reads at a time, such as `cat`.
const READ_LEN: usize = 128 << 10;

/// What opening reads from the end of a file.
const TAIL_LEN: u64 = 32 << 10;

/// The rows that others are compared with.
const WRITTEN: &str = "outcore_written_synced";
const RAW: &str = "raw_pread";
const CAT: &str = "raw_read_128KiB";

/// What is written, and what is read of it.
#[derive(Clone)]
pub struct SealedJob {
    dir: &'static Path,
    pool: Pool,
    /// How many items.
    count: u64,
    reads: u64,
    seed: u64,
    warm: bool,
}

/// A path that nothing has, and the file that it leads to later, which goes on drop.
struct Named(PathBuf);

impl Named {
    fn new(dir: &Path) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sealed-{}-{number}", std::process::id());
        Ok(Self(process::own_folder(dir)?.join(name)))
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// A sealed file with all items, open for system calls too.
struct Made {
    named: Named,
    file: File,
    /// Of the items that are read, in order.
    locations: Vec<Location>,
    offsets: Vec<u64>,
}

impl SealedJob {
    fn new(options: &'static Options, len: u64, reads: u64, warm: bool) -> Self {
        Self {
            dir: options.dir(),
            pool: Pool::new(ITEM_LEN, options.seed),
            count: (len / ITEM_LEN as u64).max(1),
            reads,
            seed: options.seed ^ 0x5EED,
            warm,
        }
    }

    fn len(&self) -> u64 {
        self.count * ITEM_LEN as u64
    }

    fn scratch(&self) -> Result<ScratchDir> {
        Ok(ScratchDir::new(self.dir)?)
    }

    /// Pushes all items, and returns the locations of each `step`-th one.
    fn fill(&self, arena: &Arena, step: u64) -> Result<Vec<Location>> {
        let mut kept = Vec::new();
        let mut writer = arena.writer()?;
        for (number, item) in (0..self.count).zip(self.pool.items_from(0)) {
            let location = writer.push(item)?;
            if number % step == 0 {
                kept.push(location);
            }
        }
        writer.finish().map_err(outcore::Error::from)?;
        Ok(kept)
    }

    fn check_step(&self) -> u64 {
        (self.count / CHECKED).max(1)
    }

    fn checked(&self) -> impl Iterator<Item = u64> + use<> {
        (0..self.count).step_by(index(self.check_step()))
    }

    fn expected_written(&self) -> u64 {
        pool::sum(
            self.checked()
                .map(|number| fingerprint(number, self.pool.item(number))),
        )
    }

    /// Times `push` into an arena, and then `seal`, which returns what can be read.
    fn written(
        &self,
        arena: Arena,
        seal: impl FnOnce(Arena, &Path) -> Result<Arena>,
    ) -> Result<Sample> {
        let named = Named::new(self.dir)?;
        let stage = Stage::start()?;
        let started = Instant::now();
        let locations = self.fill(&arena, self.check_step())?;
        let written = started.elapsed();
        let arena = seal(arena, &named.0)?;
        let sealed = started.elapsed().saturating_sub(written);
        let mut sample = stage.stop()?;
        sample.add_rate(self.len());
        sample.add("time_to_write", written.as_secs_f64(), "s");
        sample.add("time_to_seal", sealed.as_secs_f64(), "s");
        for (number, location) in self.checked().zip(locations) {
            let print = fingerprint(number, &arena.get(location)?);
            sample.checksum = sample.checksum.wrapping_add(print);
        }
        timed_drop((arena, named), &mut sample);
        Ok(sample)
    }

    /// Seals an arena with all items.
    fn make(&self) -> Result<Made> {
        let named = Named::new(self.dir)?;
        let arena = Arena::sealable_in(&self.scratch()?)?;
        let first = self.fill(&arena, self.count)?;
        let sealed = arena.into_sealed(&named.0).map_err(outcore::Error::from)?;
        drop(sealed);
        let first = first.first().context("no item")?.to_bytes();
        let mut random = Random::new(self.seed);
        let numbers: Vec<u64> = (0..self.reads)
            .map(|_| random.below_u64(self.count))
            .collect();
        let offset = |number: &u64| number * ITEM_LEN as u64;
        let locations = numbers.iter().map(|number| moved(first, offset(number)));
        Ok(Made {
            locations: locations.collect(),
            offsets: numbers
                .iter()
                .map(|number| ITEMS_AT + offset(number))
                .collect(),
            file: raw::open(&named.0)?,
            named,
        })
    }

    fn expected_read(&self) -> u64 {
        let mut random = Random::new(self.seed);
        let items = (0..self.reads).map(|_| random.below_u64(self.count));
        pool::sum(items.map(|number| sum_words(self.pool.item(number))))
    }
}

/// Returns the location of an item that begins so many bytes behind the first one, of the same length:
/// docs/format.md says how.
fn moved(mut first: [u8; 12], ahead: u64) -> Location {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first[4..8]);
    bytes[4..6].copy_from_slice(&first[..2]);
    let bytes = (u64::from_le_bytes(bytes) + ahead).to_le_bytes();
    first[4..8].copy_from_slice(&bytes[..4]);
    first[..2].copy_from_slice(&bytes[4..6]);
    Location::from_bytes(first)
}

fn written_rows() -> Vec<Row<SealedJob>> {
    vec![
        Row::new(
            "outcore",
            "Arena::sealable_in, into_sealed",
            |job: &SealedJob| {
                job.written(Arena::sealable_in(&job.scratch()?)?, |arena, path| {
                    Ok(arena.into_sealed(path).map_err(outcore::Error::from)?)
                })
            },
        ),
        Row::new(
            "outcore_copied",
            "Arena::new_in, seal",
            |job: &SealedJob| {
                job.written(Arena::new_in(&job.scratch()?)?, |arena, path| {
                    arena.seal(path)?;
                    Ok(Arena::open(path)?)
                })
            },
        ),
        Row::new(
            WRITTEN,
            "Arena::new_in and fsync: no file",
            |job: &SealedJob| {
                let before = OpenFiles::now()?;
                job.written(Arena::new_in(&job.scratch()?)?, |arena, _path| {
                    let file = before.find(job.len(), |_file| true)?;
                    file.context("no file of the arena")?.sync_all()?;
                    Ok(arena)
                })
            },
        ),
        Row::new(
            "raw_pwrite_1MiB_fsync",
            "whole MiB from the pool, no checksums",
            |job: &SealedJob| {
                let stage = Stage::start()?;
                let file = raw::create(job.dir)?;
                raw::preallocate(&file, job.len())?;
                raw::write_stream(&file, &job.pool, 0, job.len(), 0)?;
                file.sync_all()?;
                let mut sample = stage.stop()?;
                sample.add_rate(job.len());
                let mut item = vec![0; ITEM_LEN];
                for number in job.checked() {
                    raw::read_exact(&file, &mut item, number * ITEM_LEN as u64)?;
                    let print = fingerprint(number, &item);
                    sample.checksum = sample.checksum.wrapping_add(print);
                }
                Ok(sample)
            },
        ),
    ]
}

/// Makes a candidate that does `open` again and again, each time with an empty cache if so.
fn opener(
    name: &'static str,
    note: &'static str,
    job: &SealedJob,
    made: &Rc<Made>,
    open: impl Fn(&Made) -> Result<u64> + 'static,
) -> Candidate<'static> {
    let (reads, warm, made) = (job.reads, job.warm, Rc::clone(made));
    Candidate::new(name, note, move || {
        let mut times = Vec::new();
        let mut len = 0;
        let mut sample = timed(|| {
            for _ in 0..reads {
                if !warm {
                    cache::make_cold(&made.file)?;
                }
                let started = Instant::now();
                len = open(&made)?;
                times.push(started.elapsed());
            }
            Ok(0)
        })?;
        sample.checksum = len;
        let total: Duration = times.iter().sum();
        let mean = total.as_secs_f64() * 1e9 / reads as f64;
        sample.add("time_per_open", mean, "ns");
        Ok(sample)
    })
}

fn openers(job: &SealedJob) -> Result<Vec<Candidate<'static>>> {
    let made = Rc::new(job.make()?);
    let raw = "open, fstat, one read of 32 KiB";
    Ok(vec![
        opener("outcore", "Arena::open", job, &made, |made| {
            Ok(black_box(Arena::open(&made.named.0)?).len_bytes())
        }),
        opener(RAW, raw, job, &made, {
            let len = job.len();
            move |made| {
                let file = raw::open(&made.named.0)?;
                let end = file.metadata()?.len();
                let mut tail = vec![0; index(TAIL_LEN)];
                raw::read_exact(&file, &mut tail, end - TAIL_LEN)?;
                black_box(tail);
                Ok(len)
            }
        }),
    ])
}

/// Makes a candidate that reads all that is to be read.
fn getter(
    name: &'static str,
    note: &'static str,
    job: &SealedJob,
    made: &Rc<Made>,
    mut read: impl FnMut(&Made) -> Result<u64> + 'static,
) -> Candidate<'static> {
    let (reads, warm, made) = (job.reads, job.warm, Rc::clone(made));
    Candidate::new(name, note, move || {
        if !warm {
            cache::make_cold(&made.file)?;
        }
        let mut sample = timed(|| read(&made))?;
        sample.add_time("time_per_read", reads);
        Ok(sample)
    })
}

fn getters(job: &SealedJob) -> Result<Vec<Candidate<'static>>> {
    let made = Rc::new(job.make()?);
    let get_all = |arena: &Arena, made: &Made| {
        let mut buffer = Vec::with_capacity(ITEM_LEN);
        pool::try_sum(made.locations.iter().map(|location| {
            buffer.clear();
            arena.get_into(*location, &mut buffer)?;
            Ok::<_, Error>(sum_words(&buffer))
        }))
    };
    let warm = job.warm;
    let open = Arena::open(&made.named.0)?;
    if warm {
        // Every block is verified before the clock starts.
        black_box(get_all(&open, &made)?);
    }
    let mut buffer = vec![0; ITEM_LEN];
    let same = "the same file, no checksums";
    Ok(vec![
        getter("outcore", "Arena::get_into", job, &made, move |made| {
            if warm {
                return get_all(&open, made);
            }
            get_all(&Arena::open(&made.named.0)?, made)
        }),
        getter(RAW, same, job, &made, move |made| {
            raw::sum_at(&made.file, made.offsets.iter().copied(), &mut buffer)
        }),
    ])
}

fn verifiers(job: &SealedJob) -> Result<Vec<Candidate<'static>>> {
    let made = Rc::new(job.make()?);
    let len = job.len();
    let rated = |name, note, read: fn(&Made) -> Result<()>| {
        let made = Rc::clone(&made);
        Candidate::new(name, note, move || {
            cache::make_cold(&made.file)?;
            let mut sample = timed(|| read(&made).map(|()| len))?;
            sample.add_rate(len);
            Ok(sample)
        })
    };
    Ok(vec![
        rated("outcore", "SealedFile::verify", |made| {
            Ok(SealedFile::open(&made.named.0)?.verify(|_done| {})?)
        }),
        rated(CAT, "as cat: the bytes are not looked at", |made| {
            let file = raw::open(&made.named.0)?;
            rustix::fs::fadvise(&file, 0, None, Advice::Sequential)?;
            let mut buffer = vec![0; READ_LEN];
            while rustix::io::read(&file, &mut buffer[..])? > 0 {}
            black_box(buffer);
            Ok(())
        }),
    ])
}

/// Returns the workloads.
pub(super) fn workloads(options: &'static Options) -> Vec<Workload> {
    let len = options.bytes(64 << 20, 4 << 30);
    let small = options.bytes(32 << 20, 128 << 20);
    let large = options.bytes(64 << 20, 16 << 30);
    let writing = Workload {
        columns: vec![
            Column::new("s to write", "time_to_write", 1.0, 2),
            Column::new("s to seal", "time_to_seal", 1.0, 2),
            PEAK,
            CPU[0],
            CPU[1],
        ],
        baselines: vec![WRITTEN],
        rounds: options.rounds(3, 5),
        physical: Some(physical::WRITE),
        ..Workload::isolated(
            sized("sealed_write", len),
            RATE,
            &written_rows(),
            move || SealedJob::new(options, len, 0, true),
            SealedJob::expected_written,
        )
    };
    let mut all = vec![writing];
    let reading = |name: &str,
                   headline,
                   prepare: Prepare<SealedJob>,
                   (len, reads, warm): (u64, u64, bool),
                   expected: fn(&SealedJob) -> u64| {
        let state = if warm { "warm" } else { "cold" };
        Workload {
            baselines: vec![RAW],
            rounds: options.rounds(3, 5),
            ..Workload::shared(
                format!("{name}/{}/{state}", text_of_bytes(len)),
                headline,
                vec![prepare],
                move || SealedJob::new(options, len, reads, warm),
                expected,
            )
        }
    };
    let opens = Headline::less("time_per_open", "ns");
    for (warm, open_count, len, get_count) in [
        (true, 1000, small, options.either(50_000, 1_000_000)),
        (false, 10, len, options.either(500, 20_000)),
    ] {
        let size = (large, open_count, warm);
        all.push(Workload {
            is_slow: true,
            ..reading("sealed_open", opens, openers, size, SealedJob::len)
        });
        let size = (len, get_count, warm);
        all.push(Workload {
            rounds: options.rounds(5, 7),
            physical: (!warm).then_some(physical::READ_ONE),
            ..reading(
                "sealed_get_512",
                TIME_PER_READ,
                getters,
                size,
                SealedJob::expected_read,
            )
        });
    }
    let size = (len, 0, false);
    all.push(Workload {
        baselines: vec![CAT],
        ..reading("sealed_verify", RATE, verifiers, size, SealedJob::len)
    });
    all
}
