//! Limits of the process: file size, also one that changes all the time, open files, addresses, data,
//! mappings, and memory that is locked. An error that says so and no signal; what is there stays and
//! can be used.

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::job::{Job, Tally};
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

/// Limits, in the order of the seeds; with the reasons that they may be.
const LIMITS: [(&str, &str, &str); 7] = [
    ("fsize", "FileTooLarge", ""),
    ("nofile", "Io", "Io"),
    ("as", "OutOfMemory,CapacityOverflow", "OutOfMemory,Io"),
    ("data", "OutOfMemory,CapacityOverflow", "OutOfMemory,Io"),
    ("maps", "OutOfMemory,CapacityOverflow", "OutOfMemory,Io"),
    ("lowered", "FileTooLarge", "FileTooLarge"),
    ("locked", "OutOfMemory,CapacityOverflow", "OutOfMemory,Io"),
];

/// The addresses that a process with locked memory gets beyond what it uses: a map of all that an
/// allocator takes of them, 1 GiB, is found out and does no harm.
const LOCKED_ADDRESSES: u64 = 8 << 30;

/// How much more may come into memory there: buffers, windows, what the work keeps for itself, the
/// heap of the C library, and stacks.
const LOCKED_BYTES_MAX: u64 = 600 << 20;

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

/// Returns a limit; for addresses and data, beyond what is in use when it is set.
fn value(limit: &str, random: &mut Random) -> u64 {
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
        "locked" => {
            sys::lock_future_memory();
            (Resource::As, in_use(0) + LOCKED_ADDRESSES)
        }
        _ => return,
    };
    let limit = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(resource, limit).unwrap();
}

/// Sets another limit of file size, which the next call may lift.
pub(crate) fn change_file_size(random: &mut Random) {
    let limit = Rlimit {
        current: match random.below(3) {
            0 => None,
            _ => Some((1 << random.pick(&[0, 12, 16, 19, 21, 23])) + random.next() % 5000),
        },
        maximum: None,
    };
    setrlimit(Resource::Fsize, limit).unwrap();
}

/// Panics if a process with locked memory has had more in memory than its work explains.
pub(crate) fn check(job: &Job) {
    if job.text("limit") != "locked" {
        return;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let most = most.unwrap().trim().trim_end_matches(" kB");
    let most = most.parse::<u64>().unwrap() << 10;
    assert!(most < LOCKED_BYTES_MAX, "{most} bytes were in memory");
    crate::job::counted("max-locked-bytes", most);
}

/// What a program does that does not ask for the limit of file size, or only once; or that maps a
/// file as long as it may become.
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
        return check(&Job::default().with("limit", "locked"));
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
    set(job);
    let bytes = vec![1; 16 << 20];
    drop(std::fs::write(job.dir().join("long"), bytes));
}
