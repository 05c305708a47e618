//! Runs the cases of a campaign in parallel, and sums up the results.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::job::Tally;
use crate::room::Room;

/// One way to try to break outcore.
pub(crate) struct Campaign {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Number of cases in the short and in the long tier.
    pub(crate) short: u64,
    pub(crate) long: u64,
    /// Whether a case needs the machine for itself.
    pub(crate) alone: bool,
    /// Bugs that it must find, and the number of cases for each.
    pub(crate) canaries: &'static [(&'static str, u64)],
    pub(crate) case: fn(&Case<'_>) -> Verdict,
}

/// One case: the seed determines everything.
pub(crate) struct Case<'a> {
    pub(crate) seed: u64,
    /// The workplace of this worker.
    pub(crate) room: &'a Room,
    /// The planted bug.
    pub(crate) bug: Option<&'static str>,
    /// The duration of a long case.
    pub(crate) seconds: u64,
    pub(crate) long: bool,
}

/// How a case ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    Passed(Tally),
    Failed(String),
    /// This machine cannot run the case.
    Skipped(String),
}

impl From<Result<Tally, String>> for Verdict {
    fn from(result: Result<Tally, String>) -> Self {
        match result {
            Ok(tally) => Self::Passed(tally),
            Err(why) => Self::Failed(why),
        }
    }
}

/// How much to run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) cases: u64,
    pub(crate) time: Option<Duration>,
    pub(crate) long: bool,
    pub(crate) bug: Option<&'static str>,
}

/// The results.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) cases: u64,
    pub(crate) failures: Vec<(u64, String)>,
    pub(crate) skipped: BTreeMap<String, u64>,
    pub(crate) tally: Tally,
    pub(crate) seconds: f64,
}

/// The campaign stops after this many failures.
const FAILURES_MAX: usize = 10;

/// Runs a campaign with one worker in each room.
pub(crate) fn run(campaign: &Campaign, plan: &Plan, rooms: &[Room]) -> Summary {
    let started = Instant::now();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let summary = Mutex::new(Summary::default());
    let rooms = if campaign.alone { &rooms[..1] } else { rooms };
    let work = |room: &Room| {
        while !stop.load(Relaxed) {
            let number = next.fetch_add(1, Relaxed);
            let over = match plan.time {
                // The first case always runs.
                Some(time) => started.elapsed() >= time && number > 0,
                None => number >= plan.cases,
            };
            if over || (campaign.alone && plan.time.is_some() && number > 0) {
                break;
            }
            let case = Case {
                seed: plan.seed.wrapping_add(number),
                room,
                bug: plan.bug,
                seconds: plan.time.map_or(0, |time| time.as_secs()),
                long: plan.long,
            };
            let verdict = (campaign.case)(&case);
            let mut summary = summary.lock().unwrap();
            match verdict {
                Verdict::Passed(tally) => {
                    summary.cases += 1;
                    summary.tally.merge(&tally);
                }
                Verdict::Skipped(why) => *summary.skipped.entry(why).or_default() += 1,
                Verdict::Failed(why) => {
                    summary.cases += 1;
                    summary.failures.push((case.seed, why));
                    let enough = plan.bug.is_some() || summary.failures.len() >= FAILURES_MAX;
                    stop.fetch_or(enough, Relaxed);
                }
            }
        }
    };
    thread::scope(|scope| {
        for room in rooms {
            scope.spawn(|| work(room));
        }
    });
    let mut summary = summary.into_inner().unwrap();
    summary.failures.sort();
    summary.seconds = started.elapsed().as_secs_f64();
    summary
}

impl Summary {
    /// Returns the closing line.
    pub(crate) fn line(&self, name: &str, seed: u64) -> String {
        let counts: Vec<String> = self
            .tally
            .0
            .iter()
            .map(|(what, count)| format!("{count} {}", what.replace('-', " ")))
            .collect();
        let skipped: u64 = self.skipped.values().sum();
        let mut line = format!(
            "{name}: {} cases, seed {seed}, {} failures, {skipped} skipped, {:.1} s",
            self.cases,
            self.failures.len(),
            self.seconds
        );
        if !counts.is_empty() {
            line.push_str(": ");
            line.push_str(&counts.join(", "));
        }
        line
    }
}
