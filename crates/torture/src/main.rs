//! Campaigns that try to break outcore from outside: `cargo run --release -p torture -- --list`.
//!
//! A campaign is many cases. A seed determines each case. Work that may die or be limited runs in a
//! child process: this program again, with a [`job::Job`]. What a machine cannot run is skipped and
//! named. Each campaign has canaries: planted bugs that it must find.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "a panic in a case is a finding"
)]

mod args;
mod campaigns;
mod job;
mod process;
mod random;
mod room;
mod runner;
mod sys;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use outcore::{ScratchDir, SpillAlloc};

use crate::args::Args;
use crate::job::Job;
use crate::room::Room;
use crate::runner::{Campaign, Plan, Summary};

/// Spills only in children for which `$OUTCORE_SPILL` is set.
#[global_allocator]
static GLOBAL: SpillAlloc = SpillAlloc::new(usize::MAX);

/// Prints a line.
pub(crate) fn say(line: impl std::fmt::Display) {
    println!("{line}");
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(job::CHILD) {
        campaigns::child(&Job::of_this_process());
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    if args.list {
        for campaign in campaigns::ALL {
            say(format_args!("{:8} {}", campaign.name, campaign.about));
        }
        return ExitCode::SUCCESS;
    }
    let name = args.campaign.clone().unwrap_or_default();
    let chosen: Vec<&Campaign> = campaigns::ALL
        .iter()
        .filter(|campaign| name == "all" || name == campaign.name)
        .collect();
    if chosen.is_empty() {
        say(format_args!("{name}: no such campaign; see --list"));
        return ExitCode::from(2);
    }
    if let Some(code) = room::hide_mounts() {
        return code;
    }
    let rooms = match rooms(&args) {
        Ok(rooms) => rooms,
        Err(refused) => {
            say(refused);
            return ExitCode::from(2);
        }
    };
    let started = Instant::now();
    let passed = chosen
        .iter()
        .filter(|campaign| is_passed(campaign, &args, &rooms))
        .count();
    if chosen.len() > 1 {
        say(format_args!(
            "{passed} of {} campaigns passed in {:.0} s",
            chosen.len(),
            started.elapsed().as_secs_f64()
        ));
    }
    ExitCode::from(u8::from(passed < chosen.len()))
}

/// Makes a room for each worker.
fn rooms(args: &Args) -> Result<Vec<Room>, String> {
    let base: PathBuf = match &args.dir {
        Some(dir) => dir.clone(),
        None => ScratchDir::from_env()
            .map(|dir| dir.path().to_owned())
            .map_err(|refused| refused.to_string())?,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (0..args.jobs.unwrap_or(cores).max(1))
        .map(|number| Room::new(&base, number).map_err(|refused| refused.to_string()))
        .collect()
}

/// Runs a campaign as the command line says; the tiers run its canaries too.
fn is_passed(campaign: &Campaign, args: &Args, rooms: &[Room]) -> bool {
    let mut passed = true;
    if !args.canary {
        let tier = if args.long {
            campaign.long
        } else {
            campaign.short
        };
        let plan = Plan {
            seed: args.seed,
            cases: args.cases.unwrap_or(tier),
            time: args.time,
            long: args.long,
            bug: None,
        };
        let summary = runner::run(campaign, &plan, rooms);
        report(campaign, &summary);
        say(summary.line(campaign.name, args.seed));
        let skips = args.no_skips && !summary.skipped.is_empty();
        passed = summary.failures.is_empty() && !skips;
    }
    if args.canary || args.short || args.long {
        for (bug, cases) in campaign.canaries {
            passed &= is_found(campaign, bug, *cases, args, rooms);
        }
    }
    passed
}

/// Prints what was skipped and what failed.
fn report(campaign: &Campaign, summary: &Summary) {
    for (why, count) in &summary.skipped {
        say(format_args!(
            "{}: skipped {count} cases: {why}",
            campaign.name
        ));
    }
    for (seed, why) in &summary.failures {
        say(format_args!(
            "{}: FAILED: seed {seed}: {why}",
            campaign.name
        ));
        say(format_args!(
            "  again: cargo run --release -p torture -- {} --seed {seed} --cases 1",
            campaign.name
        ));
    }
}

/// Runs a campaign with a planted bug, and returns whether it was found.
fn is_found(
    campaign: &Campaign,
    bug: &'static str,
    cases: u64,
    args: &Args,
    rooms: &[Room],
) -> bool {
    let plan = Plan {
        seed: args.seed,
        cases,
        time: None,
        long: false,
        bug: Some(bug),
    };
    let summary = runner::run(campaign, &plan, rooms);
    let name = campaign.name;
    if let Some((seed, why)) = summary.failures.first() {
        say(format_args!(
            "{name}: canary {bug}: found with seed {seed}: {why}"
        ));
        return true;
    }
    for why in summary.skipped.keys() {
        say(format_args!("{name}: canary {bug}: skipped: {why}"));
    }
    if summary.cases == 0 {
        return !args.no_skips;
    }
    say(format_args!(
        "{name}: FAILED: canary {bug}: not found in {} cases",
        summary.cases
    ));
    false
}
