//! A program that spills nothing, under `SpillAlloc` and without it.

use std::env;
use std::process::{Command, Stdio};

use crate::ordinary;
use crate::prelude::*;
use crate::scenario::alloc::{OUTCORE, SYSTEM};

pub(super) fn workload(options: &Options) -> Workload {
    Workload {
        baselines: vec![SYSTEM],
        rounds: options.rounds(7, 15),
        build: Some(build),
        ..Workload::isolated(
            "spill_nothing".to_owned(),
            Headline::less("seconds", "s"),
            &[
                Row::new(SYSTEM, "", |(): &()| measure("outcore-bench-plain")),
                Row::new(OUTCORE, "", |()| measure("outcore-bench-spill")),
            ],
            || (),
            |()| ordinary::expected(),
        )
    }
}

/// Builds both programs. What cannot be built is skipped by name when its turn comes.
fn build() {
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    let mut cargo = Command::new("cargo");
    cargo.args([
        "build",
        "--package",
        "outcore-bench",
        "--bins",
        "--profile",
        profile,
    ]);
    match cargo.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => {}
        other => eprintln!("cargo build: {other:?}"),
    }
}

/// Runs a program that lies beside this one.
fn measure(program: &str) -> Result<Sample> {
    let path = env::current_exe()?.with_file_name(program);
    if !path.exists() {
        let what = format!("no {program}: cargo build --release -p outcore-bench makes it");
        return Err(skip(what));
    }
    let output = Command::new(path).env_remove("OUTCORE_SPILL").output();
    let output = output.context("start it")?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let (seconds, checksum) = text.trim().split_once('\t').unwrap_or_default();
    let mut sample = Sample::default();
    sample.add("seconds", seconds.parse().context("its seconds")?, "s");
    sample.checksum = u64::from_str_radix(checksum, 16).context("its checksum")?;
    Ok(sample)
}
