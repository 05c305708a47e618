//! Random operations on each container against its model, also while it is evicted; and threads on
//! shared containers. No operation is refused here.

use crate::job::Job;
use crate::random::size;
use crate::runner::{Campaign, Case, Verdict};
use crate::work::CONTAINERS;

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "ops",
    about: "random operations on each container against a model, and threads on shared ones",
    short: 60,
    long: 12_000,
    alone: false,
    canaries: &[("lose", 12)],
    case,
};

fn case(case: &Case<'_>) -> Verdict {
    let chosen = size(case.seed) % (CONTAINERS.len() + 1);
    let container = CONTAINERS.get(chosen).copied().unwrap_or("stress");
    let steps = if container == "stress" { 200 } else { 400 };
    let job = Job::new("work", case.seed, &case.room.fresh("ops"))
        .with("container", container)
        .with("steps", steps)
        .with("bytes", 16 << 20)
        .bug(case.bug);
    let verdict = job
        .run()
        .verdict()
        .map_err(|why| format!("{container}: {why}"));
    verdict.into()
}
