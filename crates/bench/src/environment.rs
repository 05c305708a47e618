//! The facts of a machine that decide what its numbers mean. No host names, no paths.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use procfs::Current;
use procfs::process::{MountInfo, Process};

use crate::error::Result;
use crate::machine::{self, Device, limit, memory};

/// Facts in the order of the record.
pub type Facts = Vec<(String, String)>;

/// Collects the facts. `lock` is the text of `Cargo.lock`, from which the versions of `crates`
/// come; `command` is what was called.
pub fn facts(dir: &Path, lock: &str, crates: &[&str], command: &str) -> Facts {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    add("date", now("%Y-%m-%d %H:%M UTC"));
    add("command", command.to_owned());
    add("git_commit", git_commit());
    add("rustc", env!("BENCH_RUSTC").to_owned());
    add("target", env!("BENCH_TARGET").to_owned());
    add("opt_level", env!("BENCH_OPT_LEVEL").to_owned());
    add("rustflags", without_paths(env!("BENCH_RUSTFLAGS")));
    for name in crates {
        let version = version_in(lock, name).unwrap_or("unknown");
        add(&format!("version_{name}"), version.to_owned());
    }
    let processor = procfs::CpuInfo::current().ok();
    let model = processor.as_ref().and_then(|info| info.model_name(0));
    add("cpu", model.unwrap_or(env::consts::ARCH).to_owned());
    add("cores", machine::cores().to_string());
    let is_virtual = if is_virtual() { "yes" } else { "no" };
    add("virtual_machine", is_virtual.to_owned());
    let governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    add("cpu_governor", read(governor));
    if let Ok(memory) = procfs::Meminfo::current() {
        add("memory_total", format!("{} kB", memory.mem_total >> 10));
        add("swap_total", format!("{} kB", memory.swap_total >> 10));
    }
    add("kernel", read("/proc/sys/kernel/osrelease"));
    let huge_pages = "/sys/kernel/mm/transparent_hugepage/enabled";
    add("transparent_huge_pages", read(huge_pages));
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
    let (file_system, options) = mount_of(dir);
    add("file_system", file_system);
    add("mount_options", options);
    let device = Device::of(dir);
    let name = device.as_ref().map(Device::name);
    add("device", name.unwrap_or_else(|| "none".to_owned()));
    for setting in ["read_ahead_kb", "scheduler", "rotational"] {
        let value = device.as_ref().and_then(|device| device.queue(setting));
        add(&format!("device_{setting}"), value.unwrap_or_default());
    }
    add("load_average_at_start", machine::load_average().to_string());
    let (reporting, cache) = if memory::host_takes_free_memory() {
        ("yes", "filled with pages of another file before each run")
    } else {
        ("no", "as it is")
    };
    add("free_page_reporting", reporting.to_owned());
    add("page_cache_before_isolated_runs", cache.to_owned());
    let between = "files dropped, sync, wait until the device is idle";
    add("between_runs", between.to_owned());
    facts
}

/// Returns a name such as `vm-2core-ext4`, which says nothing about whose machine it is.
pub fn machine_name(dir: &Path) -> String {
    let kind = if is_virtual() { "vm" } else { "metal" };
    format!("{kind}-{}core-{}", machine::cores(), mount_of(dir).0)
}

/// Returns today's date in UTC as `2026-11-21`.
pub fn date() -> String {
    now("%Y-%m-%d")
}

fn now(format: &str) -> String {
    jiff::Timestamp::now().strftime(format).to_string()
}

/// Returns the file system of a directory, and the options of its mount.
fn mount_of(dir: &Path) -> (String, String) {
    let find = || -> Result<Option<MountInfo>> {
        let device = fs::metadata(dir)?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let (number, dir) = (format!("{major}:{minor}"), fs::canonicalize(dir)?);
        let mounts = Process::myself()?.mountinfo()?.0.into_iter();
        let above = mounts.filter(|one| one.majmin == number && dir.starts_with(&one.mount_point));
        // The deepest one; of several at one place, the last.
        Ok(above.max_by_key(|one| one.mount_point.as_os_str().len()))
    };
    let Ok(Some(mount)) = find() else {
        return ("unknown".to_owned(), String::new());
    };
    let all = mount.mount_options.iter().chain(&mount.super_options);
    let all = all.map(|(name, value)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    });
    // Layers of overlayfs are paths.
    let mut options: Vec<String> = all.filter(|option| !option.contains('/')).collect();
    options.sort_unstable();
    options.dedup();
    (mount.fs_type, options.join(","))
}

fn is_virtual() -> bool {
    let info = procfs::CpuInfo::current();
    let flags = info.ok().and_then(|info| {
        let flags = info.flags(0)?;
        Some(flags.contains(&"hypervisor"))
    });
    flags.unwrap_or(false)
}

/// Reads a small file; empty if there is none.
fn read(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

fn without_paths(flags: &str) -> String {
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
        let mut command = Command::new("git");
        let output = command.arg("-C").arg(&folder).args(arguments).output();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_name_machine_and_versions_and_hold_no_path() {
        let lock = "[[package]]\nname = \"farena\"\nversion = \"0.3.1\"\n";
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let facts = facts(dir, lock, &["farena", "other"], "--quick");
        let fact = |name: &str| &facts.iter().find(|(found, _)| found == name).unwrap().1;
        assert_eq!(fact("version_farena"), "0.3.1");
        assert_eq!(fact("version_other"), "unknown");
        for name in ["kernel", "file_system", "rustc", "cpu", "memory_total"] {
            assert!(!fact(name).is_empty(), "{name}");
        }
        assert!(machine_name(dir).ends_with(fact("file_system")));
        for (name, value) in &facts {
            assert!(!value.starts_with('/'), "{name}: {value}");
        }
    }
}
