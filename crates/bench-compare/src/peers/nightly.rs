//! diskallocator, and outcore beside it, in std's vector: both by std's unstable trait, so that
//! they take a nightly compiler. They are a program in a workspace of its own, which is built where
//! there is such a compiler.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use outcore_bench::prelude::*;
use outcore_bench::process;
use outcore_bench::programs;
use outcore_bench::sample::Outcome;
use outcore_bench::scenario::vec_push::VecJob;

/// The rows: diskallocator, and outcore in the same program: the same vector, made by the same
/// compiler.
pub(super) const ROWS: [&str; 2] = ["diskallocator", "outcore_nightly"];

/// The package, beside this source, and the program that it has.
const PACKAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/peers/diskallocator/Cargo.toml"
);
const PROGRAM: &str = "release/peer-diskallocator";

pub(super) fn pushers() -> [Row<VecJob>; 2] {
    let note = "std's vector; never allocates blocks ahead: a full disk is a signal";
    [
        Row::new(ROWS[0], note, |job: &VecJob| {
            run(&built()?, "diskallocator", job)
        }),
        Row::new(ROWS[1], "std's vector, by the feature `nightly`", |job| {
            run(&built()?, "outcore", job)
        }),
    ]
}

/// Builds the program before the first run, which would be killed for taking so long. What cannot
/// be built is skipped by name when its turn comes.
pub(super) fn build() {
    drop(built());
}

/// Builds the program, which takes no time if it is there, and returns its path.
fn built() -> Result<PathBuf> {
    // Beside the builds of the workspace, which are of another compiler.
    let target = programs::beside("../peers")?;
    let target = target.to_str().context("a path of no text")?;
    let build = ["+nightly", "build", "--release", "--locked", "--quiet"];
    let place = ["--manifest-path", PACKAGE, "--target-dir", target];
    programs::build(&[&build[..], &place].concat())?;
    Ok(Path::new(target).join(PROGRAM))
}

/// Runs the program once, and returns what it measured.
fn run(program: &Path, row: &str, job: &VecJob) -> Result<Sample> {
    let mut command = Command::new(program);
    command.arg(row).arg(&job.dir).arg(job.count.to_string());
    let output = command.stdin(Stdio::null()).output();
    let output = output.context(PROGRAM)?;
    match process::heard(&String::from_utf8_lossy(&output.stdout)) {
        Some(Outcome::Measured(sample)) => Ok(sample),
        Some(Outcome::Skipped(why)) => Err(skip(why)),
        Some(Outcome::Failed(why) | Outcome::Killed(why)) => bail!(why),
        None => bail!("the program ended with {}", output.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_dies_or_fails_is_no_result() {
        let job = VecJob {
            dir: "/".into(),
            count: 1,
            times_each: false,
        };
        // Neither says what was measured.
        for program in ["false", "echo"] {
            let error = run(Path::new(program), "row", &job).unwrap_err();
            assert!(error.to_string().contains("ended with"), "{error}");
        }
    }

    /// Builds it, which takes a while.
    #[test]
    #[ignore = "takes a nightly toolchain and the registry"]
    fn both_rows_return_the_checksum_of_std() {
        let job = VecJob {
            dir: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
            count: 300_000,
            times_each: false,
        };
        for row in pushers() {
            let sample = (row.run)(&job).unwrap();
            assert_eq!(sample.checksum, job.expected(), "{}", row.name);
        }
    }
}
