//! The disk space that a run may need, checked and said before it starts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result, shown};
use crate::front::summary::tell;
use crate::size::format_bytes;

/// A directory, and how much may be written there.
#[derive(Debug)]
pub(crate) struct Need {
    /// What is written, in messages.
    pub(crate) what: &'static str,
    pub(crate) dir: PathBuf,
    pub(crate) bytes: u64,
}

/// Refuses to start what the disk has no room for, if `is_checked`; and says what it may take if
/// `is_told`.
///
/// # Errors
///
/// There is too little space.
pub(crate) fn check(needs: &[Need], is_checked: bool, is_told: bool) -> Result<()> {
    for need in needs {
        let together = needs
            .iter()
            .filter(|other| same_disk(&need.dir, &other.dir));
        let bytes: u64 = together.map(|need| need.bytes).sum();
        let Some(free) = free_bytes(&need.dir) else {
            continue;
        };
        if bytes > free && is_checked {
            return Err(Failure::new(format!(
                "{} may take up to {} in {}, where {} are free; free some, name another place, or \
                 start all the same with --no-space-check",
                need.what,
                format_bytes(bytes),
                shown(&need.dir),
                format_bytes(free)
            )));
        }
        if is_told {
            tell(&format!(
                "{} may take up to {} in {} ({} free)\n",
                need.what,
                format_bytes(need.bytes),
                shown(&need.dir),
                format_bytes(free)
            ));
        }
    }
    Ok(())
}

fn same_disk(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => a.dev() == b.dev(),
        _ => false,
    }
}

/// Returns how much this user can still write, if the system tells.
fn free_bytes(dir: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(dir).ok()?;
    facts.f_bavail.checked_mul(facts.f_frsize)
}
