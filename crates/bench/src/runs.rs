//! Gets the runs of a workload: the side of the parent, and the side of the child.

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::{self, ALL, Order};
use crate::failure::{Failure, Result};
use crate::full_cache::FullCache;
use crate::guard::Guard;
use crate::limit;
use crate::machine::{self, ReadAhead};
use crate::measure::{self, Candidate, Outcome, Plan, Run};
use crate::protocol;
use crate::report::Results;
use crate::schedule::{Cost, Share};
use crate::settings::Settings;
use crate::workload::{Isolated, Kind, Shared, Workload};

/// How long a single run may take, or the preparation of a workload: many times of what they do
/// take. Quick, and full.
const RUN_MAX: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(300)];

/// The same for a workload in which nearly every step waits for the device, a few ten million times.
const PATIENT: (&str, Duration) = (
    "alloc_map_u64/20000000/limit_",
    Duration::from_secs(2 * 3600),
);

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
        let cache = FullCache::where_needed(dir, settings.full, settings.time())?;
        Ok(Self {
            settings,
            arguments,
            dir,
            cache: RefCell::new(cache),
            guard: RefCell::new(guard),
        })
    }

    /// Measures a workload: every run in a child, or all runs in one. Returns also what that cost.
    ///
    /// # Errors
    ///
    /// A child that cannot be started, or says what is no result.
    pub fn measure(&self, workload: &Workload, share: Share) -> Result<(Results, Cost)> {
        let (started, filled) = (Instant::now(), self.filled());
        machine::settle(self.dir);
        let mut ended = Vec::new();
        let results = match &workload.kind {
            Kind::Isolated(all) => self.isolated(workload, all, share),
            Kind::Shared(shared) => self.shared(workload, shared, share, &mut ended)?,
        };
        machine::settle(self.dir);
        // Filling the cache depends on the host, and not on the workload; a quick call has a part of
        // its time for it, and in a full one it is what most of a round may be spent with.
        let filled = self.filled().saturating_sub(filled);
        let apart = if self.settings.full {
            Duration::ZERO
        } else {
            filled
        };
        let took = started.elapsed().saturating_sub(apart);
        let cost = cost(&results, took, &ended);
        Ok((results, cost))
    }

    fn filled(&self) -> Duration {
        let cache = self.cache.borrow();
        cache.as_ref().map_or(Duration::ZERO, FullCache::spent)
    }

    fn run_max(&self, workload: &str) -> Duration {
        let (patient, long) = PATIENT;
        if workload.starts_with(patient) {
            return long;
        }
        RUN_MAX[usize::from(self.settings.full)]
    }

    fn isolated(&self, workload: &Workload, all: &[Isolated], share: Share) -> Results {
        let child = |one| self.child(&workload.name, one);
        let mut candidates: Vec<Candidate<'_>> = all.iter().map(child).collect();
        let names = all.iter();
        let names = names.map(|one| (one.name.to_owned(), one.note.to_owned()));
        let mut plan = plan(workload, self.settings);
        plan.rounds = plan.rounds.min(share.rounds);
        if self.settings.time().is_some() {
            plan.until = Some(Instant::now() + share.rounds_until());
        }
        let runs = measure::interleave(&mut candidates, plan, &mut |run| {
            progress(workload, share, run);
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
        let mut is_full = None;
        if let (Some(cache), None) = (self.cache.borrow_mut().as_mut(), limit) {
            is_full = Some(cache.fill()?);
        }
        let order = Order {
            arguments: self.arguments,
            workload,
            candidate: name,
            memory_limit: limit,
            time_max: self.run_max(workload),
        };
        let told = child::run(order, &mut |_run| {})?;
        let last = told.runs.into_iter().next_back();
        let mut outcome = last
            .map(|run| run.outcome)
            .ok_or_else(|| Failure::new("the child told nothing"))?;
        if let (Outcome::Measured(sample), Some(is_full)) = (&mut outcome, is_full) {
            // Without it, the times are those of a host that finds memory.
            sample.add("cache_was_full", f64::from(u8::from(is_full)), "count");
        }
        Ok(outcome)
    }

    fn shared(
        &self,
        workload: &Workload,
        shared: &Shared,
        share: Share,
        ended: &mut Vec<Instant>,
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
        let mut arguments = self.arguments.to_vec();
        let rounds = workload.rounds.min(share.rounds);
        arguments.extend(["--rounds".to_owned(), rounds.to_string()]);
        let mut time_max = Duration::MAX;
        if self.settings.time().is_some() {
            let millis = share.rounds_until().as_millis();
            arguments.extend(["--millis".to_owned(), millis.to_string()]);
            time_max = share.rounds_until() + 2 * self.run_max(&workload.name);
        }
        let order = Order {
            arguments: &arguments,
            workload: &workload.name,
            candidate: ALL,
            memory_limit: shared.memory_limit,
            time_max,
        };
        let mut results = child::run(order, &mut |run| {
            ended.push(Instant::now());
            progress(workload, share, run);
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

/// Tells what a workload took, from its runs and, if they share a process, from when each of them
/// ended.
fn cost(results: &Results, took: Duration, ended: &[Instant]) -> Cost {
    let took = took.as_secs_f64();
    let rounds = results.runs.iter().map(|run| run.round);
    let (first, last) = (rounds.clone().min(), rounds.max());
    let rounds = f64::from(last.unwrap_or(0) - first.unwrap_or(0) + 1);
    let mut round = took / rounds;
    if let (Some(first), Some(last)) = (ended.first(), ended.last()) {
        // All runs but the first, whose start is not known.
        let seconds = last.duration_since(*first).as_secs_f64();
        let share = (ended.len() as f64 - 1.0) / ended.len() as f64;
        if share > 0.0 {
            round = (seconds / share / rounds).min(round);
        }
    }
    Cost {
        preparing: took - round * rounds,
        round,
        is_guess: false,
    }
}

/// What is left of a workload that there is no time for.
pub fn left_out() -> Results {
    not_prepared(Failure::skip("no time for it: see --minutes"))
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
    let mut plan = plan(workload, settings);
    let time = settings.millis.map(Duration::from_millis);
    plan.until = time.map(|time| Instant::now() + time);
    measure::interleave(&mut announced, plan, &mut protocol::print_run);
}

fn plan(workload: &Workload, settings: &Settings) -> Plan {
    Plan {
        rounds: workload.rounds,
        // One that wants a single round, whoever asks for fewer.
        keeps_first: workload.rounds == 1 && settings.rounds.is_none(),
        until: None,
        seed: settings.seed,
        expected: workload.expected.make(),
    }
}

fn progress(workload: &Workload, share: Share, run: &Run) {
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
    let (name, round) = (&workload.name, run.round);
    let rounds = workload.rounds.min(share.rounds);
    eprintln!("{name} {round}/{rounds} {}: {result}", run.candidate);
}
