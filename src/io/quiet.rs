//! A scratch file for a global allocator: in the directory where [`ScratchDir::from_env`] would put
//! it, but found without allocating and without the lock of std's environment.
//!
//! [`ScratchDir::from_env`]: crate::io::dir::ScratchDir::from_env

use std::ffi::CStr;

use crate::io::scratch::ScratchFile;
use crate::sys;

/// The most bytes of a path, with the zero at its end.
const PATH_BYTES_MAX: usize = 4096;

/// Makes a file, where the environment said when the process started; `None` where no directory
/// will do. It counts against no budget.
pub(crate) fn scratch_file() -> Option<ScratchFile> {
    for variable in [&b"OUTCORE_DIR"[..], b"TMPDIR"] {
        if let Some(path) = Path::of_variable(variable) {
            // The user meant it, so no other is tried.
            return path.file();
        }
    }
    let of_user = || {
        Path::of_variable(b"XDG_CACHE_HOME")
            .or_else(|| Path::of_variable(b"HOME")?.followed_by(b"/.cache"))
    };
    [Path::of(b"/var/tmp"), of_user(), Path::of(b".")]
        .into_iter()
        .flatten()
        .find_map(|path| path.file())
}

/// A path in a buffer of its own, with zeros behind it.
struct Path {
    bytes: [u8; PATH_BYTES_MAX],
    len: usize,
}

impl Path {
    fn of(path: &[u8]) -> Option<Self> {
        let empty = Self {
            bytes: [0; PATH_BYTES_MAX],
            len: 0,
        };
        empty.followed_by(path)
    }

    /// Returns the value of a variable; `None` if it is not set, empty, or longer than a path.
    fn of_variable(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; PATH_BYTES_MAX];
        let room = bytes.get_mut(..PATH_BYTES_MAX.saturating_sub(1))?;
        let len = sys::initial_variable(name, room)?.len();
        (len > 0).then_some(Self { bytes, len })
    }

    fn followed_by(mut self, more: &[u8]) -> Option<Self> {
        let end = self.len.checked_add(more.len())?;
        let room = self.bytes.get_mut(self.len..end)?;
        room.copy_from_slice(more);
        self.len = end;
        Some(self)
    }

    /// Makes a file in the directory, if that is on a disk.
    fn file(&self) -> Option<ScratchFile> {
        let path = CStr::from_bytes_until_nul(&self.bytes).ok()?;
        let dir = sys::retry(|| sys::Dir::open_c(path)).ok()?;
        if sys::retry(|| dir.is_ram_backed()).ok()? {
            return None;
        }
        let file = sys::retry(|| dir.create_unnamed()).ok()?;
        Some(ScratchFile::without_dir(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::dir::ScratchDir;

    #[test]
    fn a_file_is_found_where_the_environment_offers_a_directory() {
        let file = scratch_file();
        assert_eq!(file.is_some(), ScratchDir::from_env().is_ok());
    }

    #[test]
    fn paths_that_are_too_long_are_refused() {
        let room = PATH_BYTES_MAX;
        assert!(Path::of(&vec![b'x'; room]).is_some_and(|path| path.file().is_none()));
        assert!(Path::of(&vec![b'x'; room + 1]).is_none());
        let path = Path::of(b"/var").and_then(|path| path.followed_by(b"/tmp"));
        assert!(path.is_some_and(|path| path.bytes.starts_with(b"/var/tmp\0")));
    }
}
