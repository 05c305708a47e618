//! Runs in processes of their own: the parent starts its own program again, the child
//! measures and tells (see [`crate::protocol`]), and how it died is a result as well.

use std::env;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::failure::{Context, Failure, Result};
use crate::limit::{self, Limit};
use crate::measure::{Outcome, Run};
use crate::protocol::{Event, Reader};
use crate::report::Results;

/// In the place of a candidate's name: all of them, in turns.
pub const ALL: &str = "*";

/// Makes the kernel end this process, which is a child, as soon as its parent is gone.
///
/// # Errors
///
/// The kernel refuses.
pub fn die_with_parent() -> Result<()> {
    let kill = Some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(kill).context("follow the parent")
}

/// What a child is to do.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The arguments of the parent: both must come to the same workloads.
    pub arguments: &'a [String],
    /// The workload.
    pub workload: &'a str,
    /// The candidate, or [`ALL`].
    pub candidate: &'a str,
    /// A cap on its memory.
    pub memory_limit: Option<u64>,
    /// After this it is killed.
    pub time_max: Duration,
}

/// Starts this program again, and returns what it told. `seen` gets each run as it ends.
///
/// # Errors
///
/// The child cannot be started, or says what is no result.
pub fn run(order: Order<'_>, seen: &mut dyn FnMut(&Run)) -> Result<Results> {
    let Order {
        arguments,
        workload,
        candidate,
        ..
    } = order;
    let may_swap = candidate.ends_with(limit::WITH_SWAP);
    let limit = order.memory_limit;
    let limit = limit.map(|bytes| Limit::new(bytes, may_swap));
    let program = env::current_exe().context("find the own program")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args(["--child", workload, candidate]);
    if let Some(limit) = &limit {
        command.args(limit.arguments());
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("start a child")?;
    let output = child.stdout.take();
    let output = output.ok_or_else(|| Failure::new("a child without output"))?;
    let mut reader = Reader::default();
    let mut results = Results {
        runs: Vec::new(),
        candidates: Vec::new(),
    };
    let hear = || {
        for line in BufReader::new(output).lines() {
            match reader.line(&line.context("listen to a child")?)? {
                Some(Event::Candidate(name, note)) => results.candidates.push((name, note)),
                Some(Event::Ended(mut run)) => {
                    add_group_peak(&mut run, limit.as_ref());
                    seen(&run);
                    results.runs.push(run);
                }
                None => {}
            }
        }
        Ok(())
    };
    let is_late = within(order.time_max, &child, hear)?;
    let status = child.wait().context("wait for a child")?;
    let in_the_middle = reader.under_way.is_some() || results.runs.is_empty();
    if let Some(outcome) = death(status, in_the_middle) {
        let outcome = if is_late {
            let seconds = order.time_max.as_secs();
            Outcome::Killed(format!("by the harness: not done after {seconds} s"))
        } else {
            outcome
        };
        let candidate = reader.under_way.unwrap_or_else(|| candidate.to_owned());
        let round = results.runs.last().map_or(0, |run| run.round);
        let run = Run {
            candidate,
            round,
            outcome,
        };
        seen(&run);
        results.runs.push(run);
    }
    Ok(results)
}

/// Listens to a child, and kills it if that takes longer than `time_max`. Tells whether it did.
fn within(time_max: Duration, child: &Child, hear: impl FnOnce() -> Result<()>) -> Result<bool> {
    let is_late = AtomicBool::new(false);
    // No one else has waited for the child yet, so the number is still its own.
    let pid = i32::try_from(child.id()).ok();
    let pid = pid.and_then(rustix::process::Pid::from_raw);
    let heard = thread::scope(|scope| {
        let (done, wait) = mpsc::channel::<()>();
        let is_late = &is_late;
        scope.spawn(move || {
            if wait.recv_timeout(time_max) == Err(RecvTimeoutError::Timeout) {
                is_late.store(true, Ordering::Relaxed);
                if let Some(pid) = pid {
                    let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
        });
        let heard = hear();
        drop(done);
        heard
    });
    heard.map(|()| is_late.into_inner())
}

/// Says how a child died in the middle of something; `None` if it just ended.
fn death(status: ExitStatus, in_the_middle: bool) -> Option<Outcome> {
    if let Some(signal) = status.signal() {
        return Some(Outcome::Killed(format!("signal {signal}")));
    }
    in_the_middle.then(|| Outcome::Failed(format!("the child ended with {status}")))
}

fn add_group_peak(run: &mut Run, limit: Option<&Limit>) {
    let peak = limit.and_then(Limit::peak_bytes);
    if let (Outcome::Measured(sample), Some(peak)) = (&mut run.outcome, peak) {
        sample.add("group_peak", peak as f64, "bytes");
    }
}

/// Returns the folder for files with names, which a killed child leaves behind. A child
/// calls it with the number of its parent.
pub fn named_folder(dir: &Path, parent: u32) -> PathBuf {
    dir.join(format!("outcore-bench-{parent}"))
}

/// Removes what children have left in their folder.
pub fn remove_named_files(dir: &Path) {
    let folder = named_folder(dir, process::id());
    if folder.exists() {
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            eprintln!("files stay behind: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_not_done_in_time_is_killed() {
        let mut command = Command::new("sleep");
        let mut child = command.arg("600").stdout(Stdio::piped()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let hear = || {
            let lines = BufReader::new(output).lines();
            assert_eq!(lines.count(), 0);
            Ok(())
        };
        assert_eq!(within(Duration::from_millis(1), &child, hear), Ok(true));
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        let mut child = Command::new("true").spawn().unwrap();
        assert_eq!(within(Duration::MAX, &child, || Ok(())), Ok(false));
        child.wait().unwrap();
    }

    #[test]
    fn a_signal_is_a_result_and_an_early_end_is_a_failure() {
        let killed = death(ExitStatus::from_raw(9), true);
        assert_eq!(killed, Some(Outcome::Killed("signal 9".to_owned())));
        let early = death(ExitStatus::from_raw(1 << 8), true);
        assert!(matches!(early, Some(Outcome::Failed(_))));
        assert_eq!(death(ExitStatus::from_raw(0), false), None);
        // It said itself why it failed.
        assert_eq!(death(ExitStatus::from_raw(1 << 8), false), None);
    }
}
