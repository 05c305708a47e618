//! Limits of the process: file size, open files, addresses, data, mappings. An error that says so
//! and no signal; what is there stays and can be used.

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::job::{Job, Tally};
use crate::random::{Random, size};
use crate::runner::{Campaign, Case, Verdict};
use crate::sys;
use crate::work::CONTAINERS;

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "limits",
    about: "RLIMIT_FSIZE, _NOFILE, _AS, _DATA, and no more mappings: errors and no signals",
    short: 120,
    long: 2400,
    alone: false,
    canaries: &[("believe", 60), ("unasked", 5)],
    case,
};

/// Limits, in the order of the seeds; with the reasons that they may be.
const LIMITS: [(&str, &str, &str); 5] = [
    ("fsize", "FileTooLarge", ""),
    ("nofile", "Io", "Io"),
    ("as", "OutOfMemory,CapacityOverflow", "OutOfMemory,Io"),
    ("data", "OutOfMemory,CapacityOverflow", "OutOfMemory,Io"),
    ("maps", "OutOfMemory,CapacityOverflow", "OutOfMemory,Io"),
];

fn case(case: &Case<'_>) -> Verdict {
    let number = size(case.seed);
    let container = CONTAINERS[number % CONTAINERS.len()];
    let (limit, grow, io) = LIMITS[number / CONTAINERS.len() % LIMITS.len()];
    let value = value(limit, &mut Random::new(case.seed));
    let what = match case.bug {
        Some("unasked") => "bug-limits",
        _ => "work",
    };
    let job = Job::new(what, case.seed, &case.room.fresh("limits"))
        .with("container", container)
        .with("steps", 200)
        .with("bytes", 16 << 20)
        .with("limit", limit)
        .with("value", value)
        .with("grow", grow)
        .with("io", io)
        .with("steady-heap", 1)
        .bug(case.bug);
    let counted = |mut tally: Tally| {
        tally.add(&format!("of-{limit}"), 1);
        tally
    };
    let verdict = job.run().verdict().map(counted);
    let what = format!("{container}, {limit} {value}");
    verdict.map_err(|why| format!("{what}: {why}")).into()
}

/// Returns a limit; for addresses and data, beyond what is in use when it is set.
fn value(limit: &str, random: &mut Random) -> u64 {
    let below = |random: &mut Random, bits: &[u32]| {
        let bit = random.pick(bits);
        (1 << bit) + random.next() % (1 << bit)
    };
    match limit {
        "fsize" => below(random, &[0, 12, 16, 19, 21, 23]),
        "nofile" => random.next() % 4,
        "as" | "data" => below(random, &[12, 18, 22, 25, 28, 31]),
        _ => random.next() % 24,
    }
}

/// Sets the limit of this process, if the job has one.
pub(crate) fn set(job: &Job) {
    let value = job.number("value");
    let in_use = |index| {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = pages.split(' ').nth(index).unwrap().parse().unwrap();
        pages * rustix::param::page_size() as u64
    };
    let (resource, value) = match job.text("limit") {
        "fsize" => (Resource::Fsize, value),
        "nofile" => (
            Resource::Nofile,
            crate::work::open_descriptors() as u64 - 1 + value,
        ),
        "as" => (Resource::As, in_use(0) + value),
        "data" => (Resource::Data, in_use(5) + value),
        "maps" => return sys::use_up_mappings(size(value)),
        _ => return,
    };
    let limit = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(resource, limit).unwrap();
}

/// What a program does that does not ask for the limit of file size.
pub(crate) fn bug(job: &Job) {
    set(job);
    let bytes = vec![1; 16 << 20];
    drop(std::fs::write(job.dir().join("long"), bytes));
}
