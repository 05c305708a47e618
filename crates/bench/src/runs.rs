//! Gets the runs of a workload: the side of the parent, and the side of the child.

use std::cell::RefCell;
use std::path::Path;

use crate::child::{self, ALL};
use crate::failure::{Failure, Result};
use crate::full_cache::FullCache;
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
}

impl<'a> Parent<'a> {
    /// Gets ready to measure in `dir`.
    ///
    /// # Errors
    ///
    /// No file can be made there.
    pub fn new(settings: &'a Settings, arguments: &'a [String], dir: &'a Path) -> Result<Self> {
        Ok(Self {
            settings,
            arguments,
            dir,
            cache: RefCell::new(FullCache::where_needed(dir)?),
        })
    }

    /// Measures a workload: every run in a child, or all runs in one.
    ///
    /// # Errors
    ///
    /// A child that cannot be started, or says what is no result.
    pub fn measure(&self, workload: &Workload) -> Result<Results> {
        machine::settle(self.dir);
        let results = match &workload.kind {
            Kind::Isolated(all) => self.isolated(workload, all),
            Kind::Shared(shared) => self.shared(workload, shared)?,
        };
        machine::settle(self.dir);
        Ok(results)
    }

    fn isolated(&self, workload: &Workload, all: &[Isolated]) -> Results {
        let child = |one| self.child(&workload.name, one);
        let mut candidates: Vec<Candidate<'_>> = all.iter().map(child).collect();
        let names = all.iter();
        let names = names.map(|one| (one.name.to_owned(), one.note.to_owned()));
        let plan = plan(workload, self.settings);
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
            outcome.unwrap_or_else(|error| Outcome::Failed(error.to_string()))
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

    fn shared(&self, workload: &Workload, shared: &Shared) -> Result<Results> {
        eprintln!("{}: preparing", workload.name);
        // Held until all runs are over; its drop puts the old value back.
        let mut read_ahead = None;
        if let Some(kb) = shared.read_ahead_kb {
            match ReadAhead::set(self.dir, kb) {
                Ok(set) => read_ahead = Some(set),
                Err(error) => return Ok(not_prepared(&error)),
            }
        }
        let (name, limit) = (&workload.name, shared.memory_limit);
        let mut results = child::run(self.arguments, name, ALL, limit, &mut |run| {
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
fn not_prepared(error: &Failure) -> Results {
    let outcome = Outcome::Failed(error.to_string());
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
                outcome: Outcome::Failed(error.to_string()),
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
    let plan = plan(workload, settings);
    measure::interleave(&mut announced, plan, &mut protocol::print_run);
}

fn plan(workload: &Workload, settings: &Settings) -> Plan {
    Plan {
        rounds: workload.rounds,
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
    };
    let (name, rounds, round) = (&workload.name, workload.rounds, run.round);
    eprintln!("{name} {round}/{rounds} {}: {result}", run.candidate);
}
