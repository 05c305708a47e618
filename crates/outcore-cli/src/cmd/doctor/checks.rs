//! What the facts mean for outcore, and what to change.

use std::borrow::Cow;

use outcore::{ScratchReport, Stats};

use crate::cmd::doctor::facts::{Bound, Facts};
use crate::memory::cgroup;
use crate::size::{format_bytes, format_count};

/// Fewer open files than this run out with a handful of containers.
const OPEN_FILES_MIN: u64 = 256;

/// What Linux sets by default.
const MAPPINGS_DEFAULT: u64 = 65_530;

/// Above this, read-ahead is tuned for scans and hurts single reads.
const READ_AHEAD_KIB_MAX: u64 = 512;

/// Below this, a disk is full soon.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    /// Works, and may disappoint.
    Look,
    /// Refused.
    Bad,
}

/// One fact and what follows from it.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) verdict: Verdict,
    pub(crate) meaning: Cow<'static, str>,
    /// What to do, unless all is well.
    pub(crate) change: Option<String>,
}

impl Check {
    fn new(
        name: &'static str,
        value: impl Into<String>,
        meaning: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            name,
            value: value.into(),
            verdict: Verdict::Ok,
            meaning: meaning.into(),
            change: None,
        }
    }

    /// Lowers the verdict where `applies`, and says what to do.
    fn unless(mut self, applies: bool, verdict: Verdict, change: impl Into<String>) -> Self {
        if applies {
            self.verdict = verdict;
            self.change = Some(change.into());
        }
        self
    }
}

/// What there is to say about a directory that cannot be used, with the error.
pub(crate) fn no_directory(error: &str) -> Check {
    Check::new(
        "file system",
        "not known",
        format!("Scratch files need a directory in which this user can create files: {error}"),
    )
    .unless(
        true,
        Verdict::Bad,
        "create the directory, or name another as DIR, with OUTCORE_DIR or --tmp",
    )
}

/// Judges the directory.
pub(crate) fn directory(report: &ScratchReport) -> Vec<Check> {
    let place = match (report.ram_backed, report.network) {
        (true, _) => "in memory",
        (false, true) => "on another machine",
        (false, false) => "on this machine",
    };
    let free = report.free_bytes;
    vec![
        Check::new(
            "file system",
            format!("{}, {place}", report.file_system),
            "Holds what is not in memory.",
        )
        .unless(
            report.network,
            Verdict::Look,
            "name a local directory: reads over a network are slow, and less is promised",
        )
        .unless(
            report.ram_backed,
            Verdict::Bad,
            "name a directory on a disk, such as OUTCORE_DIR=/var/tmp: what is written here takes \
             the memory that it should save",
        ),
        Check::new(
            "free space",
            format!(
                "{} of {}",
                format_bytes(free),
                format_bytes(report.total_bytes)
            ),
            "Scratch files grow until it is used up; then there is an error, not a crash.",
        )
        .unless(
            free < FREE_BYTES_MIN,
            Verdict::Look,
            "free some, or name another directory with OUTCORE_DIR or --tmp",
        ),
    ]
}

/// Says what the page cache keeps of what is written, for a process that has written something.
pub(crate) fn page_cache(stats: &Stats) -> Check {
    let value = match stats.cache_share_bytes {
        0 => "as much as the kernel keeps".to_owned(),
        share => format!("{} of what is written", format_bytes(share)),
    };
    let meaning = "Beyond it, what was written first is written back and dropped, so that writing \
                   past memory runs at the speed of the device.";
    Check::new("page cache", value, meaning)
}

/// Judges the limits and settings. What the system does not tell is left out.
pub(crate) fn limits(facts: &Facts) -> Vec<Check> {
    let known = [
        open_files(facts),
        mappings(facts),
        facts.address_space.map(address_space),
        facts.private_memory.map(private_memory),
        facts.file_len.map(file_len),
        facts.machine_bytes.map(machine),
        Some(control_group(facts.cgroup.as_ref())),
        Some(read_ahead(facts)),
        facts.io_uring_disabled.map(io_uring),
        facts.huge_pages.as_deref().map(huge_pages),
    ];
    known.into_iter().flatten().collect()
}

fn shown(bound: Bound, format: impl Fn(u64) -> String) -> String {
    bound.0.map_or_else(|| "unlimited".to_owned(), format)
}

fn open_files(facts: &Facts) -> Option<Check> {
    let (soft, hard) = facts.open_files?;
    let value = format!(
        "{}, can be raised to {}",
        shown(soft, format_count),
        shown(hard, format_count)
    );
    let meaning =
        "Each vector of more than 64 KiB keeps one open, an arena one a writer, at most 16.";
    Some(Check::new("open files", value, meaning).unless(
        soft.0.is_some_and(|soft| soft < OPEN_FILES_MIN),
        Verdict::Look,
        "ulimit -n 4096, or LimitNOFILE=4096 in a systemd unit",
    ))
}

fn mappings(facts: &Facts) -> Option<Check> {
    let (used, max) = (facts.mappings?, facts.mappings_max?);
    let value = format!("{} of {}", format_count(used), format_count(max));
    let meaning =
        "A vector of more than 64 KiB takes three; without any, small allocations fail too.";
    let few = max < MAPPINGS_DEFAULT || used > max / 4 * 3;
    Some(Check::new("mappings", value, meaning).unless(
        few,
        Verdict::Look,
        "sysctl -w vm.max_map_count=262144",
    ))
}

fn address_space(bound: Bound) -> Check {
    Check::new(
        "address space",
        shown(bound, format_bytes),
        "Containers that grow in place reserve addresses far beyond their length.",
    )
    .unless(
        bound.0.is_some(),
        Verdict::Look,
        "ulimit -v unlimited; with a limit they reserve less, and large ones are refused",
    )
}

fn private_memory(bound: Bound) -> Check {
    Check::new(
        "private memory",
        shown(bound, format_bytes),
        "The heap and write buffers of a process; maps of scratch files do not count.",
    )
    .unless(
        bound.0.is_some(),
        Verdict::Look,
        "ulimit -d unlimited, unless it is there to keep the heap small",
    )
}

fn file_len(bound: Bound) -> Check {
    Check::new(
        "file size",
        shown(bound, format_bytes),
        "No scratch file gets longer; growth beyond it is an error.",
    )
    .unless(bound.0.is_some(), Verdict::Look, "ulimit -f unlimited")
}

fn machine(bytes: u64) -> Check {
    Check::new(
        "memory",
        format_bytes(bytes),
        "Dedup takes at most half of it, or of the group's, unless --memory says otherwise.",
    )
}

fn control_group(limit: Option<&cgroup::Limit>) -> Check {
    let value = match limit {
        None => "none".to_owned(),
        Some(limit) => match limit.bytes {
            None => format!("version {}, no limit", limit.version),
            Some(bytes) => format!(
                "version {}, {} in {}",
                limit.version,
                format_bytes(bytes),
                limit.group
            ),
        },
    };
    let stalls = limit.is_some_and(|limit| limit.version == 1 && limit.bytes.is_some());
    Check::new(
        "memory cgroup",
        value,
        "Counts cached pages of scratch files beside the heap, and drops them when it is full.",
    )
    .unless(
        stalls,
        Verdict::Look,
        "run under version 2 if you can: version 1 does not slow down writers in time, and long \
         writes may stall",
    )
}

fn read_ahead(facts: &Facts) -> Check {
    let meaning = "What the first touch of a mapped place reads around it.";
    let Some(device) = &facts.device else {
        return Check::new("read-ahead", "not known for this directory", meaning);
    };
    let value = format!("{} KiB on {}", device.read_ahead_kib, device.name);
    Check::new("read-ahead", value, meaning).unless(
        device.read_ahead_kib > READ_AHEAD_KIB_MAX,
        Verdict::Look,
        format!(
            "echo 128 > {}, or Advice::Random in the program: single reads through a map pay for \
             all of it",
            device.setting
        ),
    )
}

fn io_uring(disabled: u64) -> Check {
    let value = match disabled {
        0 => "allowed",
        1 => "for one group of users only",
        _ => "switched off",
    };
    Check::new(
        "io_uring",
        value,
        "A way to ask for many reads at once. Nothing depends on it.",
    )
}

fn huge_pages(chosen: &str) -> Check {
    Check::new(
        "huge pages",
        chosen,
        "With always, memory comes in pieces of 2 MiB: resident is a little more than used.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::doctor::facts::Device;

    /// A machine with nothing to complain about.
    fn healthy() -> Facts {
        Facts {
            open_files: Some((Bound(Some(1024)), Bound(None))),
            address_space: Some(Bound(None)),
            private_memory: Some(Bound(None)),
            file_len: Some(Bound(None)),
            mappings: Some(50),
            mappings_max: Some(MAPPINGS_DEFAULT),
            machine_bytes: Some(8 << 30),
            cgroup: Some(cgroup::Limit {
                version: 2,
                group: "/box".to_owned(),
                bytes: Some(4 << 30),
            }),
            device: Some(Device {
                name: "vda".to_owned(),
                read_ahead_kib: 128,
                setting: "/sys/block/vda/queue/read_ahead_kb".to_owned(),
            }),
            io_uring_disabled: Some(0),
            huge_pages: Some("madvise".to_owned()),
        }
    }

    fn complaints(facts: &Facts) -> Vec<&'static str> {
        let checks = limits(facts).into_iter();
        let bad = checks.filter(|check| check.verdict != Verdict::Ok);
        bad.inspect(|check| assert!(check.change.is_some(), "{check:?}"))
            .map(|check| check.name)
            .collect()
    }

    #[test]
    fn a_healthy_machine_has_no_complaints() {
        assert!(complaints(&healthy()).is_empty());
        assert!(complaints(&Facts::default()).is_empty());
        assert_eq!(limits(&healthy()).len(), 10);
    }

    #[test]
    fn every_planted_illness_is_found() {
        type Plant = fn(&mut Facts);
        let planted: [(&str, Plant); 8] = [
            ("open files", |facts| {
                facts.open_files = Some((Bound(Some(64)), Bound(Some(64))));
            }),
            ("mappings", |facts| facts.mappings = Some(60_000)),
            ("mappings", |facts| facts.mappings_max = Some(1000)),
            ("address space", |facts| {
                facts.address_space = Some(Bound(Some(1 << 30)));
            }),
            ("private memory", |facts| {
                facts.private_memory = Some(Bound(Some(1 << 30)));
            }),
            ("file size", |facts| {
                facts.file_len = Some(Bound(Some(1 << 20)));
            }),
            ("memory cgroup", |facts| {
                if let Some(limit) = &mut facts.cgroup {
                    limit.version = 1;
                }
            }),
            ("read-ahead", |facts| {
                if let Some(device) = &mut facts.device {
                    device.read_ahead_kib = 8192;
                }
            }),
        ];
        for (name, plant) in planted {
            let mut facts = healthy();
            plant(&mut facts);
            assert_eq!(complaints(&facts), [name]);
        }
    }
}
