//! Strings by index, and small values in order: pushed, read at random, sorted, and put aside.

use outcore::spool::SpoolBuilder;
use outcore::{Arena, BytesVec, Location, MemoryBudget, ScratchDir, Spool};

use crate::prelude::*;
use crate::scenario::vec_push::TIME_PER_PUSH;

/// The length of a string.
pub const LEN: usize = 20;

/// Strings of [`LEN`] bytes, each with its number.
#[derive(Clone, Copy)]
pub struct StringJob {
    pub dir: &'static Path,
    pub count: u64,
    pub budget_bytes: u64,
}

/// What a spool holds: three numbers, most of them small.
pub type Small = (u32, u64, u16);

impl StringJob {
    /// Returns a string: a number as text, with letters behind it.
    pub fn string(number: u64) -> [u8; LEN] {
        let mut text = *b"................abcd";
        let mut rest = mix(number);
        for letter in &mut text[..16] {
            *letter = b"0123456789abcdef"[index(rest & 15)];
            rest >>= 4;
        }
        text
    }

    pub fn strings(&self) -> impl Iterator<Item = [u8; LEN]> + use<> {
        (0..self.count).map(Self::string)
    }

    /// Returns the checksum of a string, which does not depend on its place.
    pub fn sum(text: &[u8]) -> u64 {
        sum_words(&text[..16])
    }

    fn expected(&self) -> u64 {
        pool::sum(self.strings().map(|text| Self::sum(&text)))
    }

    /// Returns a value of a spool.
    pub fn small(number: u64) -> Small {
        let random = mix(number);
        ((random & 0xFFFF) as u32, number, (random >> 60) as u16)
    }

    /// Returns the checksum of a value of a spool.
    pub fn sum_small((a, b, c): Small) -> u64 {
        u64::from(a) ^ b.rotate_left(20) ^ u64::from(c)
    }

    fn expected_small(&self) -> u64 {
        pool::sum((0..self.count).map(|number| Self::sum_small(Self::small(number))))
    }

    /// Times `push` for all strings, and then reads them with `sum`.
    fn push<V>(
        &self,
        mut vec: V,
        push: impl Fn(&mut V, &[u8]) -> Result<()>,
        sum: impl FnOnce(&V) -> u64,
    ) -> Result<Sample> {
        let stage = Stage::start()?;
        for text in self.strings() {
            push(&mut vec, black_box(&text))?;
        }
        let mut sample = stage.stop()?;
        sample.add_time("time_per_push", self.count);
        sample.checksum = sum(&vec);
        timed_drop(vec, &mut sample);
        Ok(sample)
    }

    /// Returns which items are read at random: one in twenty.
    fn wanted(&self) -> Vec<usize> {
        let count = self.count;
        (0..count / 20)
            .map(|number| index(mix(!number) % count))
            .collect()
    }

    fn expected_wanted(&self) -> u64 {
        pool::sum(
            self.wanted()
                .into_iter()
                .map(|at| Self::sum(&Self::string(at as u64))),
        )
    }

    /// Times batches of 1,024 reads after all has left the page cache.
    fn batches(
        &self,
        mut read: impl FnMut(&[usize], &mut dyn FnMut(&[u8])) -> Result<()>,
    ) -> Result<Sample> {
        let wanted = self.wanted();
        let mut sum = 0_u64;
        let mut sample = timed(|| {
            for batch in wanted.chunks(1024) {
                read(batch, &mut |text| sum = sum.wrapping_add(Self::sum(text)))?;
            }
            Ok(0)
        })?;
        sample.checksum = sum;
        sample.add_time("time_per_read", wanted.len() as u64);
        Ok(sample)
    }
}

impl Work for StringJob {
    fn add_to(&self, sample: &mut Sample) {
        sample.add_time("time_per_value", self.count);
    }
}

fn vec_of(job: &StringJob) -> Result<BytesVec> {
    let mut vec = BytesVec::new_in(&ScratchDir::new(job.dir)?);
    for text in job.strings() {
        vec.push(text)?;
    }
    Ok(vec)
}

fn push_rows() -> Vec<Row<StringJob>> {
    let offsets = "the same bytes: 8 for each string's place";
    vec![
        Row::new("outcore", "BytesVec", |job: &StringJob| {
            let vec = BytesVec::new_in(&ScratchDir::new(job.dir)?);
            let push = |vec: &mut BytesVec, text: &[u8]| Ok(vec.push(text)?);
            job.push(vec, push, |vec| pool::sum(vec.iter().map(StringJob::sum)))
        }),
        Row::new("std_vec_string", "in memory only", |job: &StringJob| {
            let push = |vec: &mut Vec<String>, text: &[u8]| {
                vec.push(std::str::from_utf8(text)?.to_owned());
                Ok(())
            };
            let texts = |vec: &Vec<String>| {
                pool::sum(vec.iter().map(|text| StringJob::sum(text.as_bytes())))
            };
            job.push(Vec::new(), push, texts)
        }),
        Row::new("raw_pwrite_256KiB", offsets, |job: &StringJob| {
            let file = raw::create(job.dir)?;
            raw::preallocate(&file, job.count * (LEN as u64 + 8))?;
            let mut sum = 0_u64;
            let items = job.strings().zip(0_u64..).map(|(text, number)| {
                sum = sum.wrapping_add(StringJob::sum(&text));
                let mut bytes = [0; LEN + 8];
                bytes[..LEN].copy_from_slice(&text);
                bytes[LEN..].copy_from_slice(&number.to_le_bytes());
                bytes
            });
            let mut sample = timed(|| write_pieces(&file, items, CHUNK / 4 + 1).map(|()| 0))?;
            sample.checksum = sum;
            sample.add_time("time_per_push", job.count);
            Ok(sample)
        }),
    ]
}

fn read_rows() -> Vec<Row<StringJob>> {
    vec![
        Row::new("outcore", "BytesVec::get_many", |job: &StringJob| {
            let vec = vec_of(job)?;
            vec.evict(..)?;
            cache::drop_open_files(job.dir)?;
            job.batches(|batch, see| Ok(vec.get_many(batch, |_at, text| see(text))?))
        }),
        Row::new(
            "outcore_arena",
            "Arena::get_many, locations in memory",
            |job: &StringJob| {
                let arena = Arena::new_in(&ScratchDir::new(job.dir)?)?;
                let mut writer = arena.writer()?;
                let all = job.strings().map(|text| writer.push(text));
                let all = all.collect::<outcore::Result<Vec<Location>>>()?;
                writer.finish().map_err(outcore::Error::from)?;
                cache::drop_open_files(job.dir)?;
                job.batches(|batch, see| {
                    let chosen: Vec<Location> = batch.iter().map(|at| all[*at]).collect();
                    arena.get_many(&chosen, |_at, text| see(text))?;
                    Ok(())
                })
            },
        ),
    ]
}

/// Fails unless strings are in order, and returns their checksum.
pub fn check_sorted(sorted: impl Iterator<Item = Result<Vec<u8>>>) -> Result<u64> {
    let mut last = Vec::new();
    pool::try_sum(sorted.map(|text| {
        let text = text?;
        ensure!(last <= text, "out of order");
        let sum = StringJob::sum(&text);
        last = text;
        Ok::<_, Error>(sum)
    }))
}

fn through_spool(job: &StringJob, is_compressed: bool) -> Result<u64> {
    let budget = MemoryBudget::new(job.budget_bytes);
    let mut builder = SpoolBuilder::new(&budget).dir(&ScratchDir::new(job.dir)?);
    if is_compressed {
        builder = builder.lz4();
    }
    let mut spool: Spool<Small> = builder.build();
    for number in 0..job.count {
        spool.push(&StringJob::small(number))?;
    }
    let values = spool.iter()?;
    pool::try_sum(values.map(|value| Ok::<_, Error>(StringJob::sum_small(value?))))
}

/// Writes values as they are, and reads them: what the device and the copies take.
fn raw_values(job: &StringJob) -> Result<u64> {
    let values = (0..job.count).map(|number| {
        let ((a, b, c), mut bytes) = (StringJob::small(number), [0; SMALL_LEN]);
        bytes[..4].copy_from_slice(&a.to_le_bytes());
        bytes[4..12].copy_from_slice(&b.to_le_bytes());
        bytes[12..].copy_from_slice(&c.to_le_bytes());
        bytes
    });
    let file = raw::create(job.dir)?;
    raw::preallocate(&file, job.count * SMALL_LEN as u64)?;
    write_pieces(&file, values, SMALL_LEN << 14)?;
    let mut bytes = Vec::new();
    let (mut at, mut sum) = (0, 0_u64);
    let end = job.count * SMALL_LEN as u64;
    while at < end {
        bytes.resize(index((end - at).min((SMALL_LEN as u64) << 14)), 0);
        raw::read_exact(&file, &mut bytes, at)?;
        at += bytes.len() as u64;
        for value in bytes.chunks_exact(SMALL_LEN) {
            let a = u32::from_le_bytes(value[..4].try_into()?);
            let b = u64::from_le_bytes(value[4..12].try_into()?);
            let c = u16::from_le_bytes(value[12..].try_into()?);
            sum = sum.wrapping_add(StringJob::sum_small((a, b, c)));
        }
    }
    Ok(sum)
}

/// Writes items of one length into a file, so many bytes a call.
fn write_pieces<const N: usize>(
    file: &File,
    items: impl Iterator<Item = [u8; N]>,
    len: usize,
) -> Result<()> {
    let (mut bytes, mut at) = (Vec::with_capacity(CHUNK), 0);
    for item in items {
        bytes.extend(item);
        if bytes.len() >= len {
            raw::write_all(file, &bytes, at)?;
            at += bytes.len() as u64;
            bytes.clear();
        }
    }
    raw::write_all(file, &bytes, at)
}

/// The bytes of a [`Small`].
const SMALL_LEN: usize = 14;

/// The rows of others.
#[derive(Default)]
pub struct Others {
    pub sort: Vec<Row<StringJob>>,
    pub spool: Vec<Row<StringJob>>,
}

/// Returns the workloads, with the rows of others behind our own.
pub(super) fn workloads(options: &'static Options, others: &Others) -> Vec<Workload> {
    let job = StringJob {
        dir: options.dir(),
        count: options.bytes(20 << 20, 20_000_000 * LEN as u64) / LEN as u64,
        budget_bytes: options.either(16 << 20, 128 << 20),
    };
    let workload = |name: &str, headline, rows: &[Row<StringJob>], expected| Workload {
        columns: vec![PEAK, CPU[0], CPU[1], DROP],
        baselines: vec!["outcore"],
        rounds: options.rounds(3, 5),
        ..Workload::isolated(
            format!("{name}/{}", job.count),
            headline,
            rows,
            move || job,
            expected,
        )
    };
    let value = Headline::less("time_per_value", "ns");
    let in_order = "BytesVec::sort_external";
    let sort = Row::timed("outcore", in_order, |job: &StringJob| {
        let mut vec = vec_of(job)?;
        vec.sort_external(&MemoryBudget::new(job.budget_bytes))?;
        check_sorted(vec.iter().map(|text| Ok(text.to_vec())))
    });
    let plain = "14 bytes each as they are, 224 KiB";
    let spool = [
        Row::timed("outcore", "postcard", |job| through_spool(job, false)),
        Row::timed("outcore_lz4", "postcard, lz4", |job| {
            through_spool(job, true)
        }),
        Row::timed("raw_write_read", plain, raw_values),
    ];
    let (push, sum) = (push_rows(), StringJob::expected);
    let (read, read_sum) = (read_rows(), StringJob::expected_wanted);
    let sort = [&[sort], &others.sort[..]].concat();
    let (spool, spool_sum) = (
        [&spool, &others.spool[..]].concat(),
        StringJob::expected_small,
    );
    vec![
        workload("strings_push", TIME_PER_PUSH, &push, sum),
        workload("strings_get_many/cold", TIME_PER_READ, &read, read_sum),
        workload("strings_sort", value, &sort, sum),
        workload("spool", value, &spool, spool_sum),
    ]
}
