//! Gets the runs of a workload: the side of the parent, and the side of the child.

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::{self, ALL};
use crate::failure::{Failure, Result};
use crate::full_cache::FullCache;
use crate::guard::Guard;
use crate::limit;
use crate::machine::{self, ReadAhead};
use crate::measure::{self, Candidate, Outcome, Plan, Run};
use crate::protocol;
use crate::report::Results;
use crate::settings::Settings;
use crate::workload::{Isolated, Kind, Shared, Workload};

/// What the parent needs for all workloads.
#[derive(Debug)]
pub struct Parent<'a> {
    settings: &'a Settings,
    arguments: &'a [String],
    dir: &'a Path,
    cache: RefCell<Option<FullCache>>,
    guard: RefCell<Guard>,
}

impl<'a> Parent<'a> {
    /// Gets ready to measure in `dir`.
    ///
    /// # Errors
    ///
    /// No file can be made there, or no second process started.
    pub fn new(settings: &'a Settings, arguments: &'a [String], dir: &'a Path) -> Result<Self> {
        let mut guard = Guard::start()?;
        // Followed backwards: the children's files first.
        guard.remove_group(&limit::group_folder())?;
        guard.remove_folder(&child::named_folder(dir, std::process::id()))?;
        let cache = FullCache::where_needed(dir, settings.full)?;
        Ok(Self {
            settings,
            arguments,
            dir,
            cache: RefCell::new(cache),
            guard: RefCell::new(guard),
        })
    }

    /// Measures a workload: every run in a child, or all runs in one. After `time` there are
    /// no more rounds than have to be.
    ///
    /// # Errors
    ///
    /// A child that cannot be started, or says what is no result.
    pub fn measure(&self, workload: &Workload, time: Option<Duration>) -> Result<Results> {
        machine::settle(self.dir);
        let results = match &workload.kind {
            Kind::Isolated(all) => self.isolated(workload, all, time),
            Kind::Shared(shared) => self.shared(workload, shared, time)?,
        };
        machine::settle(self.dir);
        Ok(results)
    }

    fn isolated(&self, workload: &Workload, all: &[Isolated], time: Option<Duration>) -> Results {
        let child = |one| self.child(&workload.name, one);
        let mut candidates: Vec<Candidate<'_>> = all.iter().map(child).collect();
        let names = all.iter();
        let names = names.map(|one| (one.name.to_owned(), one.note.to_owned()));
        let plan = plan(workload, self.settings, time);
        let runs = measure::interleave(&mut candidates, plan, &mut |run| {
            progress(workload, run);
            child::remove_named_files(self.dir);
            machine::settle(self.dir);
        });
        Results {
            runs,
            candidates: names.collect(),
        }
    }

    /// Makes a candidate whose runs are children of this process.
    fn child<'b>(&'b self, workload: &'b str, isolated: &'b Isolated) -> Candidate<'b> {
        let run = move || {
            let outcome = self.one_child(workload, isolated);
            outcome.unwrap_or_else(Outcome::from)
        };
        Candidate {
            name: isolated.name,
            note: isolated.note,
            run: Box::new(run),
        }
    }

    fn one_child(&self, workload: &str, isolated: &Isolated) -> Result<Outcome> {
        let (name, limit) = (isolated.name, isolated.memory_limit);
        // Under a limit, a process takes little memory and uses it again and again.
        if let (Some(cache), None) = (self.cache.borrow_mut().as_mut(), limit) {
            cache.fill()?;
        }
        let told = child::run(self.arguments, workload, name, limit, &mut |_run| {})?;
        let last = told.runs.into_iter().next_back();
        last.map(|run| run.outcome)
            .ok_or_else(|| Failure::new("the child told nothing"))
    }

    fn shared(
        &self,
        workload: &Workload,
        shared: &Shared,
        time: Option<Duration>,
    ) -> Result<Results> {
        eprintln!("{}: preparing", workload.name);
        // Held until all runs are over; its drop puts the old value back.
        let mut read_ahead = None;
        if let Some(kb) = shared.read_ahead_kb {
            match ReadAhead::set(self.dir, kb, &mut self.guard.borrow_mut()) {
                Ok(set) => read_ahead = Some(set),
                Err(error) => return Ok(not_prepared(error)),
            }
        }
        if let (Some(cache), None) = (self.cache.borrow_mut().as_mut(), shared.memory_limit) {
            cache.fill()?;
        }
        let (name, limit) = (&workload.name, shared.memory_limit);
        let mut arguments = self.arguments.to_vec();
        if let Some(time) = time {
            arguments.extend(["--seconds".to_owned(), time.as_secs().to_string()]);
        }
        let mut results = child::run(&arguments, name, ALL, limit, &mut |run| {
            progress(workload, run);
        })?;
        drop(read_ahead);
        child::remove_named_files(self.dir);
        if results.candidates.is_empty() {
            let preparation = (ALL.to_owned(), String::new());
            results.candidates.push(preparation);
        }
        Ok(results)
    }
}

/// What is left of a workload whose preparation failed.
fn not_prepared(error: Failure) -> Results {
    let outcome = error.into();
    Results {
        runs: vec![Run {
            candidate: ALL.to_owned(),
            round: 0,
            outcome,
        }],
        candidates: vec![(ALL.to_owned(), String::new())],
    }
}

/// Does what the parent asked this process for: one run of a candidate, or all runs of a
/// workload.
///
/// # Errors
///
/// The name of a candidate that does not exist.
pub fn of_child(
    workload: &Workload,
    candidate: &str,
    settings: &Settings,
    dir: &Path,
) -> Result<()> {
    match &workload.kind {
        Kind::Isolated(candidates) => {
            let named = candidates.iter().find(|one| one.name == candidate);
            let named = named.ok_or_else(|| Failure::new(format!("no candidate {candidate}")))?;
            let mut one = Candidate::new(named.name, named.note, || (named.run)());
            protocol::print_start(one.name);
            let outcome = (one.run)();
            protocol::print_run(&Run {
                candidate: candidate.to_owned(),
                round: 0,
                outcome,
            });
        }
        Kind::Shared(shared) => all_runs(workload, shared, settings, dir),
    }
    Ok(())
}

fn all_runs(workload: &Workload, shared: &Shared, settings: &Settings, dir: &Path) {
    let prepared = match shared.prepare.make() {
        Ok(candidates) => candidates,
        Err(error) => {
            protocol::print_run(&Run {
                candidate: ALL.to_owned(),
                round: 0,
                outcome: error.into(),
            });
            return;
        }
    };
    protocol::print_candidates(&prepared);
    let announced = prepared.into_iter().map(|candidate| {
        let Candidate {
            name,
            note,
            mut run,
        } = candidate;
        let run = move || {
            protocol::print_start(name);
            run()
        };
        Candidate {
            name,
            note,
            run: Box::new(run),
        }
    });
    let mut announced: Vec<Candidate<'_>> = announced.collect();
    machine::settle(dir);
    let time = settings.seconds.map(Duration::from_secs);
    let plan = plan(workload, settings, time);
    measure::interleave(&mut announced, plan, &mut protocol::print_run);
}

fn plan(workload: &Workload, settings: &Settings, time: Option<Duration>) -> Plan {
    Plan {
        rounds: workload.rounds,
        until: time.map(|time| Instant::now() + time),
        seed: settings.seed,
        expected: workload.expected.make(),
    }
}

fn progress(workload: &Workload, run: &Run) {
    let headline = workload.headline;
    let result = match &run.outcome {
        Outcome::Measured(sample) => {
            let value = sample.get(headline.metric).unwrap_or(f64::NAN);
            format!("{value:.2} {}", headline.unit)
        }
        Outcome::Failed(why) => format!("FAILED: {why}"),
        Outcome::Killed(why) => format!("killed: {why}"),
        Outcome::Skipped(why) => format!("skipped: {why}"),
    };
    let (name, rounds, round) = (&workload.name, workload.rounds, run.round);
    eprintln!("{name} {round}/{rounds} {}: {result}", run.candidate);
}
