//! diskallocator, and outcore beside it, in std's vector: both by std's unstable trait, so that
//! they take a nightly compiler. They are a program in a workspace of its own, which is built where
//! there is such a compiler, and run for each round.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use outcore_bench::failure::{Context, Failure, Result};
use outcore_bench::measure::{Outcome, Sample};
use outcore_bench::protocol::{Event, Reader};
use outcore_bench::scenario::vec_push::{VecJob, VecPusher};
use outcore_bench::workload::{Kind, Workload};

/// The row of diskallocator.
pub(crate) const DISKALLOCATOR: &str = "diskallocator";

/// The row of outcore in the same program: the same vector, made by the same compiler.
pub(crate) const OUTCORE: &str = "outcore_nightly";

/// The package, beside this source.
const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/diskallocator");

/// The program that it has.
const PROGRAM: &str = "peer-diskallocator";

/// Returns the rows that push numbers.
pub(crate) fn pushers() -> Vec<VecPusher> {
    vec![
        VecPusher {
            name: DISKALLOCATOR,
            note: "std's vector; never allocates blocks ahead: a full disk is a signal",
            timed_too: false,
            run: |job| run(&built()?, "diskallocator", job),
        },
        VecPusher {
            name: OUTCORE,
            note: "std's vector, by the feature `nightly`",
            timed_too: false,
            run: |job| run(&built()?, "outcore", job),
        },
    ]
}

/// Builds the program if one of these workloads has a row of it. Otherwise the first run would, and
/// be killed for taking so long. What cannot be built is skipped by name when its turn comes.
pub(crate) fn build(workloads: &[Workload]) {
    if workloads.iter().any(has_row) {
        drop(built());
    }
}

fn has_row(workload: &Workload) -> bool {
    let Kind::Isolated(candidates) = &workload.kind else {
        return false;
    };
    let mut names = candidates.iter().map(|candidate| candidate.name);
    names.any(|name| [DISKALLOCATOR, OUTCORE].contains(&name))
}

/// Builds the program, which takes no time if it is there, and returns its path.
fn built() -> Result<PathBuf> {
    let cargo = || {
        let mut command = Command::new("cargo");
        command.arg("+nightly").stdin(Stdio::null());
        command
    };
    let found = cargo().arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        return Err(Failure::skip("no nightly toolchain"));
    }
    // Beside the builds of the workspace, which are of another compiler.
    let own = env::current_exe().context("find the own program")?;
    let target = own.ancestors().nth(2).unwrap_or(&own).join("peers");
    let output = cargo()
        .args([
            "build",
            "--release",
            "--locked",
            "--quiet",
            "--manifest-path",
        ])
        .arg(Path::new(PACKAGE).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .output()
        .context("start cargo")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let error = said.lines().find(|line| line.starts_with("error"));
        let what = format!("it does not build: {}", error.unwrap_or("no reason given"));
        return Err(Failure::skip(what));
    }
    Ok(target.join("release").join(PROGRAM))
}

/// Runs the program once, and returns what it measured.
fn run(program: &Path, row: &str, job: &VecJob) -> Result<Sample> {
    let mut command = Command::new(program);
    command.arg(row).arg(&job.dir).arg(job.count.to_string());
    let output = command.stdin(Stdio::null()).output();
    let output = output.context(PROGRAM)?;
    let mut reader = Reader::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some(Event::Ended(run)) = reader.line(line)? {
            return match run.outcome {
                Outcome::Measured(sample) => Ok(sample),
                Outcome::Skipped(why) => Err(Failure::skip(why)),
                Outcome::Failed(why) | Outcome::Killed(why) => Err(Failure::new(why)),
            };
        }
    }
    let status = output.status;
    Err(Failure::new(format!("the program ended with {status}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a fresh clone, the first run of a row built the program, and was killed after the 20 seconds
    /// that a run may take.
    #[test]
    fn the_workloads_of_the_rows_are_those_that_it_is_built_for() {
        let settings = outcore_bench::settings::Settings::default();
        let all = crate::workloads(&settings, Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let named = all.iter().filter(|workload| has_row(workload));
        let named: Vec<&str> = named.map(|workload| workload.name.as_str()).collect();
        assert_eq!(named, ["alloc_push_u64/256MiB"]);
    }

    fn job(dir: &Path) -> VecJob {
        VecJob {
            dir: dir.to_owned(),
            count: 300_000,
            times_each: false,
        }
    }

    /// Runs a script in the place of the program, and shows what came of it.
    fn script(number: u32, lines: &str, see: impl FnOnce(Result<Sample>)) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let name = format!("outcore-bench-peer-{}-{number}", std::process::id());
        let path = dir.join(name);
        std::fs::write(&path, lines).unwrap();
        // The row is the script: `sh FILE DIR COUNT`.
        see(run(Path::new("sh"), path.to_str().unwrap(), &job(&dir)));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_the_program_measured_comes_through_and_its_death_is_a_failure() {
        let said = "printf 'reading\\tseconds\\t1.5\\ts\\nchecksum\\t00ff\\nrun\\tpeer\\t0\\n'";
        script(0, said, |result| {
            let sample = result.unwrap();
            assert_eq!((sample.get("seconds"), sample.checksum), (Some(1.5), 255));
        });
        script(1, "printf 'failed\\tpeer\\t0\\tno disk\\n'", |result| {
            let failed = result.unwrap_err();
            assert_eq!(failed.to_string(), "no disk");
            assert!(!failed.is_skip());
        });
        let half = "printf 'reading\\tseconds\\t1.5\\ts\\n'; kill -9 $$";
        script(2, half, |result| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("signal: 9"), "{error}");
        });
    }

    /// Builds it, which takes a while.
    #[test]
    #[ignore = "takes a nightly toolchain and the registry"]
    fn both_rows_come_to_the_checksum_of_std() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let job = job(&dir);
        for row in pushers() {
            let sample = (row.run)(&job).unwrap();
            assert_eq!(sample.checksum, job.expected(), "{}", row.name);
        }
    }
}
