//! Shared parts of the tests: items, random numbers, counts of allocations and of events; and for
//! tests of the real system, processes and small disks.

pub(crate) mod allocations;
pub(crate) mod items;
pub(crate) mod random;
pub(crate) mod tally;
#[cfg(feature = "allocator-api2")]
pub(crate) mod traces;

#[cfg(not(any(miri, memory_backend)))]
pub(crate) mod libc;
#[cfg(not(any(miri, memory_backend)))]
pub(crate) mod process;
#[cfg(all(not(any(miri, memory_backend)), feature = "bytemuck"))]
pub(crate) mod python;
#[cfg(not(any(miri, memory_backend)))]
mod system;
#[cfg(not(any(miri, memory_backend)))]
pub(crate) mod tmpfs;

#[cfg(not(any(miri, memory_backend)))]
pub(crate) use self::system::{new_dir, skipped, test_name};

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use outcore::{Arena, ArenaMap, ErrorKind, Location, Result, ScratchDir};

/// Returns a directory on a disk for files of tests.
pub(crate) fn disk() -> ScratchDir {
    ScratchDir::new(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Returns an unused path on a disk, for a file that may be published there.
pub(crate) fn ranged_path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "ranged-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Relaxed)
    );
    let path = disk().path().join(name);
    // A process with the same number may have left one.
    let _removed = std::fs::remove_file(&path);
    path
}

/// Makes an arena on a disk.
pub(crate) fn arena() -> Arena {
    Arena::new_in(&disk()).unwrap()
}

/// Reads an item through a map. If addresses are scarce, the map may end before an item that was
/// pushed later; then a new one is made, as the error says.
pub(crate) fn get_mapped(map: &mut ArenaMap, location: Location) -> Result<Vec<u8>> {
    let scarce = cfg!(any(miri, memory_backend, target_pointer_width = "32"));
    match map.get(location) {
        Err(refused) if scarce && refused.kind() == ErrorKind::OutOfMemory => {
            *map = map.arena().map()?;
            map.get(location).map(<[u8]>::to_vec)
        }
        answer => answer.map(<[u8]>::to_vec),
    }
}
