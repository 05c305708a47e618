//! A program that spills nothing, under `SpillAlloc` and without it.

use std::env;
use std::process::Command;

use crate::failure::{Context, Failure, Result};
use crate::goal::{Asked, Goal};
use crate::measure::Sample;
use crate::ordinary;
use crate::scenario::alloc::{OUTCORE, SYSTEM};
use crate::settings::Settings;
use crate::workload::{Deferred, Headline, Isolated, Kind, Workload};

pub(super) fn workload(settings: &Settings) -> Workload {
    let row = |name, program| Isolated {
        name,
        note: "",
        memory_limit: None,
        run: Box::new(move || measure(program)),
    };
    let (baseline, factor) = (SYSTEM, 1.02);
    let asked = Asked::TimeWithin { baseline, factor };
    Workload {
        name: "spill_nothing".to_owned(),
        title: "\
A program that makes words, trees and tables of a source text, in blocks too small to spill:\n\
the same code in two programs, one with `SpillAlloc` as its global allocator.",
        headline: Headline {
            metric: "seconds",
            unit: "s",
            higher_is_better: false,
        },
        columns: Vec::new(),
        baselines: vec![SYSTEM],
        goals: vec![Goal::new(OUTCORE, asked)],
        rounds: settings.rounds(7, 15),
        kind: Kind::Isolated(vec![
            row(SYSTEM, "outcore-bench-plain"),
            row(OUTCORE, "outcore-bench-spill"),
        ]),
        expected: Deferred::new(ordinary::expected),
    }
}

/// Runs a program that lies beside this one.
fn measure(program: &str) -> Result<Sample> {
    let own = env::current_exe().context("find the own program")?;
    let path = own.with_file_name(program);
    if !path.exists() {
        let what = format!("no {program}: cargo build --release -p outcore-bench makes it");
        return Err(Failure::skip(what));
    }
    let output = Command::new(path).env_remove("OUTCORE_SPILL").output();
    let output = output.context(program)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).replace(['\n', '\t'], " ");
        return Err(Failure::new(format!("{program}: {said}")));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let (seconds, checksum) = text.trim().split_once('\t').unwrap_or_default();
    let mut sample = Sample::new();
    let seconds: f64 = seconds.parse().context(program)?;
    sample.add("seconds", seconds, "s");
    sample.checksum = u64::from_str_radix(checksum, 16).context(program)?;
    Ok(sample)
}
