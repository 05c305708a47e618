//! The contract of [`super`], implemented by a Linux kernel.

mod cache;
mod dir;
mod extents;
mod file;
#[cfg(all(
    feature = "io-uring",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "loongarch64",
        target_arch = "powerpc64"
    )
))]
pub(super) mod ring;
mod signal;
mod space;

pub(crate) use self::dir::Dir;
pub(crate) use self::file::File;
pub(crate) use self::space::Space;

use std::ffi::OsString;
use std::io;

use rustix::fs::{self, Mode, OFlags};

use crate::sys::posix;
use crate::sys::system::SystemCalls;

/// The system as a whole.
#[derive(Debug)]
pub(crate) enum System {}

impl SystemCalls for System {
    fn page_size() -> usize {
        posix::page_size()
    }

    fn file_size_limit() -> Option<u64> {
        posix::file_size_limit()
    }

    fn address_limit() -> Option<u64> {
        posix::address_limit()
    }

    fn open_file_limit() -> Option<u64> {
        posix::open_file_limit()
    }

    fn is_out_of_files(answer: &io::Error) -> bool {
        posix::is_out_of_files(answer)
    }

    fn reached_mapping_limit() -> Option<u64> {
        reached_mapping_limit()
    }

    fn replaces_parts() -> bool {
        true
    }

    fn process() -> u64 {
        posix::process::process()
    }

    fn unguessable_name() -> io::Result<OsString> {
        dir::unguessable_name()
    }

    /// Reads the process's file of variables, since std's functions allocate and take a lock.
    fn initial_variable<'value>(name: &[u8], value: &'value mut [u8]) -> Option<&'value [u8]> {
        initial_variable(name, value)
    }
}

/// Returns `vm.max_map_count` if this process has about as many mappings. Allocates nothing.
fn reached_mapping_limit() -> Option<u64> {
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

fn initial_variable<'a>(name: &[u8], value: &'a mut [u8]) -> Option<&'a [u8]> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    // Not `/proc/self`, which is empty after the first thread has ended.
    let file = fs::open(c"/proc/thread-self/environ", flags, Mode::empty()).ok()?;
    let mut bytes = [0_u8; 512];
    // The number of bytes of `name` and `=` that this entry has matched, and of its value that were
    // taken.
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
