//! More data than memory: containers beside the ways that system calls have to write a file, the
//! cached file of another program meanwhile, and how it goes gigabyte by gigabyte.

use std::fs;
use std::process::{Child, Command};

use outcore::{Arena, ArenaWriter, DiskVec, RangeFile, ScratchDir};

use crate::prelude::*;
use crate::ring::Blocks;
use crate::scenario::ranged::RANGED_MMAP;
use crate::scenario::vec_push::{MMAP_VEC, Numbers};
use crate::stage;

/// The length of an item of an arena.
pub const ITEM_LEN: usize = 256;
/// The length of a range.
pub const RANGE_LEN: usize = 64 << 10;
/// Threads that fill ranges.
pub const THREADS: usize = 2;

/// So many places are read back.
const CHECKED: u64 = 64;

/// How far behind the writer pages are dropped, where that is done by hand.
const BEHIND: u64 = 32 << 20;

/// How much data there is, in halves of the memory limit.
const HALVES: [(u64, &str); 4] = [(1, "0.5x"), (2, "1x"), (4, "2x"), (8, "4x")];

/// Takes part only where the data fit into memory.
pub const FITS: u16 = 1;

/// A stream of bytes that is to be put somewhere: as items, as numbers, or as ranges.
#[derive(Clone)]
pub struct PastJob {
    pub dir: &'static Path,
    pub len: u64,
    pool: Pool,
    /// In so many steps.
    steps: u64,
    /// The length of another program's file that is in the cache, if there is one.
    neighbour: Option<u64>,
}

impl PastJob {
    fn new(options: &'static Options, len: u64) -> Self {
        Self {
            dir: options.dir(),
            len,
            pool: Pool::new(ITEM_LEN, options.seed),
            steps: 1,
            neighbour: None,
        }
    }

    /// Returns the path that a file may have.
    pub fn path(&self) -> Result<PathBuf> {
        let path = process::own_folder(self.dir)?.join("past");
        drop(fs::remove_file(&path));
        Ok(path)
    }

    /// Returns the pieces of a range of the stream, each with its offset.
    pub fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = (u64, &[u8])> {
        range
            .step_by(CHUNK)
            .map(|offset| (offset, self.pool.chunk(offset)))
    }

    /// Returns the bytes of a range of a range file.
    pub fn source(&self, offset: u64) -> &[u8] {
        &self.pool.chunk(offset)[..RANGE_LEN]
    }

    /// Puts the stream into what `make` returns, a range of it at a time, and has `seal` hand it
    /// over to the kernel; then reads some words back, each by its offset.
    pub fn measure<T, R>(
        &self,
        make: impl FnOnce() -> Result<T>,
        mut write: impl FnMut(&mut T, Range<u64>) -> Result<()>,
        seal: impl FnOnce(T) -> Result<R>,
        read: impl Fn(&R, u64) -> Result<u64>,
    ) -> Result<Sample> {
        let neighbour = self
            .neighbour
            .map(|len| Neighbour::start(self, len))
            .transpose()?;
        let step = (self.len / self.steps).next_multiple_of(CHUNK as u64);
        let mut passed = vec![(0.0, stage::system_seconds()?)];
        let stage = Stage::start()?;
        let started = Instant::now();
        let mut store = make()?;
        for from in (0..self.len).step_by(index(step)) {
            write(&mut store, from..(from + step).min(self.len))?;
            if self.steps > 1 {
                passed.push((started.elapsed().as_secs_f64(), stage::system_seconds()?));
            }
        }
        let sealed = seal(store)?;
        let mut sample = stage.stop()?;
        sample.add_rate(self.len);
        let gib = step as f64 / f64::from(1 << 30);
        for (number, pair) in passed.windows(2).enumerate() {
            let (seconds, system) = (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
            sample.add(&format!("step_{number}_rate"), gib / seconds, "GiB/s");
            sample.add(&format!("step_{number}_system"), system / seconds, "cores");
        }
        if let Some(neighbour) = neighbour {
            sample.add("still_cached", neighbour.cached_share()?, "%");
        }
        sample.checksum = pool::try_sum(self.checked().map(|offset| read(&sealed, offset)))?;
        timed_drop(sealed, &mut sample);
        Ok(sample)
    }

    /// Returns some offsets, each the first of a piece.
    fn checked(&self) -> impl Iterator<Item = u64> + use<> {
        let step = (self.len / CHECKED).next_multiple_of(CHUNK as u64);
        (0..self.len).step_by(index(step))
    }

    fn expected(&self) -> u64 {
        pool::sum(
            self.checked()
                .map(|offset| sum_words(&self.pool.chunk(offset)[..8])),
        )
    }
}

/// A file that another program reads again and again.
struct Neighbour {
    file: File,
    len: u64,
    reader: Child,
}

impl Neighbour {
    fn start(job: &PastJob, len: u64) -> Result<Self> {
        let path = job.path()?.with_extension("neighbour");
        let file = raw::create_named(&path)?;
        raw::write_stream(&file, &job.pool, 0, len, 0)?;
        rustix::fs::fdatasync(&file)?;
        let script = "cat \"$0\" >/dev/null; while sleep 1; do cat \"$0\" >/dev/null; done";
        let reader = Command::new("sh").args(["-c", script]).arg(&path).spawn();
        let reader = reader.context("start a shell")?;
        Ok(Self { file, len, reader })
    }

    /// Returns how much of it is in memory, in percent.
    fn cached_share(&self) -> Result<f64> {
        let cached = cache::cached_pages(&self.file)? as f64 * BLOCK as f64;
        Ok(100.0 * cached / self.len as f64)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        if let Err(error) = self.reader.kill().and_then(|()| self.reader.wait()) {
            eprintln!("the reader: {error}");
        }
    }
}

/// How to write a file by system calls.
#[derive(Clone, Copy)]
enum Way {
    /// Into the page cache.
    Cached,
    /// The same, and the kernel drops pages when they are written back.
    DontCache,
    /// The same by hand: starts to write back, and drops what has been written.
    DropBehind,
    /// Past the page cache.
    Direct,
}

/// Writes the stream into a preallocated file, `len` bytes a call.
fn raw_write(job: &PastJob, way: Way, len: usize) -> Result<Sample> {
    let make = || {
        let file = raw::create(job.dir)?;
        raw::preallocate(&file, job.len)?;
        let direct = raw::reopened(&file, OFlags::WRONLY | OFlags::DIRECT)?;
        let file = if matches!(way, Way::Direct) {
            direct
        } else {
            file
        };
        Ok((file, Blocks::new(1, CHUNK)))
    };
    let write = |(file, blocks): &mut (File, Blocks), range: Range<u64>| {
        for (start, piece) in job.pieces(range) {
            let piece = if matches!(way, Way::Direct) {
                // Memory that the device can reach.
                let block = blocks.get_mut(0);
                block.copy_from_slice(piece);
                &*block
            } else {
                piece
            };
            for (offset, bytes) in (start..).step_by(len).zip(piece.chunks(len)) {
                match way {
                    Way::DontCache => cache::write_uncached(file, bytes, offset)?,
                    _ => raw::write_all(file, bytes, offset)?,
                }
                if matches!(way, Way::DropBehind) {
                    cache::start_writing_back(file, offset, len as u64)?;
                    if let Some(before) = offset.checked_sub(BEHIND) {
                        cache::drop_written(file, before, len as u64)?;
                    }
                }
            }
        }
        Ok(())
    };
    let seal = |(file, _): (File, Blocks)| raw::reopened(&file, OFlags::RDONLY);
    job.measure(make, write, seal, read_word)
}

/// Returns the word at an offset of a file.
pub fn read_word(file: &File, offset: u64) -> Result<u64> {
    let mut word = [0; 8];
    raw::read_exact(file, &mut word, offset)?;
    Ok(u64::from_le_bytes(word))
}

/// Pushes the stream in items of [`ITEM_LEN`] bytes, and reads the first of some pieces back.
pub fn items<W, R, L: Copy>(
    job: &PastJob,
    make: impl FnOnce() -> Result<W>,
    push: impl Fn(&mut W, &[u8]) -> Result<L>,
    seal: impl FnOnce(W) -> Result<R>,
    get: impl Fn(&R, L, &mut Vec<u8>) -> Result<()>,
) -> Result<Sample> {
    let write = |(writer, firsts): &mut (W, Vec<L>), range: Range<u64>| {
        for (_, piece) in job.pieces(range) {
            let mut items = piece.chunks_exact(ITEM_LEN);
            let first = items.next().map(|item| push(writer, item));
            firsts.extend(first.transpose()?);
            items.try_for_each(|item| push(writer, item).map(drop))?;
        }
        Ok(())
    };
    let make = || Ok((make()?, Vec::new()));
    let seal = |(writer, firsts): (W, Vec<L>)| Ok((seal(writer)?, firsts));
    job.measure(make, write, seal, |(store, firsts), offset| {
        let mut item = Vec::new();
        get(store, firsts[index(offset) / CHUNK], &mut item)?;
        Ok(sum_words(&item[..8]))
    })
}

fn arena(job: &PastJob) -> Result<Sample> {
    let make = || {
        let arena = Arena::new_in(&ScratchDir::new(job.dir)?)?;
        let writer = arena.writer()?;
        Ok((arena, writer))
    };
    let push = |(_, writer): &mut (Arena, ArenaWriter), item: &[u8]| Ok(writer.push(item)?);
    let seal = |(arena, writer): (Arena, ArenaWriter)| {
        writer.finish().map_err(outcore::Error::from)?;
        Ok(arena)
    };
    items(job, make, push, seal, |arena, location, item| {
        Ok(arena.get_into(location, item)?)
    })
}

/// Pushes the words of the stream into a vector.
pub fn numbers<V: Numbers>(job: &PastJob) -> Result<Sample> {
    let write = |vec: &mut V, range: Range<u64>| {
        let mut words = job.pieces(range).flat_map(|(_, piece)| pool::words(piece));
        words.try_for_each(|word| vec.add(word))
    };
    job.measure(
        || V::make(job.dir),
        write,
        Ok,
        |vec, offset| Ok(vec.all()[index(offset / 8)]),
    )
}

/// Has two threads fill ranges until a step is full: `fill` takes the next range, and returns
/// whether there was one.
pub fn ranges<F: Sync>(
    job: &PastJob,
    make: impl FnOnce() -> Result<F>,
    fill: impl Fn(&F) -> Result<bool> + Sync,
    seal: impl FnOnce(F) -> Result<File>,
) -> Result<Sample> {
    let write = |shared: &mut F, range: Range<u64>| {
        let shared = &*shared;
        let count = (range.end - range.start) / RANGE_LEN as u64;
        on_threads(0..THREADS, |thread| {
            for _ in (thread as u64..count).step_by(THREADS) {
                ensure!(fill(shared)?, "there are too few ranges");
            }
            Ok(())
        })
    };
    job.measure(make, write, seal, read_word)
}

fn range_file(job: &PastJob) -> Result<Sample> {
    let path = job.path()?;
    let fill = |file: &RangeFile| {
        let Some(mut range) = file.allocate(RANGE_LEN as u64) else {
            return Ok(false);
        };
        let source = job.source(range.start());
        range.write_all_at(source, 0)?;
        range.freeze();
        Ok(true)
    };
    let seal = |file: RangeFile| {
        file.publish().map_err(outcore::Error::from)?;
        raw::open(&path)
    };
    ranges(job, || Ok(RangeFile::create(&path, job.len)?), fill, seal)
}

fn rows() -> Vec<Row<PastJob>> {
    let by_hand = "sync_file_range, and 32 MiB behind the writer fadvise(DONTNEED)";
    vec![
        Row::new("raw_pwrite_64KiB", "preallocated", |job| {
            raw_write(job, Way::Cached, 64 << 10)
        }),
        Row::new("raw_pwrite_256KiB", "preallocated", |job| {
            raw_write(job, Way::Cached, 256 << 10)
        }),
        Row::new("raw_dontcache_256KiB", "RWF_DONTCACHE", |job| {
            raw_write(job, Way::DontCache, 256 << 10)
        }),
        Row::new("raw_drop_behind_256KiB", by_hand, |job| {
            raw_write(job, Way::DropBehind, 256 << 10)
        }),
        Row::new("raw_direct_1MiB", "O_DIRECT", |job| {
            raw_write(job, Way::Direct, CHUNK)
        }),
        Row::new("outcore_arena", "items of 256 bytes", arena),
        Row::new("outcore_vec", "numbers of 8 bytes", numbers::<DiskVec<u64>>),
        Row::new(
            "outcore_range_file",
            "2 threads, ranges of 64 KiB",
            range_file,
        ),
        Row::new("std_vec", "in memory only", numbers::<Vec<u64>>).with(FITS),
    ]
}

/// Returns the workloads, with the ways of others behind our own.
pub(super) fn workloads(options: &'static Options, others: &[Row<PastJob>]) -> Vec<Workload> {
    let rows = [&rows(), others].concat();
    let mut past = rows.clone();
    past.retain(|row| !row.has(FITS));
    let writing = |name: String, headline, rows: &[Row<PastJob>], job: PastJob| Workload {
        columns: [CPU[0], CPU[1], PEAK, DROP].into(),
        baselines: vec![
            "raw_dontcache_256KiB",
            "raw_direct_1MiB",
            MMAP_VEC,
            RANGED_MMAP,
        ],
        rounds: options.rounds(2, 3),
        is_slow: true,
        ..Workload::isolated(name, headline, rows, move || job.clone(), PastJob::expected)
    };
    let mut all = Vec::new();
    let limit = options.bytes(64 << 20, 1 << 30);
    for (halves, factor) in HALVES {
        let job = PastJob::new(options, limit / 2 * halves);
        all.push(Workload {
            columns: [CPU[0], CPU[1], GROUP_PEAK, DROP].into(),
            is_slow: factor != "0.5x",
            ..writing(format!("past_write/{factor}"), RATE, &rows, job).in_group(limit)
        });
    }
    let on_machine = |name, headline, job: PastJob| Workload {
        memory: Memory::Past(job.len),
        ..writing(sized(name, job.len), headline, &past, job)
    };
    let job = PastJob::new(options, options.bytes(1 << 30, 20 << 30));
    all.push(on_machine("past_write", RATE, job.clone()));
    let still = Headline::more("still_cached", "% still cached");
    let neighbour = Some(job.len / 5);
    all.push(Workload {
        columns: [Column::new("GiB/s", "rate", 1.0, 2), CPU[1]].into(),
        ..on_machine("past_neighbour", still, PastJob { neighbour, ..job })
    });
    let job = PastJob {
        steps: 32,
        ..PastJob::new(options, options.bytes(2 << 30, 32 << 30))
    };
    all.push(on_machine("past_steps", RATE, job));
    all
}
