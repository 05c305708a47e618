//! Limits of this process, its resident memory, its descriptors and unnamed files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::job::Job;
use crate::random::{Random, size};
use crate::sys;

/// The addresses that a process with locked memory gets beyond those in use: a mapping of everything
/// that an allocator reserves, 1 GiB, is found and does no harm.
const LOCKED_ADDRESSES: u64 = 8 << 30;

/// The most memory that such a process may use: buffers, windows, the models, the heap of the C
/// library, and stacks.
const LOCKED_BYTES_MAX: u64 = 600 << 20;

/// Sets the limit of this process, if the job has one.
pub(crate) fn set_limit(job: &Job) {
    let value = job.number("value");
    let in_use = |index| {
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = pages.split(' ').nth(index).unwrap().parse().unwrap();
        pages * rustix::param::page_size() as u64
    };
    let (resource, value) = match job.text("limit") {
        "fsize" => (Resource::Fsize, value),
        "nofile" => (Resource::Nofile, open_descriptors() as u64 - 1 + value),
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

/// Sets another limit on the file size, which the next call may remove.
pub(crate) fn change_file_size_limit(random: &mut Random) {
    let limit = Rlimit {
        current: match random.below(3) {
            0 => None,
            _ => Some((1 << random.pick(&[0, 12, 16, 19, 21, 23])) + random.next() % 5000),
        },
        maximum: None,
    };
    setrlimit(Resource::Fsize, limit).unwrap();
}

/// Panics if a process with locked memory has had more resident memory than its work explains.
pub(crate) fn check_memory(job: &Job) {
    if job.text("limit") != "locked" {
        return;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let most = most.unwrap().trim().trim_end_matches(" kB");
    let most = most.parse::<u64>().unwrap() << 10;
    assert!(most < LOCKED_BYTES_MAX, "{most} bytes were in memory");
    crate::job::counted("max-locked-bytes", most);
}

/// Returns how many descriptors are open.
pub(crate) fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Returns paths of the unnamed files that this process has open, for reading.
pub(crate) fn unnamed_files() -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_unnamed = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.nlink() == 0)
    };
    paths.filter(is_unnamed).collect()
}
