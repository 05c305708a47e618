//! System calls that fail in the kernel: a child works on a container under `strace`, which fails
//! the k-th call of one name. A refusal is an error, and the container is unchanged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use crate::job::{Ended, Job, Tally, exe};
use crate::random::{Random, size};
use crate::room::has_program;
use crate::runner::{Campaign, Case, Verdict};
use crate::work::CONTAINERS;

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "inject",
    about: "the k-th system call of a name fails, by strace: ENOSPC, EIO, ENOMEM, EINTR and others",
    short: 300,
    long: 6000,
    alone: false,
    canaries: &[("believe", 300)],
    case,
};

/// Calls, and the errors that they can return.
const CALLS: [(&str, &[&str]); 20] = [
    ("openat", &["EMFILE", "ENFILE", "EACCES", "EINTR", "ENOMEM"]),
    ("fallocate", &["ENOSPC", "EDQUOT", "EIO", "EINTR", "EFBIG"]),
    ("ftruncate", &["EIO", "EINTR"]),
    ("mmap", &["ENOMEM", "EAGAIN"]),
    ("mprotect", &["ENOMEM"]),
    ("mremap", &["ENOMEM", "EAGAIN"]),
    ("madvise", &["ENOMEM", "EAGAIN", "EIO"]),
    ("munmap", &["ENOMEM"]),
    ("pwrite64", &["EIO", "EINTR", "ENOSPC", "EDQUOT"]),
    ("pread64", &["EIO", "EINTR"]),
    ("preadv2", &["EIO", "EINTR", "EOPNOTSUPP", "EAGAIN"]),
    ("fdatasync", &["EIO", "ENOSPC", "EINTR"]),
    ("fsync", &["EIO", "ENOSPC", "EINTR"]),
    ("linkat", &["ENOSPC", "EIO", "EACCES"]),
    ("renameat2", &["ENOSPC", "EIO", "EACCES"]),
    ("renameat", &["ENOSPC", "EIO", "EACCES"]),
    ("fadvise64", &["EINVAL", "EIO"]),
    ("statx", &["EIO", "EINTR"]),
    ("fstatfs", &["EIO", "EINTR"]),
    ("io_uring_setup", &["EPERM", "ENOSYS", "ENOMEM"]),
];

/// The call that marks the start and the end of the work.
const MARK: &str = "getpgid";

/// Workloads for each container: few, so that their calls are counted once.
const WORKLOADS: u64 = 4;

/// How often a workload makes each call: before its work, and up to its end.
type Counts = BTreeMap<String, (u64, u64)>;

static COUNTED: Mutex<BTreeMap<(String, u64, bool), Counts>> = Mutex::new(BTreeMap::new());

fn case(case: &Case<'_>) -> Verdict {
    on_one_of(case, &CONTAINERS)
}

/// Fails a call of the work on one of these containers.
pub(super) fn on_one_of(case: &Case<'_>, containers: &[&str]) -> Verdict {
    if !has_program("strace") {
        return Verdict::Skipped("no strace".to_owned());
    }
    let container = containers[size(case.seed) % containers.len()];
    let mut random = Random::new(case.seed);
    let workload = random.next() % WORKLOADS;
    let job = Job::new("work", workload, &case.room.fresh("inject"))
        .with("container", container)
        .with("steps", 60)
        .with("bytes", 3 << 20)
        .with(
            "grow",
            "StorageFull,FileTooLarge,OutOfMemory,Io,CapacityOverflow",
        )
        .with("io", "StorageFull,FileTooLarge,OutOfMemory,Io")
        .with("steady-heap", 1)
        .with("leaks-allowed", 1)
        .bug(case.bug);
    let log = case.room.path().join("trace");
    let key = (container.to_owned(), workload, case.bug.is_some());
    let known = COUNTED.lock().unwrap().get(&key).cloned();
    let counts = match known.map_or_else(|| count(&job, &log), Ok) {
        Ok(counts) => counts,
        Err(why) => return Verdict::Skipped(why),
    };
    COUNTED.lock().unwrap().insert(key, counts.clone());
    let made: Vec<_> = CALLS
        .iter()
        .filter_map(|(call, errors)| Some((*call, *errors, *counts.get(*call)?)))
        .filter(|(_, _, (before, all))| all > before)
        .collect();
    let (call, errors, (before, all)) = made[random.below(made.len())];
    let nth = before + 1 + random.next() % (all - before);
    let error = random.pick(errors);
    let lasting = if random.once_in(4) && error != "EINTR" {
        "+"
    } else {
        ""
    };
    let plan = format!("{call}:error={error}:when={nth}{lasting}");
    // `fresh` again: the counting run worked in it.
    case.room.fresh("inject");
    let ended = traced(&job, &log, call, Some(&plan));
    let met = fs::read_to_string(&log)
        .unwrap_or_default()
        .matches("(INJECTED)")
        .count();
    let verdict = ended.verdict().map(|mut tally| {
        tally.add("failed-calls", met as u64);
        tally.add("cases-that-met-one", u64::from(met > 0));
        tally
    });
    let what = format!("{container}: {plan}");
    verdict.map_err(|why| format!("{what}: {why}")).into()
}

/// Runs a job under a trace of `calls`.
fn traced(job: &Job, log: &Path, calls: &str, plan: Option<&str>) -> Ended {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(log);
    command.args(["-e", &format!("trace={calls}")]);
    if let Some(plan) = plan {
        command.args(["-e", &format!("inject={plan}")]);
    }
    command.arg(exe()).args(job.arguments());
    job.prepare(&mut command);
    Ended::of(command)
}

/// Counts the calls of a workload.
fn count(job: &Job, log: &Path) -> Result<Counts, String> {
    let calls: Vec<&str> = CALLS.iter().map(|(call, _)| *call).collect();
    let ended = traced(job, log, &format!("{MARK},{}", calls.join(",")), None);
    let trace = fs::read_to_string(log).unwrap_or_default();
    ended
        .verdict()
        .map(|_: Tally| ())
        .map_err(|why| format!("strace cannot run here: {why}"))?;
    let mut counts = Counts::new();
    let mut marks = 0;
    // Each line is a process, then a call; only the first thread counts.
    let first = trace.split_whitespace().next().unwrap_or_default();
    for line in trace.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some(first) {
            continue;
        }
        let call = words.next().unwrap_or_default();
        let call = call.split('(').next().unwrap_or_default();
        if call == MARK {
            marks += 1;
            continue;
        }
        if let Some((call, _)) = CALLS.iter().find(|(known, _)| *known == call) {
            let (before, all) = counts.entry((*call).to_owned()).or_default();
            *before += u64::from(marks == 0);
            *all += u64::from(marks < 2);
        }
    }
    if marks < 2 {
        return Err("strace shows no marks".to_owned());
    }
    Ok(counts)
}
