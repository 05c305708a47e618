//! Limits of the process: file size, also one that changes all the time, open files, addresses, data,
//! mappings, and locked memory. Each is an error that names it, and no signal; existing data stays
//! usable.

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::job::{Job, Tally};
use crate::process::{check_memory, set_limit};
use crate::random::{Random, size};
use crate::runner::{Campaign, Case, Verdict};
use crate::sys;
use crate::work::CONTAINERS;

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "limits",
    about: "RLIMIT_FSIZE, also lowered later, _NOFILE, _AS, _DATA, no more mappings, mlockall: errors, no signals",
    short: 120,
    long: 2400,
    alone: false,
    canaries: &[("believe", 60), ("unasked", 5), ("stale", 5), ("mapped", 5)],
    case,
};

/// Limits, in the order of the seeds, and the kinds of errors that they may cause.
const LIMITS: [(&str, &str, &str); 7] = [
    ("fsize", "FileTooLarge", ""),
    ("nofile", "Io", "Io"),
    ("as", "OutOfMemory,CapacityOverflow", "OutOfMemory,Io"),
    ("data", "OutOfMemory,CapacityOverflow", "OutOfMemory,Io"),
    ("maps", "OutOfMemory,CapacityOverflow", "OutOfMemory,Io"),
    ("lowered", "FileTooLarge", "FileTooLarge"),
    ("locked", "OutOfMemory,CapacityOverflow", "OutOfMemory,Io"),
];

fn case(case: &Case<'_>) -> Verdict {
    let number = size(case.seed);
    let container = CONTAINERS[number % CONTAINERS.len()];
    let (limit, grow, io) = LIMITS[number / CONTAINERS.len() % LIMITS.len()];
    let locks = limit == "locked" || case.bug == Some("mapped");
    if locks && !sys::can_lock_memory() {
        return Verdict::Skipped("this user may lock hardly any memory".to_owned());
    }
    let value = value(limit, &mut Random::new(case.seed));
    let what = match case.bug {
        Some("unasked" | "stale" | "mapped") => "bug-limits",
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

/// Returns a limit; for addresses and data, in addition to what is in use when it is set.
pub(super) fn value(limit: &str, random: &mut Random) -> u64 {
    let below = |random: &mut Random, bits: &[u32]| {
        let bit = random.pick(bits);
        (1 << bit) + random.next() % (1 << bit)
    };
    match limit {
        "fsize" => below(random, &[0, 12, 16, 19, 21, 23]),
        "nofile" => random.next() % 4,
        "lowered" | "locked" => 0,
        "as" | "data" => below(random, &[12, 18, 22, 25, 28, 31]),
        _ => random.next() % 24,
    }
}

/// A program that checks the limit on the file size once or never, or that maps a file at its
/// maximum length.
pub(crate) fn bug(job: &Job) {
    if job.text("bug") == "mapped" {
        sys::lock_future_memory();
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(job.dir().join("long"));
        let file = file.unwrap();
        file.set_len(1 << 30).unwrap();
        let _mapped = sys::naive_map(&file, 1 << 30).unwrap();
        return check_memory(&Job::default().with("limit", "locked"));
    }
    if job.text("bug") == "stale" {
        let file = std::fs::File::create_new(job.dir().join("long")).unwrap();
        file.set_len(4 << 20).unwrap();
        let limit = Rlimit {
            current: Some(1 << 20),
            maximum: None,
        };
        setrlimit(Resource::Fsize, limit).unwrap();
        let refused = std::os::unix::fs::FileExt::write_at(&file, &[1; 100], 2 << 20);
        assert!(refused.is_err());
        return;
    }
    set_limit(job);
    let bytes = vec![1; 16 << 20];
    drop(std::fs::write(job.dir().join("long"), bytes));
}
