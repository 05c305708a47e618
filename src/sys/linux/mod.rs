//! The contract of [`super`], answered by a Linux kernel.

mod dir;
mod extents;
mod file;
mod fork;
mod process;
#[cfg(feature = "io-uring")]
pub(super) mod ring;
mod signal;
mod space;

pub(crate) use self::dir::{Dir, unguessable_name};
pub(crate) use self::file::File;
pub(crate) use self::process::process;
pub(crate) use self::space::Space;

use std::io;

use rustix::fs::{self, Mode, OFlags};
use rustix::process::{Resource, getrlimit};

/// Returns the size of a page of memory in bytes, a power of two.
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

/// Returns `RLIMIT_FSIZE` in bytes, or `None` where files may be of any length.
///
/// The answer may be wrong a moment later: the limit can be changed by any thread, and from outside.
/// Functions that would pass it fail with `EFBIG` and raise no signal.
pub(crate) fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Returns `RLIMIT_AS` in bytes, or `None` where the process may have all addresses.
pub(crate) fn address_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Returns `RLIMIT_NOFILE`, or `None` where there may be any number of open files.
pub(crate) fn open_file_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Returns whether an answer says that this process has as many open files as it may have.
pub(crate) fn is_out_of_files(answer: &io::Error) -> bool {
    answer.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error())
}

/// Returns `vm.max_map_count` if this process has about as many mappings. Allocates nothing.
pub(crate) fn reached_mapping_limit() -> Option<u64> {
    const NEAR: u64 = 16;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut bytes = [0_u8; 4096];
    let file = fs::open(c"/proc/sys/vm/max_map_count", flags, Mode::empty()).ok()?;
    let read = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut bytes)).ok()?;
    let text = std::str::from_utf8(bytes.get(..read)?).ok()?;
    let limit: u64 = text.trim_end().parse().ok()?;
    let file = fs::open(c"/proc/self/maps", flags, Mode::empty()).ok()?;
    let mut count = 0_u64;
    loop {
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut bytes)).ok()?;
        if read == 0 {
            return (count.saturating_add(NEAR) >= limit).then_some(limit);
        }
        let lines = bytes.get(..read)?.iter().filter(|byte| **byte == b'\n');
        count = count.saturating_add(lines.count() as u64);
    }
}

/// Returns the value that a variable had when the process started, as far as `value` has room.
///
/// Reads the process's file of variables, since std's functions allocate and take a lock.
pub(crate) fn initial_variable<'a>(name: &[u8], value: &'a mut [u8]) -> Option<&'a [u8]> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    // Not of `/proc/self`, which is empty once the first thread has ended.
    let file = fs::open(c"/proc/thread-self/environ", flags, Mode::empty()).ok()?;
    let mut bytes = [0_u8; 512];
    // How many bytes of `name` and `=` this entry has matched, and of its value taken.
    let (mut matched, mut taken, mut found) = (Some(0_usize), 0_usize, false);
    loop {
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut bytes)).ok()?;
        for byte in bytes.get(..read)? {
            match (*byte, matched) {
                (0, _) if found => return value.get(..taken),
                (0, _) => matched = Some(0),
                (byte, _) if found => {
                    *value.get_mut(taken)? = byte;
                    taken = taken.saturating_add(1);
                }
                (b'=', Some(at)) if at == name.len() => found = true,
                (byte, Some(at)) if name.get(at) == Some(&byte) => {
                    matched = Some(at.saturating_add(1));
                }
                _ => matched = None,
            }
        }
        if read == 0 {
            return found.then(|| value.get(..taken)).flatten();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_of_the_start_is_found_as_std_finds_it() {
        let mut value = [0; 4096];
        for name in [
            "PATH",
            "HOME",
            "CARGO_MANIFEST_DIR",
            "OUTCORE_NO_SUCH",
            "PAT",
            "ATH",
        ] {
            let expected = std::env::var(name).ok();
            let found = initial_variable(name.as_bytes(), &mut value);
            let found = found.map(|value| String::from_utf8(value.to_vec()).unwrap());
            assert_eq!(found, expected, "{name}");
        }
    }
}
