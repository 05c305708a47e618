//! What the system says about itself: numbers, no judgement.

use std::fs;
use std::path::Path;

use crate::memory;
use crate::memory::cgroup;

/// A limit of the process; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bound(pub(crate) Option<u64>);

/// Limits and settings. `None` where the system does not tell.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Files that may be open, and how far the process may raise that itself.
    pub(crate) open_files: Option<(Bound, Bound)>,
    pub(crate) address_space: Option<Bound>,
    pub(crate) private_memory: Option<Bound>,
    pub(crate) file_len: Option<Bound>,
    pub(crate) mappings: Option<u64>,
    pub(crate) mappings_max: Option<u64>,
    pub(crate) machine_bytes: Option<u64>,
    pub(crate) cgroup: Option<cgroup::Limit>,
    pub(crate) device: Option<Device>,
    pub(crate) io_uring_disabled: Option<u64>,
    pub(crate) huge_pages: Option<String>,
}

/// The block device behind a directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) read_ahead_kib: u64,
    /// The file that holds the setting.
    pub(crate) setting: String,
}

impl Facts {
    /// Asks the system; about the device, for the one behind `dir`.
    pub(crate) fn gather(dir: Option<&Path>) -> Self {
        Self {
            mappings: fs::read("/proc/self/maps")
                .ok()
                .map(|text| memchr::memchr_iter(b'\n', &text).count() as u64),
            mappings_max: number("/proc/sys/vm/max_map_count"),
            machine_bytes: memory::machine_bytes(),
            cgroup: cgroup::limit(),
            device: dir.and_then(device),
            io_uring_disabled: number("/proc/sys/kernel/io_uring_disabled"),
            huge_pages: fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
                .ok()
                .and_then(|text| chosen(&text)),
            ..process_limits()
        }
    }
}

#[cfg(unix)]
fn process_limits() -> Facts {
    use rustix::process::{Resource, getrlimit};

    let bound = |resource| Some(Bound(getrlimit(resource).current));
    let open_files = getrlimit(Resource::Nofile);
    Facts {
        open_files: Some((Bound(open_files.current), Bound(open_files.maximum))),
        address_space: bound(Resource::As),
        private_memory: bound(Resource::Data),
        file_len: bound(Resource::Fsize),
        ..Facts::default()
    }
}

#[cfg(not(unix))]
fn process_limits() -> Facts {
    Facts::default()
}

/// Finds the read-ahead of the device that holds `dir`.
#[cfg(target_os = "linux")]
fn device(dir: &Path) -> Option<Device> {
    use std::os::unix::fs::MetadataExt;

    let id = fs::metadata(dir).ok()?.dev();
    let id = format!("{}:{}", rustix::fs::major(id), rustix::fs::minor(id));
    // A partition has no queue, the disk above it has. Network and some local file systems
    // have no disk of their own but settings under a number that stands for one.
    let settings = [
        format!("/sys/dev/block/{id}/queue/read_ahead_kb"),
        format!("/sys/dev/block/{id}/../queue/read_ahead_kb"),
        format!("/sys/class/bdi/{id}/read_ahead_kb"),
    ];
    let (setting, read_ahead_kib) = settings
        .iter()
        .find_map(|setting| Some((setting, number(setting)?)))?;
    let (name, setting) = fs::canonicalize(setting).map_or_else(
        |_| (id, setting.clone()),
        |setting| named(&setting.to_string_lossy()),
    );
    Some(Device {
        name,
        read_ahead_kib,
        setting,
    })
}

/// Returns the name of the device whose setting is at this path, and a short path to it.
fn named(setting: &str) -> (String, String) {
    let mut parts = setting.rsplit('/').skip(1);
    let last = parts.next().unwrap_or_default();
    if last != "queue" {
        return (last.to_owned(), setting.to_owned());
    }
    let disk = parts.next().unwrap_or_default();
    (
        disk.to_owned(),
        format!("/sys/block/{disk}/queue/read_ahead_kb"),
    )
}

#[cfg(not(target_os = "linux"))]
fn device(_: &Path) -> Option<Device> {
    None
}

/// Reads a file that holds one number.
fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Returns the word in brackets: `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (word, _) = rest.split_once(']')?;
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_in_brackets_is_the_choice() {
        assert_eq!(
            chosen("always [madvise] never\n").as_deref(),
            Some("madvise")
        );
        assert_eq!(chosen("never\n"), None);
    }

    #[test]
    fn a_setting_names_its_device() {
        let name = |setting| {
            let (name, setting) = named(setting);
            format!("{name} {setting}")
        };
        assert_eq!(
            name("/sys/devices/pci0/virtio1/block/vda/queue/read_ahead_kb"),
            "vda /sys/block/vda/queue/read_ahead_kb"
        );
        let shared = "/sys/devices/virtual/bdi/0:45/read_ahead_kb";
        assert_eq!(name(shared), format!("0:45 {shared}"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_here() {
        let facts = Facts::gather(Some(Path::new(".")));
        let (soft, hard) = facts.open_files.unwrap();
        assert!(
            hard.0
                .is_none_or(|hard| soft.0.is_some_and(|soft| soft <= hard))
        );
        assert!(facts.mappings.unwrap() < facts.mappings_max.unwrap());
    }
}
