//! Memory: what the machine has, what this process takes, what it may take.

pub(crate) mod budget;
pub(crate) mod cgroup;

use std::fs;

use rustix::process::{Resource, getrlimit};

use self::cgroup::Limit;

/// Assumed where the system does not tell: a small machine.
const MACHINE_BYTES_ASSUMED: u64 = 2 << 30;

/// Returns how many bytes of this process are resident now, where the system tells.
pub(crate) fn resident_bytes() -> Option<u64> {
    kilobytes_of(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS")
}

/// Returns the most bytes that were ever resident at once, where the system tells.
pub(crate) fn peak_resident_bytes() -> Option<u64> {
    kilobytes_of(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM")
}

/// Returns how many resident bytes are private, and how many are of mapped files, where
/// the system tells.
pub(crate) fn resident_kinds() -> Option<(u64, u64)> {
    kinds_of("self")
}

/// Returns the same of another process.
pub(crate) fn resident_kinds_of(process: u32) -> Option<(u64, u64)> {
    kinds_of(&process.to_string())
}

fn kinds_of(process: &str) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    Some((
        kilobytes_of(&status, "RssAnon")?,
        kilobytes_of(&status, "RssFile")?,
    ))
}

/// Returns how many bytes another process has read so far, from files and pipes, where the system
/// tells.
pub(crate) fn read_bytes_of(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/io")).ok()?;
    let bytes = text.lines().find_map(|line| line.strip_prefix("rchar:"))?;
    bytes.trim().parse().ok()
}

/// Returns the size of the machine's memory, where the system tells.
pub(crate) fn machine_bytes() -> Option<u64> {
    kilobytes_of(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

/// Returns the limit on resident memory: what the user asked for, or else half of what the machine
/// or the memory cgroup has; and in any case no more than the limits of the process leave room for.
pub(crate) fn limit_bytes(asked: Option<u64>) -> u64 {
    let limit = asked.unwrap_or_else(|| half_of(machine_bytes(), cgroup::limit()));
    // The rest is for threads, and for what is reserved and not resident.
    let resident = resident_bytes().unwrap_or(0);
    mappable_bytes().map_or(limit, |bytes| limit.min(resident + bytes / 4))
}

/// Addresses that a thread may take before it does anything: its stack, and 64 MiB from which its
/// allocations come, which glibc finds by mapping twice as much.
const THREAD_BYTES: u64 = 128 << 20;

/// Returns how many threads the limits of the process leave room for, this one included.
pub(crate) fn threads_max() -> u64 {
    mappable_bytes().map_or(u64::MAX, |bytes| 1 + bytes / 2 / THREAD_BYTES)
}

/// Returns how many more bytes of memory this process may map, where it has a limit on addresses or
/// on private memory (`ulimit -v`, `ulimit -d`).
pub(crate) fn mappable_bytes() -> Option<u64> {
    let limits = [(Resource::As, "VmSize"), (Resource::Data, "VmData")];
    let limits = limits.map(|(resource, used)| (getrlimit(resource).current, used));
    if limits.iter().all(|(limit, _)| limit.is_none()) {
        return None;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let free = limits.into_iter().filter_map(|(limit, used)| {
        let used = kilobytes_of(&status, used).unwrap_or(0);
        Some(limit?.saturating_sub(used))
    });
    free.min()
}

fn half_of(machine_bytes: Option<u64>, cgroup: Option<Limit>) -> u64 {
    let machine = machine_bytes.unwrap_or(MACHINE_BYTES_ASSUMED);
    let cgroup = cgroup.and_then(|limit| limit.bytes).unwrap_or(u64::MAX);
    machine.min(cgroup) / 2
}

/// Finds a line `field: 123 kB` and returns the bytes.
fn kilobytes_of(text: &str, field: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_are_read() {
        let text = "Name:\toutcore\nVmHWM:\t    5120 kB\nVmRSS:\t    4096 kB\n";
        assert_eq!(kilobytes_of(text, "VmHWM"), Some(5120 << 10));
        assert_eq!(kilobytes_of(text, "VmRSS"), Some(4096 << 10));
        assert_eq!(kilobytes_of(text, "Vm"), None);
        assert_eq!(kilobytes_of(text, "Name"), None);
    }

    #[test]
    fn the_default_is_half_of_the_smaller_one() {
        let cgroup = |bytes| {
            Some(Limit {
                version: 2,
                group: "/".to_owned(),
                bytes,
            })
        };
        assert_eq!(half_of(Some(8 << 30), None), 4 << 30);
        assert_eq!(half_of(Some(8 << 30), cgroup(None)), 4 << 30);
        assert_eq!(half_of(Some(8 << 30), cgroup(Some(1 << 30))), 1 << 29);
        assert_eq!(half_of(None, None), MACHINE_BYTES_ASSUMED / 2);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_here() {
        let peak = peak_resident_bytes().unwrap();
        assert!(resident_bytes().unwrap() <= peak);
        assert!(peak <= machine_bytes().unwrap());
    }
}
