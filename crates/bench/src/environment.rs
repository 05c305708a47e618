//! The facts of a machine that decide what its numbers mean. No host names, no paths.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::full_cache;
use crate::limit::{self, Version};
use crate::machine::{self, Device};

/// Facts in the order of the record.
pub type Facts = Vec<(String, String)>;

/// What the harness does between the runs of isolated candidates.
const BETWEEN_RUNS: &str = "files dropped, sync, wait until the device is idle";

/// Collects the facts. `lock` is the text of `Cargo.lock`, from which the versions of
/// `crates` come; `command` is what was called.
pub fn facts(dir: &Path, lock: &str, crates: &[&str], command: &str) -> Facts {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    add("date", date_and_time());
    add("command", command.to_owned());
    add("git_commit", git_commit());
    add("rustc", env!("BENCH_RUSTC").to_owned());
    add("target", env!("BENCH_TARGET").to_owned());
    add("opt_level", env!("BENCH_OPT_LEVEL").to_owned());
    add("rustflags", without_slashes(env!("BENCH_RUSTFLAGS")));
    for name in crates {
        let version = version_in(lock, name).unwrap_or("unknown");
        add(&format!("version_{name}"), version.to_owned());
    }
    add("cpu", cpu_model());
    add("cores", cores().to_string());
    let virtual_machine = if is_virtual() { "yes" } else { "no" };
    add("virtual_machine", virtual_machine.to_owned());
    let governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    add("cpu_governor", read(governor));
    add("memory_total", line_of("/proc/meminfo", "MemTotal"));
    add("swap_total", line_of("/proc/meminfo", "SwapTotal"));
    add("kernel", read("/proc/sys/kernel/osrelease"));
    let huge_pages = "/sys/kernel/mm/transparent_hugepage/enabled";
    add("transparent_huge_pages", read(huge_pages));
    add("cgroup_memory", Version::here().name().to_owned());
    add("memory_limited_by", limit::means());
    for name in [
        "dirty_ratio",
        "dirty_background_ratio",
        "dirty_bytes",
        "dirty_background_bytes",
        "dirty_expire_centisecs",
        "dirty_writeback_centisecs",
    ] {
        add(&format!("vm_{name}"), read(&format!("/proc/sys/vm/{name}")));
    }
    // In pages: writers are slowed down from the mean of the two on.
    for name in ["nr_dirty_threshold", "nr_dirty_background_threshold"] {
        add(name, line_of("/proc/vmstat", name));
    }
    let mount = Mount::of(dir).unwrap_or_default();
    add("file_system", mount.file_system);
    add("mount_options", mount.options);
    let device = Device::of(dir);
    let name = device.as_ref().map(Device::name);
    add("device", name.unwrap_or_else(|| "none".to_owned()));
    for setting in ["read_ahead_kb", "scheduler", "rotational"] {
        let value = device.as_ref().and_then(|device| device.queue(setting));
        add(&format!("device_{setting}"), value.unwrap_or_default());
    }
    let load = machine::load_average().map(|load| load.to_string());
    add("load_average_at_start", load.unwrap_or_default());
    let reporting = full_cache::host_takes_free_memory();
    let (reporting, cache) = if reporting {
        ("yes", "filled with pages of another file before each run")
    } else {
        ("no", "as it is")
    };
    add("free_page_reporting", reporting.to_owned());
    add("page_cache_before_isolated_runs", cache.to_owned());
    add("between_runs", BETWEEN_RUNS.to_owned());
    facts
}

/// Returns a name such as `vm-2core-ext4`, which says nothing about whose machine it is.
pub fn machine_name(dir: &Path) -> String {
    let kind = if is_virtual() { "vm" } else { "metal" };
    let file_system = Mount::of(dir).unwrap_or_default().file_system;
    format!("{kind}-{}core-{file_system}", cores())
}

/// Returns today's date in UTC as `2026-11-21`.
pub fn date() -> String {
    date_and_time()[..10].to_owned()
}

/// The mount that holds a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    file_system: String,
    options: String,
}

impl Default for Mount {
    fn default() -> Self {
        Self {
            file_system: "unknown".to_owned(),
            options: String::new(),
        }
    }
}

impl Mount {
    fn of(dir: &Path) -> Option<Self> {
        let device = fs::metadata(dir).ok()?.dev();
        let number = format!(
            "{}:{}",
            rustix::fs::major(device),
            rustix::fs::minor(device)
        );
        let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
        Self::find(&table, &number, &fs::canonicalize(dir).ok()?)
    }

    /// Of the mounts of a device, finds the deepest one above `dir`.
    fn find(table: &str, number: &str, dir: &Path) -> Option<Self> {
        let mut found: Option<(usize, Self)> = None;
        for line in table.lines() {
            let (own, super_block) = line.split_once(" - ")?;
            let own: Vec<&str> = own.split_whitespace().collect();
            let super_block: Vec<&str> = super_block.split_whitespace().collect();
            if own.get(2) != Some(&number) || !dir.starts_with(own.get(4)?) {
                continue;
            }
            let depth = own.get(4)?.len();
            if found.as_ref().is_some_and(|(deepest, _)| *deepest > depth) {
                continue;
            }
            let all = [*own.get(5)?, super_block.last().copied()?].join(",");
            let mut options: Vec<&str> = Vec::new();
            for option in all.split(',') {
                // Layers of overlayfs are paths.
                if !option.contains('/') && !options.contains(&option) {
                    options.push(option);
                }
            }
            let mount = Self {
                file_system: (*super_block.first()?).to_owned(),
                options: options.join(","),
            };
            found = Some((depth, mount));
        }
        found.map(|(_, mount)| mount)
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn is_virtual() -> bool {
    let flags = line_of("/proc/cpuinfo", "flags");
    flags.split_whitespace().any(|flag| flag == "hypervisor")
}

fn cpu_model() -> String {
    let model = line_of("/proc/cpuinfo", "model name");
    if model.is_empty() {
        env::consts::ARCH.to_owned()
    } else {
        model
    }
}

/// Reads a small file; empty if there is none.
fn read(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

/// Returns what stands behind `name` in the first line that starts with it.
fn line_of(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    let rest = rest.unwrap_or_default();
    rest.trim_start_matches([':', '\t', ' ']).trim().to_owned()
}

fn without_slashes(flags: &str) -> String {
    let shown = flags
        .split_whitespace()
        .map(|flag| if flag.contains('/') { "(a path)" } else { flag });
    shown.collect::<Vec<_>>().join(" ")
}

/// The commit of the sources, with `-dirty` if they differ from it.
fn git_commit() -> String {
    let Ok(folder) = env::var("CARGO_MANIFEST_DIR") else {
        return "unknown: not run by cargo".to_owned();
    };
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(&folder)
            .args(arguments)
            .output();
        let output = output.ok().filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--verify", "--quiet", "HEAD"]) else {
        return "none".to_owned();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        Some(_) | None => format!("{commit}-dirty"),
    }
}

/// Finds the version of a crate in the text of a lock file.
fn version_in<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = lock.split_once(&format!("\nname = \"{name}\"\nversion = \""))?;
    behind.split('"').next()
}

fn date_and_time() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute) = (seconds % 86_400 / 3600, seconds % 3600 / 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// Turns days since 1970 into a date, year by year: there are not many.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| u64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let mut year = 1970;
    while days >= 365 + leap(year) {
        days -= 365 + leap(year);
        year += 1;
    }
    let lengths = [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_777), (2026, 11, 20));
        assert_eq!(civil(20_818), (2026, 12, 31));
        assert_eq!(civil(20_819), (2027, 1, 1));
    }

    #[test]
    fn the_deepest_mount_above_the_directory_counts() {
        let table = "\
20 1 8:1 / / rw,relatime shared:1 - ext4 root rw,discard
21 20 8:1 / /data rw,noatime shared:2 - ext4 root rw,discard
22 20 8:2 / /data/deep rw - xfs other rw
23 20 0:9 / /layers rw - overlay overlay rw,lowerdir=/var/layers";
        let find = |number, dir: &str| Mount::find(table, number, Path::new(dir)).unwrap();
        assert_eq!(find("8:1", "/data/mine").options, "rw,noatime,discard");
        assert_eq!(find("8:1", "/other").options, "rw,relatime,discard");
        assert_eq!(find("8:2", "/data/deep/er").file_system, "xfs");
        assert_eq!(find("0:9", "/layers").options, "rw");
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"farena\"\nversion = \"0.3.1\"\n";
        assert_eq!(version_in(lock, "farena"), Some("0.3.1"));
        assert_eq!(version_in(lock, "other"), None);
    }

    #[test]
    fn facts_hold_no_path() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (name, value) in facts(dir, "", &[], "--quick") {
            assert!(!value.starts_with('/'), "{name}: {value}");
        }
    }
}
