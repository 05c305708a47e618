//! What the device takes for the same bytes, what one writes without a library, and programs.

use std::collections::HashMap;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::process::Command;
use std::str::FromStr;

use crate::machine::limit;
use crate::prelude::*;
use crate::ring::Blocks;
use crate::scenario::external::{GroupJob, SortJob, TextJob};

/// Reads all bytes past the page cache and writes them to another file, so many times.
pub(super) fn copies(job: &SortJob, times: u32) -> Result<Sample> {
    let create = || {
        let file = raw::create(job.dir)?;
        raw::preallocate(&file, len_of(job))?;
        raw::reopened(&file, OFlags::RDWR | OFlags::DIRECT)
    };
    let make = || {
        let source = create()?;
        let mut blocks = Blocks::new(1, CHUNK);
        for offset in (0..len_of(job)).step_by(CHUNK) {
            raw::write_all(&source, blocks.get_mut(0), offset)?;
        }
        Ok(source)
    };
    let copy = |source: &mut File| {
        (0..times).try_for_each(|_| {
            let target = create()?;
            let mut blocks = Blocks::new(1, CHUNK);
            let block = blocks.get_mut(0);
            for offset in (0..len_of(job)).step_by(CHUNK) {
                raw::read_exact(source, block, offset)?;
                raw::write_all(&target, block, offset)?;
            }
            *source = target;
            Ok(())
        })
    };
    job.measure(make, copy, |_file| Ok(job.expected()))
}

fn len_of(job: &SortJob) -> u64 {
    (8 * job.count).next_multiple_of(CHUNK as u64)
}

/// Shuffles pieces in memory, and merges them: each number comes from a piece that is drawn by how
/// many it has left.
pub(super) fn shuffle(job: &SortJob) -> Result<Sample> {
    let write = |numbers: &mut dyn Iterator<Item = u64>| {
        let mut file = BufWriter::with_capacity(1 << 18, raw::create(job.dir)?);
        for number in numbers {
            file.write_all(&number.to_le_bytes())?;
        }
        let mut file = file.into_inner().context("flush")?;
        file.rewind()?;
        Ok::<_, Error>(file)
    };
    let work = |file: &mut File| {
        let mut random = Random::new(7);
        let mut source = BufReader::with_capacity(1 << 18, &*file);
        let piece = job.budget_bytes / 2 / 8;
        let mut pieces = Vec::new();
        for first in (0..job.count).step_by(index(piece)) {
            let count = piece.min(job.count - first);
            let numbers = (0..count).map(|_| next_number(&mut source));
            let mut numbers = numbers.collect::<Result<Vec<u64>>>()?;
            random.shuffle(&mut numbers);
            let file = write(&mut numbers.into_iter())?;
            pieces.push((count, BufReader::with_capacity(1 << 18, file)));
        }
        let mut merged = BufWriter::with_capacity(1 << 18, raw::create(job.dir)?);
        for left in (1..=job.count).rev() {
            let mut drawn = random.below_u64(left);
            let piece = pieces.iter_mut().find(|(count, _)| {
                let is_it = drawn < *count;
                drawn = drawn.saturating_sub(*count);
                is_it
            });
            let (count, piece) = piece.context("no piece is left")?;
            *count -= 1;
            merged.write_all(&next_number(piece)?.to_le_bytes())?;
        }
        let mut merged = merged.into_inner().context("flush")?;
        merged.rewind()?;
        *file = merged;
        Ok(())
    };
    job.measure(
        || write(&mut job.numbers()),
        work,
        |file| {
            let mut merged = BufReader::new(file);
            job.check((0..job.count).map(|_| next_number(&mut merged)))
        },
    )
}

fn next_number(from: &mut impl Read) -> Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Puts pairs into 32 files by their keys, and then groups each in memory.
pub(super) fn groups(job: &GroupJob) -> Result<u64> {
    let files = (0..32).map(|_| Ok(BufWriter::with_capacity(1 << 16, raw::create(job.dir)?)));
    let mut files = files.collect::<Result<Vec<_>>>()?;
    for (key, value) in job.pairs(0).chain(job.pairs(1)) {
        let file = &mut files[index(key % 32)];
        file.write_all([key, value].map(u64::to_le_bytes).as_flattened())?;
    }
    let sums = files.into_iter().map(|file| {
        let mut file = file.into_inner().context("flush")?;
        let pairs = file.stream_position()? / 16;
        file.rewind()?;
        let mut file = BufReader::with_capacity(1 << 18, file);
        sums_of((0..pairs).map(|_| Ok((next_number(&mut file)?, next_number(&mut file)?))))
    });
    pool::try_sum(sums)
}

/// Adds pairs up in memory, and returns the checksum of the sums.
pub(super) fn sums_of(pairs: impl Iterator<Item = Result<(u64, u64)>>) -> Result<u64> {
    let mut sums: HashMap<u64, u64> = HashMap::new();
    for pair in pairs {
        let (key, value) = pair?;
        let sum = sums.entry(key).or_default();
        *sum = sum.wrapping_add(value);
    }
    GroupJob::checksum(sums.into_iter().map(Ok))
}

/// Counts words by the tools of every Unix.
pub(super) fn words(job: &TextJob) -> Result<Sample> {
    job.measure(|job, path| {
        let script = "tr ' ' '\\n' <\"$0\" | sort -S \"$1\" -T \"$2\" | uniq -c | wc -l";
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script])
            .arg(path)
            .arg(format!("{}b", job.budget_bytes))
            .arg(job.dir);
        said(shell.env("LC_ALL", "C"))
    })
}

/// Runs a program, and returns what it prints.
fn said<T: FromStr>(command: &mut Command) -> Result<T> {
    let output = command.output().context("start a program")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().last().unwrap_or("killed");
    ensure!(output.status.success(), "{last}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().ok().context("it printed no number")
}

/// Prints the seconds that a statement takes, with its own data made before.
const DUCKDB: &str = "
import sys, time, duckdb
folder, budget, make, work, check = sys.argv[1:]
base = duckdb.connect(folder + '/duckdb')
base.execute(f\"SET memory_limit = '{budget}B'; SET threads = 2; SET temp_directory = '{folder}/spill'\")
base.execute('SET preserve_insertion_order = false')
base.execute(make)
base.execute('CHECKPOINT')
began = time.time()
base.execute(work)
print(time.time() - began)
assert base.execute(check).fetchone()[0], check
";

/// Runs a statement in `DuckDB`; skips where Python lacks it.
fn duckdb(dir: &Path, budget_bytes: u64, [make, work, check]: [&str; 3]) -> Result<f64> {
    let python = || Command::new(std::env::var("PYTHON").unwrap_or_else(|_unset| "python3".into()));
    let known = python().args(["-c", "import duckdb"]).output();
    if !known.is_ok_and(|known| known.status.success()) {
        return Err(skip(
            "no duckdb: python3 -m pip install duckdb; $PYTHON names another python3",
        ));
    }
    let folder = process::own_folder(dir)?.join("database");
    std::fs::create_dir_all(&folder).context("make a folder")?;
    // It knows only its own limit, and is killed in a group that has little more.
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo $$ >\"$0\"; exec \"$@\""])
        .arg(limit::way_out());
    command
        .arg(python().get_program())
        .args(["-c", DUCKDB])
        .arg(&folder);
    command.arg(budget_bytes.to_string());
    let seconds = said(command.args([make, work, check]));
    drop(std::fs::remove_dir_all(&folder));
    seconds.context("duckdb")
}

pub(super) fn duckdb_sort(job: &SortJob) -> Result<Sample> {
    let make = format!(
        "CREATE TABLE numbers AS SELECT hash(range) AS x FROM range({})",
        job.count
    );
    let work = "CREATE TABLE sorted AS SELECT x FROM numbers ORDER BY x";
    let check = "SELECT (SELECT sum(x) FROM sorted) = (SELECT sum(x) FROM numbers)";
    let seconds = duckdb(job.dir, job.budget_bytes, [&make, work, check])?;
    let mut sample = Sample::default().with("seconds", seconds, "s");
    sample.add_rate(8 * job.count);
    sample.checksum = job.expected();
    Ok(sample)
}

pub(super) fn duckdb_groups(job: &GroupJob) -> Result<Sample> {
    let (count, keys) = (job.count, job.keys);
    let make = format!(
        "CREATE TABLE pairs AS SELECT hash(range) % {keys} AS k, range AS v FROM range({count})"
    );
    let work = "CREATE TABLE sums AS SELECT k, sum(v) AS s FROM pairs GROUP BY k";
    let check = "SELECT (SELECT sum(s) FROM sums) = (SELECT sum(v) FROM pairs)";
    let seconds = duckdb(job.dir, job.budget_bytes, [&make, work, check])?;
    let checksum = job.expected();
    Ok(Sample {
        checksum,
        ..Sample::default().with("seconds", seconds, "s")
    })
}
