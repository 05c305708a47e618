//! Vectors at limits of the process: queues that more goes through than a file may be long or a
//! process has addresses for, and more vectors than there may be files or mappings. An error and no
//! signal; a short queue goes on, and a short vector needs no file.

use crate::campaigns::limits::value;
use crate::job::{Job, Tally};
use crate::random::{Random, size};
use crate::runner::{Campaign, Case, Verdict};

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "vectors",
    about: "queues under RLIMIT_FSIZE, _AS and others, many short vectors without files or mappings",
    short: 40,
    long: 1200,
    alone: false,
    canaries: &[("believe", 60), ("never-cut", 30), ("files", 30)],
    case,
};

/// What is tried under which limit, with the reasons that a refusal may have: of what takes space,
/// and of any call.
const CASES: [(&str, &str, &str, &str); 10] = [
    ("queue", "fsize", "FileTooLarge", ""),
    ("many", "nofile", "Io", "Io"),
    ("queue", "as", OUT, OUT),
    ("many", "maps", OUT, OUT),
    ("queue", "lowered", "FileTooLarge", "FileTooLarge"),
    ("many", "as", OUT, OUT),
    ("queue", "maps", OUT, OUT),
    ("many", "nofile", "Io", "Io"),
    ("queue", "data", OUT, OUT),
    ("many", "data", OUT, OUT),
];

/// The reasons where addresses, mappings or memory end.
const OUT: &str = "OutOfMemory,CapacityOverflow,Io";

fn case(case: &Case<'_>) -> Verdict {
    let (container, limit, grow, io) = CASES[size(case.seed) % CASES.len()];
    // Each refusal for mappings counts all of them, to name the limit.
    let steps = match (container, limit) {
        ("many", "maps") => 2,
        (_, "maps") => 20,
        _ => 200,
    };
    let job = Job::new("work", case.seed, &case.room.fresh("vectors"))
        .with("container", container)
        .with("steps", steps)
        .with("limit", limit)
        .with("value", value(limit, &mut Random::new(case.seed)))
        .with("grow", grow)
        .with("io", io)
        .with("steady-heap", 1)
        .bug(case.bug);
    let counted = |mut tally: Tally| {
        tally.add(&format!("{container}-{limit}"), 1);
        tally
    };
    let verdict = job.run().verdict().map(counted);
    verdict
        .map_err(|why| format!("{container}, {limit} {}: {why}", job.number("value")))
        .into()
}
