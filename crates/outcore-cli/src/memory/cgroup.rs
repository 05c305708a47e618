//! The memory control group of this process: its limit, or the lowest above it.

use std::fs;
use std::path::{Path, PathBuf};

/// Above this a limit means none: version 1 says "none" with a number near 2^63.
const UNLIMITED_BYTES: u64 = 1 << 60;

/// Where systems mount the hierarchies.
const MOUNT: &str = "/sys/fs/cgroup";

/// What the control groups allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// 1 or 2.
    pub(crate) version: u8,
    /// The group that sets the limit, or the own one where none does.
    pub(crate) group: String,
    /// The lowest limit between the own group and the top.
    pub(crate) bytes: Option<u64>,
}

/// Returns the limit of this process; `None` where there is no memory controller.
pub(crate) fn limit() -> Option<Limit> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_of(&own, &|path| {
        fs::read_to_string(Path::new(MOUNT).join(path)).ok()
    })
}

/// A file below the mount, if it is there.
type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// Finds the limit for a process whose groups are `own`, the text of
/// `/proc/self/cgroup`.
///
/// A machine may have both versions mounted. The memory controller is then in one of
/// them, and version 1 names it if it is there.
fn limit_of(own: &str, read: Read<'_>) -> Option<Limit> {
    let mut unified = None;
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        if controllers.split(',').any(|name| name == "memory") {
            return lowest("memory", group, "memory.limit_in_bytes", 1, read);
        }
        if controllers.is_empty() {
            unified = Some(group);
        }
    }
    let group = unified?;
    lowest("", group, "memory.max", 2, read)
        .or_else(|| lowest("unified", group, "memory.max", 2, read))
}

/// Returns the lowest limit on the way from `group` up to the mount.
///
/// In a container the path may name a group that only the host can see. It is
/// skipped: what is mounted at the top is then the container's own group.
fn lowest(mount: &str, group: &str, file: &str, version: u8, read: Read<'_>) -> Option<Limit> {
    let mut found: Option<Limit> = None;
    let mut path = PathBuf::from(group.trim_start_matches('/'));
    loop {
        if let Some(text) = read(&Path::new(mount).join(&path).join(file)) {
            let bytes = text.trim().parse().ok().filter(|&b| b < UNLIMITED_BYTES);
            let lowest_bytes = found.as_ref().and_then(|limit| limit.bytes);
            let lower = bytes.is_some_and(|bytes| lowest_bytes.is_none_or(|lowest| bytes < lowest));
            if lower || found.is_none() {
                found = Some(Limit {
                    version,
                    group: format!("/{}", path.display()),
                    bytes,
                });
            }
        }
        if !path.pop() {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(own: &str, files: &[(&str, &str)]) -> Option<Limit> {
        limit_of(own, &|path| {
            let file = files.iter().find(|(name, _)| path == Path::new(name))?;
            Some(file.1.to_owned())
        })
    }

    fn limit(version: u8, group: &str, bytes: Option<u64>) -> Limit {
        let group = group.to_owned();
        Limit {
            version,
            group,
            bytes,
        }
    }

    #[test]
    fn the_lowest_limit_above_a_group_counts() {
        let own = "0::/a/b/c\n";
        let files = [
            ("a/b/c/memory.max", "max\n"),
            ("a/b/memory.max", "1000\n"),
            ("a/memory.max", "3000\n"),
        ];
        assert_eq!(find(own, &files), Some(limit(2, "/a/b", Some(1000))));
        assert_eq!(find(own, &files[2..]), Some(limit(2, "/a", Some(3000))));
        assert_eq!(find(own, &files[..1]), Some(limit(2, "/a/b/c", None)));
    }

    #[test]
    fn version_1_is_taken_where_it_has_the_memory_controller() {
        let own = "5:devices:/\n4:cpu,memory:/jail\n0::/\n";
        let none = "9223372036854771712\n";
        let files = [
            ("memory/jail/memory.limit_in_bytes", "4096\n"),
            ("memory/memory.limit_in_bytes", none),
            ("unified/memory.max", "1\n"),
        ];
        assert_eq!(find(own, &files), Some(limit(1, "/jail", Some(4096))));
        let open = [("memory/memory.limit_in_bytes", none)];
        assert_eq!(find(own, &open), Some(limit(1, "/", None)));
    }

    #[test]
    fn a_group_that_only_the_host_sees_is_skipped() {
        let own = "0::/kubepods/pod1/box\n";
        let files = [("memory.max", "2048\n")];
        assert_eq!(find(own, &files), Some(limit(2, "/", Some(2048))));
    }

    #[test]
    fn without_a_controller_there_is_no_limit() {
        assert_eq!(find("1:cpu:/\n", &[]), None);
        assert_eq!(find("0::/\n", &[]), None);
        assert_eq!(find("nonsense", &[]), None);
    }
}
