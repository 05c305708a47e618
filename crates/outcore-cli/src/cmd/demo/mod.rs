//! `outcore demo`: a limit on memory, a `Vec` that fails at it, and containers and commands that go on.

pub(crate) mod args;
mod picture;
mod recorder;
mod stages;
mod svg;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};

use outcore::ScratchDir;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::recorder::{Recorder, Stage};
use crate::cmd::demo::args::DemoArgs;
use crate::failure::{Failure, Result, shown};
use crate::memory::cgroup;
use crate::progress;
use crate::signals;
use crate::size::format_bytes;

/// The program itself and a few buffers need that much.
const LIMIT_BYTES_MIN: u64 = 32 << 20;

/// Containers that are filled to several times the limit.
const CONTAINERS: u64 = 4;

/// Commands that read as much.
const COMMANDS: [&str; 3] = ["sort", "count", "shuf"];

/// What a memory group has to leave to the page cache and to this process, while a command works.
const GROUP_REST_BYTES: u64 = 48 << 20;

/// Runs the command.
///
/// # Errors
///
/// The disk is too small or fails, or the picture cannot be written.
pub(crate) fn run(args: &DemoArgs) -> Result<()> {
    let group = cgroup::limit().and_then(|limit| limit.bytes);
    let in_group = group.map_or(u64::MAX, |bytes| bytes.saturating_sub(GROUP_REST_BYTES));
    let limit = args.memory.min(in_group);
    if limit < LIMIT_BYTES_MIN {
        let least = format_bytes(LIMIT_BYTES_MIN);
        let group = group.map_or(String::new(), |bytes| {
            format!(", and the memory group has {}", format_bytes(bytes))
        });
        return Err(Failure::new(format!(
            "--memory has to be {least} at least{group}"
        )));
    }
    signals::watch()?;
    let dir = match &args.tmp {
        Some(path) => ScratchDir::new(path)?,
        None => ScratchDir::from_env()?,
    };
    let stored = limit.saturating_mul(args.times);
    let free = dir.report()?.free_bytes;
    // They are there one after the other. Lines and what a command puts aside are there together.
    let needed = stored.saturating_mul(3);
    if free < needed {
        return Err(Failure::new(format!(
            "the demo takes {} in {}, where {} are free; ask for fewer --times",
            format_bytes(needed),
            shown(dir.path()),
            format_bytes(free)
        )));
    }
    let of_group = group.map_or(
        "no memory group with a limit: the page cache may have all memory".to_owned(),
        |bytes| {
            let bytes = format_bytes(bytes);
            format!("memory group, which counts the page cache too: {bytes}")
        },
    );
    say(&format!(
        "Limit on the data of this process (RLIMIT_DATA), and --memory of commands: {}; {of_group}.\n\
         Scratch files: {}.\n\n",
        format_bytes(limit),
        shown(dir.path())
    ))?;
    let lines = stages::lines(stored, &dir)?;
    let stages = CONTAINERS + COMMANDS.len() as u64;
    let bar = progress::bar("storing", Some(limit + stored * stages), true);
    let before = getrlimit(Resource::Data);
    let limited = Rlimit {
        current: Some(limit),
        ..before
    };
    limit_data(limited)?;
    let mut recorder = Recorder::new(&bar);
    let mut all = vec![
        stages::std_vec(&mut recorder, stored),
        stages::disk_vec(&mut recorder, stored, &dir)?,
        stages::arena(&mut recorder, stored, &dir)?,
        stages::disk_alloc(&mut recorder, stored, &dir)?,
        stages::range_file(&mut recorder, stored, &dir)?,
    ];
    // Commands keep to their own limit.
    limit_data(before)?;
    for name in COMMANDS {
        let bytes = (stored, limit);
        all.push(stages::command(&mut recorder, name, &lines, bytes, &dir)?);
    }
    bar.finish_and_clear();
    say(&table(&all))?;
    let svg = picture::draw(&all, limit, group);
    fs::write(&args.picture, svg)
        .map_err(|answer| Failure::write(&shown(&args.picture), &answer))?;
    say(&format!("\nThe picture: {}\n", shown(&args.picture)))
}

fn limit_data(limit: Rlimit) -> Result<()> {
    let set = setrlimit(Resource::Data, limit);
    set.map_err(|errno| Failure::new(format!("cannot set RLIMIT_DATA: {errno}")))
}

fn table(stages: &[Stage]) -> String {
    let mut text = format!(
        "{:<12} {:>11} {:>11} {:>11} {:>8}  {}\n",
        "", "stored", "own memory", "page cache", "seconds", "outcome"
    );
    for stage in stages {
        // Writing to a string cannot fail.
        writeln!(
            text,
            "{:<12} {:>11} {:>11} {:>11} {:>8.2}  {}",
            stage.name,
            format_bytes(stage.stored_bytes()),
            format_bytes(stage.peak_own_bytes()),
            format_bytes(stage.peak_file_bytes()),
            stage.seconds(),
            stage.outcome
        )
        .ok();
    }
    text += "\nOf sort, count and shuf, stored is what they have read. Own memory counts against the \
             limit. Page\ncache is mapped files in memory: the kernel drops it when others need the \
             room.\n";
    text
}

fn say(text: &str) -> Result<()> {
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|answer| Failure::write("standard output", &answer))
}
