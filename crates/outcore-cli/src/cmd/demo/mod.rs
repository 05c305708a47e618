//! `outcore demo`: a limit on memory, a `Vec` that fails at it, and containers that go on.

pub(crate) mod args;
mod picture;
mod recorder;
mod stages;
mod svg;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};

use outcore::ScratchDir;
use rustix::process::{Resource, Rlimit, setrlimit};

use self::recorder::{Recorder, Stage};
use crate::cmd::demo::args::DemoArgs;
use crate::failure::{Failure, Result, shown};
use crate::progress;
use crate::signals;
use crate::size::format_bytes;

/// The program itself and a few buffers need that much.
const LIMIT_BYTES_MIN: u64 = 32 << 20;

/// Containers that are filled to several times the limit.
const CONTAINERS: u64 = 4;

/// Runs the command.
///
/// # Errors
///
/// The disk is too small or fails, or the picture cannot be written.
pub(crate) fn run(args: &DemoArgs) -> Result<()> {
    let limit = args.memory;
    if limit < LIMIT_BYTES_MIN {
        let least = format_bytes(LIMIT_BYTES_MIN);
        return Err(Failure::new(format!("--memory has to be {least} at least")));
    }
    signals::watch()?;
    let dir = match &args.tmp {
        Some(path) => ScratchDir::new(path)?,
        None => ScratchDir::from_env()?,
    };
    let stored = limit.saturating_mul(args.times);
    let free = dir.report()?.free_bytes;
    // They are there one after the other.
    if free < stored + stored / 4 {
        return Err(Failure::new(format!(
            "the demo takes {} in {}, where {} are free; ask for fewer --times",
            format_bytes(stored + stored / 4),
            shown(dir.path()),
            format_bytes(free)
        )));
    }
    say(&format!(
        "Limit of this process on its data (RLIMIT_DATA): {}. Scratch files: {}.\n\n",
        format_bytes(limit),
        shown(dir.path())
    ))?;
    let bar = progress::bar("storing", Some(limit + stored * CONTAINERS), true);
    setrlimit(
        Resource::Data,
        Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        },
    )
    .map_err(|errno| Failure::new(format!("cannot set RLIMIT_DATA: {errno}")))?;
    let mut recorder = Recorder::new(&bar);
    let all = [
        stages::std_vec(&mut recorder, stored),
        stages::disk_vec(&mut recorder, stored, &dir)?,
        stages::arena(&mut recorder, stored, &dir)?,
        stages::disk_alloc(&mut recorder, stored, &dir)?,
        stages::range_file(&mut recorder, stored, &dir)?,
    ];
    bar.finish_and_clear();
    say(&table(&all))?;
    let svg = picture::draw(&all, limit);
    fs::write(&args.picture, svg)
        .map_err(|answer| Failure::write(&shown(&args.picture), &answer))?;
    say(&format!("\nThe picture: {}\n", shown(&args.picture)))
}

fn table(stages: &[Stage]) -> String {
    let mut text = format!(
        "{:<12} {:>11} {:>11} {:>11} {:>8}  {}\n",
        "container", "stored", "own memory", "page cache", "seconds", "outcome"
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
    text += "\nOwn memory counts against the limit. Page cache is mapped files in memory: the \
             kernel drops\nit when others need the room.\n";
    text
}

fn say(text: &str) -> Result<()> {
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|answer| Failure::write("standard output", &answer))
}
