//! The memory limit of this process: the machine's memory, or the limit of its control group.

/// Returns the bytes of memory of the machine, or the smallest limit of the control groups of this
/// process; `None` if the system reports neither. `read` returns the text of a file.
pub(super) fn memory_bytes(read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let machine = meminfo("MemTotal:", read);
    let limits = groups(read).into_iter().map(|group| group.limit);
    limits.chain(machine).min()
}

/// Returns the bytes of memory that this process could have without the kernel having to swap, or to
/// refuse: those of the machine, or what a control group leaves. What files have in the page cache
/// counts as available, since the kernel can drop it. `None` where the system does not say.
pub(super) fn available_bytes(read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let machine = meminfo("MemAvailable:", read)?;
    // Most groups have no limit, and need no second look.
    let tight = groups(read).into_iter();
    let tight = tight.filter(|group| group.limit < machine);
    let left = tight.map(|group| group.available_bytes(read).unwrap_or(group.limit));
    left.chain([machine]).min()
}

/// Returns a number of `/proc/meminfo` in bytes.
fn meminfo(name: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let text = read("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// A memory control group that has a limit.
struct Group {
    /// Its directory.
    path: String,
    limit: u64,
    /// How the version of control groups calls what the group uses, and the lists of its files' pages.
    usage: &'static str,
    lists: [&'static str; 2],
}

impl Group {
    /// Returns the limit less what is in use and no page of a file.
    fn available_bytes(&self, read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
        let usage = read(&format!("{}/{}", self.path, self.usage))?;
        let usage: u64 = usage.trim().parse().ok()?;
        let stat = read(&format!("{}/memory.stat", self.path))?;
        let number = |line: &str| -> Option<u64> {
            let (name, number) = line.split_once(' ')?;
            self.lists.contains(&name).then(|| number.parse().ok())?
        };
        let cached = stat.lines().filter_map(number).fold(0, u64::saturating_add);
        Some(self.limit.saturating_sub(usage.saturating_sub(cached)))
    }
}

/// Returns the groups of this process, and those above them, that have a limit.
fn groups(read: &dyn Fn(&str) -> Option<String>) -> Vec<Group> {
    let mut found = Vec::new();
    for line in read("/proc/self/cgroup").unwrap_or_default().lines() {
        groups_of(line, read, &mut found);
    }
    found
}

/// Adds the group that a line of `/proc/self/cgroup` names, and those above it.
///
/// In a container the path may be that of the host, which does not exist there: then the root is
/// used.
fn groups_of(line: &str, read: &dyn Fn(&str) -> Option<String>, found: &mut Vec<Group>) {
    let mut fields = line.splitn(3, ':');
    let (Some(number), Some(controllers), Some(path)) =
        (fields.next(), fields.next(), fields.next())
    else {
        return;
    };
    let (root, file, usage, lists) = if number == "0" && controllers.is_empty() {
        let lists = ["inactive_file", "active_file"];
        ("/sys/fs/cgroup", "memory.max", "memory.current", lists)
    } else if controllers.split(',').any(|name| name == "memory") {
        let lists = ["total_inactive_file", "total_active_file"];
        let (limit, usage) = ("memory.limit_in_bytes", "memory.usage_in_bytes");
        ("/sys/fs/cgroup/memory", limit, usage, lists)
    } else {
        return;
    };
    let mut path = path.trim_end_matches('/');
    loop {
        let text = read(&format!("{root}{path}/{file}"));
        // "max" is no number, and no limit.
        if let Some(limit) = text.and_then(|text| text.trim().parse::<u64>().ok()) {
            let path = format!("{root}{path}");
            found.push(Group {
                path,
                limit,
                usage,
                lists,
            });
        }
        match path.rsplit_once('/') {
            Some((parent, _name)) => path = parent,
            None => return,
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

    /// What a group has of the page cache is not lost for it: the kernel can drop that.
    #[test]
    fn what_is_available_is_what_a_limit_leaves_besides_the_page_cache() {
        let available = |files: &[(&str, &str)]| {
            available_bytes(&|path| {
                let found = files.iter().find(|(name, _)| *name == path);
                found.map(|(_, text)| (*text).to_owned())
            })
        };
        let meminfo = "MemTotal: 16384 kB\nMemFree: 1 kB\nMemAvailable: 8192 kB\n";
        let machine = ("/proc/meminfo", meminfo);
        assert_eq!(available(&[machine]), Some(8 << 20));
        assert_eq!(available(&[("/proc/meminfo", MEMINFO)]), None);
        let second = [
            machine,
            ("/proc/self/cgroup", "0::/a\n"),
            ("/sys/fs/cgroup/a/memory.max", "1000000\n"),
            ("/sys/fs/cgroup/a/memory.current", "900000\n"),
            (
                "/sys/fs/cgroup/a/memory.stat",
                "anon 1\ninactive_file 300000\nactive_file 200000\nfile 7\n",
            ),
        ];
        assert_eq!(available(&second), Some(600_000));
        let first = [
            machine,
            ("/proc/self/cgroup", "4:memory:/a\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000000\n"),
            ("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "990000\n"),
            (
                "/sys/fs/cgroup/memory/a/memory.stat",
                "inactive_file 5\ntotal_inactive_file 90000\ntotal_active_file 10000\n",
            ),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
        ];
        assert_eq!(available(&first), Some(110_000));
        // A group that does not say what it uses may use nothing.
        assert_eq!(available(&second[..3]), Some(1_000_000));
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
