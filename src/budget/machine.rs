//! The memory limit of this process: the machine's memory, or the limit of its control group.

/// Returns the bytes of memory of the machine, or the smallest limit of the control groups of this
/// process; `None` if the system reports neither. `read` returns the text of a file.
pub(super) fn memory_bytes(read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        kib.checked_mul(1024)
    });
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|line| group_bytes(line, read));
    limits.chain(machine).min()
}

/// Returns the smallest limit of a group, which a line of `/proc/self/cgroup` names, and of those
/// above it.
///
/// In a container the path may be that of the host, which does not exist there: then the root is
/// used.
fn group_bytes(line: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (root, file) = if number == "0" && controllers.is_empty() {
        ("/sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|name| name == "memory") {
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    let mut path = path.trim_end_matches('/');
    let mut least = None;
    loop {
        let text = read(&format!("{root}{path}/{file}"));
        // "max" is no number, and no limit.
        let limit = text.and_then(|text| text.trim().parse::<u64>().ok());
        least = least.into_iter().chain(limit).min();
        match path.rsplit_once('/') {
            Some((parent, _name)) => path = parent,
            None => return least,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       16384 kB\nMemFree:        1 kB\n";

    fn with(files: &[(&str, &str)]) -> Option<u64> {
        memory_bytes(&|path| {
            let found = files.iter().find(|(name, _)| *name == path);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn without_groups_the_machine_counts() {
        assert_eq!(with(&[("/proc/meminfo", MEMINFO)]), Some(16 << 20));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn the_tightest_group_above_counts_in_both_versions() {
        let second = [
            ("/proc/meminfo", MEMINFO),
            ("/proc/self/cgroup", "0::/a/b\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "8388608\n"),
        ];
        assert_eq!(with(&second), Some(8 << 20));
        let first = [
            ("/proc/meminfo", MEMINFO),
            ("/proc/self/cgroup", "9:cpu:/x\n4:memory,hugetlb:/a\n0::/\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "4194304\n"),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
        ];
        assert_eq!(with(&first), Some(4 << 20));
    }

    #[test]
    fn in_a_container_the_root_is_the_group() {
        let files = [
            ("/proc/meminfo", MEMINFO),
            ("/proc/self/cgroup", "0::/docker/of/the/host\n"),
            ("/sys/fs/cgroup/memory.max", "1048576\n"),
        ];
        assert_eq!(with(&files), Some(1 << 20));
    }
}
