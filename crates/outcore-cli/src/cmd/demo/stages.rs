//! The stages of the demo: containers, each filled step by step, and commands on as many lines.

use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, Seek};
use std::process::{self, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use outcore::{Arena, DiskAlloc, DiskVec, RangeFile, ScratchDir};

use crate::cmd::demo::recorder::{Recorder, Stage};
use crate::failure::{Failure, Result, shown};
use crate::size::format_bytes;
use crate::threads;

/// Bytes that a container gets before the next look at the clock.
const STEP_BYTES: u64 = 1 << 20;
const STEP_LEN: usize = 1 << 20;
const STEP_NUMBERS: u64 = STEP_BYTES / 8;

/// Bytes of an item of the arena.
const ITEM_LEN: usize = 1000;

fn steps(stored: u64) -> u64 {
    stored.div_ceil(STEP_BYTES)
}

/// A vector of std, until it fails.
pub(crate) fn std_vec(recorder: &mut Recorder<'_>, stored: u64) -> Stage {
    recorder.begin(stored);
    let mut numbers: Vec<u64> = Vec::new();
    let mut bytes = 0;
    let mut failed = None;
    for step in 0..steps(stored) {
        let room = usize::try_from(STEP_NUMBERS).unwrap_or(0);
        // Exactly: a vector that doubles would fail at half of the limit.
        if let Err(error) = numbers.try_reserve_exact(room) {
            failed = Some(format!("failed at {}: {error}", format_bytes(bytes)));
            break;
        }
        numbers.extend((0..STEP_NUMBERS).map(|n| step * STEP_NUMBERS + n));
        bytes += STEP_BYTES;
        recorder.stored(bytes);
    }
    recorder.end("std Vec", bytes, failed)
}

/// The same numbers in a [`DiskVec`].
pub(crate) fn disk_vec(
    recorder: &mut Recorder<'_>,
    stored: u64,
    dir: &ScratchDir,
) -> Result<Stage> {
    recorder.begin(stored);
    let mut numbers = DiskVec::new_in(dir);
    let mut bytes = 0;
    for step in 0..steps(stored) {
        numbers.try_extend((0..STEP_NUMBERS).map(|n| step * STEP_NUMBERS + n))?;
        bytes += STEP_BYTES;
        recorder.stored(bytes);
    }
    let last = numbers.last().copied();
    check(last == Some(steps(stored) * STEP_NUMBERS - 1), "DiskVec")?;
    Ok(recorder.end("DiskVec", bytes, None))
}

/// Items of a thousand bytes in an [`Arena`].
pub(crate) fn arena(recorder: &mut Recorder<'_>, stored: u64, dir: &ScratchDir) -> Result<Stage> {
    recorder.begin(stored);
    let arena = Arena::new_in(dir)?;
    let mut writer = arena.writer()?;
    let mut item = [0; ITEM_LEN];
    let mut bytes = 0;
    let mut last = None;
    while bytes < stored {
        item[..8].copy_from_slice(&bytes.to_le_bytes());
        last = Some(writer.push(item)?);
        bytes += ITEM_LEN as u64;
        recorder.stored(bytes);
    }
    writer.finish().map_err(outcore::Error::from)?;
    let found = match last {
        Some(location) => arena.get(location)?,
        None => Vec::new(),
    };
    check(found == item, "Arena")?;
    Ok(recorder.end("Arena", bytes, None))
}

/// A vector of `allocator_api2` in a [`DiskAlloc`].
pub(crate) fn disk_alloc(
    recorder: &mut Recorder<'_>,
    stored: u64,
    dir: &ScratchDir,
) -> Result<Stage> {
    recorder.begin(stored);
    let mut numbers = allocator_api2::vec::Vec::new_in(DiskAlloc::new_in(dir)?);
    let mut bytes = 0;
    for step in 0..steps(stored) {
        let room = usize::try_from(STEP_NUMBERS).unwrap_or(0);
        numbers
            .try_reserve(room)
            .map_err(|error| Failure::new(format!("DiskAlloc: {error}")))?;
        numbers.extend((0..STEP_NUMBERS).map(|n| step * STEP_NUMBERS + n));
        bytes += STEP_BYTES;
        recorder.stored(bytes);
    }
    let last = numbers.last().copied();
    check(last == Some(steps(stored) * STEP_NUMBERS - 1), "DiskAlloc")?;
    Ok(recorder.end("DiskAlloc", bytes, None))
}

/// A [`RangeFile`] that two threads write, and that is never published.
pub(crate) fn range_file(
    recorder: &mut Recorder<'_>,
    stored: u64,
    dir: &ScratchDir,
) -> Result<Stage> {
    recorder.begin(stored);
    let bytes = steps(stored) * STEP_BYTES;
    let file = RangeFile::create(dir.path().join("outcore-demo"), bytes)?;
    let done = AtomicU64::new(0);
    let shared = Mutex::new(recorder);
    let write = || -> Result<()> {
        let block = vec![1; STEP_LEN];
        while let Some(mut range) = file.allocate(STEP_BYTES) {
            range.write_all_at(&block, 0)?;
            drop(range.freeze());
            let stored = done.fetch_add(STEP_BYTES, Relaxed) + STEP_BYTES;
            if let Ok(mut recorder) = shared.lock() {
                recorder.stored(stored);
            }
        }
        Ok(())
    };
    threads::run(2, write)?;
    check(file.remaining() == 0, "RangeFile")?;
    let Ok(recorder) = shared.into_inner() else {
        return Err(Failure::new("a thread of the demo died"));
    };
    Ok(recorder.end("RangeFile", bytes, None))
}

/// How often a command is looked at.
const LOOK_EACH: Duration = Duration::from_millis(25);

/// Makes the lines that commands work on, in a file without a name.
pub(crate) fn lines(stored: u64, dir: &ScratchDir) -> Result<File> {
    let path = dir.path().join(format!(".outcore-demo-{}", process::id()));
    let wrong = |answer: io::Error| Failure::write(&shown(&path), &answer);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).open(&path);
    let file = file.map_err(wrong)?;
    remove_file(&path).map_err(wrong)?;
    let mut made = ourselves(&["sample", &stored.to_string()])?;
    made.stdin(Stdio::null());
    made.stdout(file.try_clone().map_err(wrong)?);
    let status = made.status().map_err(wrong)?;
    if !status.success() {
        return Err(Failure::new("the lines for the commands cannot be made"));
    }
    Ok(file)
}

/// A command that works on the lines within a limit; what it writes is dropped.
pub(crate) fn command(
    recorder: &mut Recorder<'_>,
    name: &'static str,
    lines: &File,
    (stored, limit): (u64, u64),
    dir: &ScratchDir,
) -> Result<Stage> {
    let wrong = |answer: io::Error| Failure::new(format!("cannot run outcore {name}: {answer}"));
    recorder.begin(stored);
    let mut input = lines.try_clone().map_err(wrong)?;
    input.rewind().map_err(wrong)?;
    let limit = limit.to_string();
    let mut command = ourselves(&[name, "-q", "--memory", &limit, "--tmp"])?;
    command.arg(dir.path()).stdin(input).stdout(Stdio::null());
    let mut child = command.spawn().map_err(wrong)?;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(wrong)? {
            break status;
        }
        recorder.look_at(child.id(), stored);
        std::thread::sleep(LOOK_EACH);
    };
    if !status.success() {
        // What went wrong it has said itself.
        return Err(Failure::new(format!("outcore {name} ends with {status}")));
    }
    Ok(recorder.end(name, stored, None))
}

/// Returns a command of this program.
fn ourselves(arguments: &[&str]) -> Result<Command> {
    let program = std::env::current_exe();
    let program = program.map_err(|answer| Failure::new(format!("no program: {answer}")))?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// Sees to it that what was stored is there.
fn check(right: bool, name: &str) -> Result<()> {
    if right {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{name} returned something else than was stored"
    )))
}
