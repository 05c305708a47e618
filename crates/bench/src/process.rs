//! Runs in processes of their own. The parent starts its own program again; the child measures and
//! tells, a line of JSON at a time; how it died is a result as well.

use std::cell::RefCell;
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::{ExitStatusExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::budget::Share;
use crate::error::{Context, Error, Result, skip};
use crate::interleave::{Candidate, Plan, interleave};
use crate::machine::guard::Guard;
use crate::machine::limit::{self, Group};
use crate::machine::memory::Bringer;
use crate::machine::{self, ReadAhead};
use crate::options::{self, Options};
use crate::sample::{Outcome, Results, Run};
use crate::workload::Workload;

/// In the place of a candidate's name: all of them, in turns.
pub const ALL: &str = "*";

/// How the names of rows end that an earlier build has measured.
pub const BEFORE: &str = "_before";

/// How long a single run may take, or the preparation of a workload: many times of what they do
/// take. Quick, and full.
const RUN_MAX: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(300)];

/// What a child tells.
#[derive(Serialize, Deserialize)]
enum Event {
    /// There is a candidate of this name, with this note.
    Candidate(String, String),
    /// A run of a candidate begins.
    Start(String),
    /// A run is over.
    Ended(Run),
}

fn tell(event: &Event) {
    match serde_json::to_string(event) {
        Ok(line) => println!("{line}"),
        Err(error) => eprintln!("a result cannot be told: {error}"),
    }
}

/// Makes the kernel end this process, which is a child, as soon as its parent is gone.
pub fn die_with_parent() -> Result<()> {
    let kill = Some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(kill).context("follow the parent")
}

/// Returns the folder for files with names, which a killed child leaves behind. A child calls it
/// with the number of its parent.
pub fn named_folder(dir: &Path, parent: u32) -> PathBuf {
    dir.join(format!("outcore-bench-{parent}"))
}

/// Makes the folder for files with names of this process, which is a child, and returns it.
pub fn own_folder(dir: &Path) -> Result<PathBuf> {
    let folder = named_folder(dir, parent_id());
    fs::create_dir_all(&folder).context("make a folder")?;
    Ok(folder)
}

/// What the parent needs for all workloads.
pub struct Parent {
    options: &'static Options,
    /// What children are called with: an earlier build need not know that there is one.
    arguments: Vec<String>,
    memory: RefCell<Bringer>,
    guard: RefCell<Guard>,
    /// This program, and an earlier build if there is one; and how the names of their rows end.
    programs: Vec<(PathBuf, &'static str)>,
}

impl Parent {
    /// Gets ready to measure.
    pub fn new(options: &'static Options, arguments: &[String]) -> Result<Self> {
        let dir = options.dir();
        let mut guard = Guard::start()?;
        // Followed backwards: the children's files first.
        guard.remove_group(&limit::group_folder())?;
        guard.remove_folder(&named_folder(dir, process::id()))?;
        let before = options.before.clone().map(|program| (program, BEFORE));
        Ok(Self {
            options,
            arguments: options::without_before(arguments),
            memory: RefCell::new(Bringer::new(dir, options.full, options.time())?),
            guard: RefCell::new(guard),
            programs: [(env::current_exe()?, "")]
                .into_iter()
                .chain(before)
                .collect(),
        })
    }

    /// Measures a workload: every run in a child, or all runs in one. What cannot be prepared has no
    /// runs.
    pub fn measure(&self, workload: &Workload, share: Share) -> Results {
        let within = match share {
            Share::Nothing => return not_prepared(skip("no time is left: see --minutes")),
            Share::Within(time) => Some(time),
            Share::Unlimited => None,
        };
        machine::settle(self.options.dir());
        let results = if workload.is_isolated {
            self.isolated(workload, within)
        } else {
            self.shared(workload, within)
        };
        self.clean_up();
        results.unwrap_or_else(not_prepared)
    }

    fn isolated(&self, workload: &Workload, within: Option<Duration>) -> Result<Results> {
        let mut results = Results::default();
        let mut children = Vec::new();
        for one in &(workload.candidates)()? {
            for (program, suffix) in &self.programs {
                let (known, name) = (one.name.clone(), format!("{}{suffix}", one.name));
                results.candidates.push((name.clone(), one.note.to_owned()));
                let run = move || self.one_run(program, workload, &known);
                let run = Box::new(move || run().unwrap_or_else(Into::into));
                children.push(Candidate {
                    name,
                    note: "",
                    run,
                });
            }
        }
        let plan = plan(workload, self.options, within);
        results.runs = interleave(&mut children, plan, &mut |run| {
            progress(workload, run);
            self.clean_up();
        });
        Ok(results)
    }

    fn one_run(&self, program: &Path, workload: &Workload, name: &str) -> Result<Outcome> {
        let is_right = self.bring_memory(workload)?;
        let told = self.child(program, workload, name, &[], self.run_max(workload))?;
        let last = told.runs.into_iter().next_back();
        let mut outcome = last.context("the child told nothing")?.outcome;
        if let (Outcome::Measured(sample), Some(is_right)) = (&mut outcome, is_right) {
            // Otherwise, the times are those of another state of memory.
            sample.add("cache_was_full", f64::from(u8::from(is_right)), "count");
        }
        Ok(outcome)
    }

    /// Measures a workload whose runs share a process; beside an earlier build, a process for each
    /// round.
    fn shared(&self, workload: &Workload, within: Option<Duration>) -> Result<Results> {
        eprintln!("{}: preparing", workload.name);
        let set = |kb| ReadAhead::set(self.options.dir(), kb, &mut self.guard.borrow_mut());
        // Held until all runs are over; its drop puts the old value back.
        let _read_ahead = workload.read_ahead_kb.map(set).transpose()?;
        let mut results = Results::default();
        let processes = if self.programs.len() > 1 {
            workload.rounds
        } else {
            1
        };
        for process in 1..=processes {
            for (program, suffix) in &self.programs {
                self.bring_memory(workload)?;
                let mut more = Vec::new();
                let mut time_max = Duration::MAX;
                if let Some(time) = within {
                    let time = time / processes;
                    more.extend(["--millis".to_owned(), time.as_millis().to_string()]);
                    time_max = time + 2 * self.run_max(workload);
                }
                if processes > 1 {
                    more.extend(["--rounds", "1"].map(str::to_owned));
                }
                let told = self.child(program, workload, ALL, &more, time_max)?;
                self.clean_up();
                for (name, note) in told.candidates {
                    let candidate = (name + suffix, note);
                    if !results.candidates.contains(&candidate) {
                        results.candidates.push(candidate);
                    }
                }
                results.runs.extend(told.runs.into_iter().map(|mut run| {
                    run.candidate += suffix;
                    run.round *= process;
                    run
                }));
            }
        }
        if results.candidates.is_empty() {
            results.candidates.push((ALL.to_owned(), String::new()));
        }
        Ok(results)
    }

    /// Under a limit, a process takes little memory and uses it again and again.
    fn bring_memory(&self, workload: &Workload) -> Result<Option<bool>> {
        if workload.memory_limit.is_some() {
            return Ok(None);
        }
        let mut memory = self.memory.borrow_mut();
        memory.bring(workload.memory, self.options.dir())
    }

    fn run_max(&self, workload: &Workload) -> Duration {
        let usual = RUN_MAX[usize::from(self.options.full)];
        workload.time_max.unwrap_or(usual)
    }

    /// Removes what children have left in their folder, and waits for the device.
    fn clean_up(&self) {
        let folder = named_folder(self.options.dir(), process::id());
        if folder.exists() {
            if let Err(error) = fs::remove_dir_all(&folder) {
                eprintln!("files stay behind: {error}");
            }
        }
        machine::settle(self.options.dir());
    }

    /// Has a child measure a candidate, and returns what it told. It gets the arguments of the
    /// parent, so that both make the same workloads, and is killed after `time_max`.
    fn child(
        &self,
        program: &Path,
        workload: &Workload,
        candidate: &str,
        more: &[String],
        time_max: Duration,
    ) -> Result<Results> {
        let may_swap = candidate.ends_with(limit::WITH_SWAP);
        let limit = workload.memory_limit;
        let group = limit.map(|bytes| Group::new(bytes, may_swap)).transpose()?;
        let mut command = Command::new(program);
        command
            .args(&self.arguments)
            .args(more)
            .stdin(Stdio::null());
        command.args(["--child", &workload.name, candidate]);
        if let Some(group) = &group {
            command.args(["--group", &group.folder()]);
        }
        let mut results = Results::default();
        let mut under_way = None;
        let shows = |run: &Run| {
            if candidate == ALL {
                progress(workload, run);
            }
        };
        let (status, is_late) = listen(&mut command, time_max, |line| {
            let event = serde_json::from_str(line);
            match event.with_context(|| format!("the child said: {line}"))? {
                Event::Candidate(name, note) => results.candidates.push((name, note)),
                Event::Start(name) => under_way = Some(name),
                Event::Ended(mut run) => {
                    under_way = None;
                    let peak = group.as_ref().and_then(Group::peak_bytes);
                    if let (Outcome::Measured(sample), Some(peak)) = (&mut run.outcome, peak) {
                        sample.add("group_peak", peak as f64, "bytes");
                    }
                    shows(&run);
                    results.runs.push(run);
                }
            }
            Ok(())
        })?;
        let in_the_middle = under_way.is_some() || results.runs.is_empty();
        if let Some(mut outcome) = death(status, in_the_middle) {
            if is_late {
                let seconds = time_max.as_secs();
                outcome = Outcome::Killed(format!("by the harness: not done after {seconds} s"));
            }
            let candidate = under_way.unwrap_or_else(|| candidate.to_owned());
            let round = results.runs.last().map_or(0, |run| run.round);
            let run = Run {
                candidate,
                round,
                outcome,
            };
            shows(&run);
            results.runs.push(run);
        }
        Ok(results)
    }
}

/// Starts a process and hears its lines; kills it if that takes longer than `time_max`, and returns
/// whether it did.
fn listen(
    command: &mut Command,
    time_max: Duration,
    mut hear: impl FnMut(&str) -> Result<()>,
) -> Result<(ExitStatus, bool)> {
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.context("start a child")?;
    let output = child.stdout.take().context("a child without output")?;
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut all = BufReader::new(output).lines().map_while(io::Result::ok);
        all.all(|line| send.send(line).is_ok())
    });
    let started = Instant::now();
    let mut is_late = false;
    loop {
        match lines.recv_timeout(time_max.saturating_sub(started.elapsed())) {
            Ok(line) => hear(&line)?,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                is_late = true;
                child.kill().context("end a child")?;
                break;
            }
        }
    }
    Ok((child.wait().context("wait for a child")?, is_late))
}

/// Returns how a child died in the middle of something; `None` if it just ended.
fn death(status: ExitStatus, in_the_middle: bool) -> Option<Outcome> {
    if let Some(signal) = status.signal() {
        return Some(Outcome::Killed(format!("signal {signal}")));
    }
    in_the_middle.then(|| Outcome::Failed(format!("the child ended with {status}")))
}

/// Returns what is left of a workload whose preparation failed.
fn not_prepared(error: Error) -> Results {
    Results {
        runs: vec![of_all(error)],
        candidates: vec![(ALL.to_owned(), String::new())],
    }
}

fn of_all(error: Error) -> Run {
    Run::new(ALL, 0, error.into())
}

/// Does what the parent asked this process for: one run of a candidate, or all runs of a workload.
pub fn be_child(workload: &Workload, candidate: &str, options: &Options) -> Result<()> {
    let mut prepared = match (workload.candidates)() {
        Ok(prepared) => prepared,
        Err(error) => {
            tell(&Event::Ended(of_all(error)));
            return Ok(());
        }
    };
    if candidate != ALL {
        let named = prepared.into_iter().find(|one| one.name == candidate);
        let mut named = named.with_context(|| format!("no candidate {candidate}"))?;
        tell(&Event::Start(named.name));
        tell(&Event::Ended(Run::new(candidate, 0, (named.run)())));
        return Ok(());
    }
    for one in &prepared {
        tell(&Event::Candidate(one.name.clone(), one.note.to_owned()));
    }
    let announced = prepared.iter_mut().map(|one| {
        let Candidate { name, note, run } = one;
        Candidate {
            name: name.clone(),
            note,
            run: Box::new(|| {
                tell(&Event::Start(name.clone()));
                run()
            }),
        }
    });
    let mut announced: Vec<Candidate<'_>> = announced.collect();
    machine::settle(options.dir());
    let within = options.millis.map(Duration::from_millis);
    let plan = plan(workload, options, within);
    interleave(&mut announced, plan, &mut |run| {
        tell(&Event::Ended(run.clone()));
    });
    Ok(())
}

fn plan(workload: &Workload, options: &Options, within: Option<Duration>) -> Plan {
    Plan {
        rounds: workload.rounds,
        // One that needs a single round, not one that was told to have few.
        keeps_first: workload.rounds == 1 && options.rounds.is_none(),
        until: within.map(|time| Instant::now() + time),
        seed: options.seed,
        expected: (workload.expected)(),
    }
}

fn progress(workload: &Workload, run: &Run) {
    let headline = workload.headline;
    let result = match &run.outcome {
        Outcome::Measured(sample) => {
            let value = sample.get(headline.metric).unwrap_or(f64::NAN);
            format!("{value:.2} {}", headline.unit)
        }
        other => other.why().unwrap_or_default(),
    };
    let (name, round, rounds) = (&workload.name, run.round, workload.rounds);
    eprintln!("{name} {round}/{rounds} {}: {result}", run.candidate);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_not_done_in_time_is_killed() {
        let mut command = Command::new("sleep");
        let ended = listen(command.arg("600"), Duration::from_millis(1), |_line| Ok(()));
        let (status, is_late) = ended.unwrap();
        assert!(is_late && status.signal() == Some(9));
        let mut lines = Vec::new();
        let mut command = Command::new("seq");
        let ended = listen(command.arg("3"), Duration::MAX, |line| {
            lines.push(line.to_owned());
            Ok(())
        });
        let (status, is_late) = ended.unwrap();
        assert!(!is_late && status.success());
        assert_eq!(lines, ["1", "2", "3"]);
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
