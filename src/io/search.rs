//! Which directory holds scratch files: the order in which directories are tried, and the search of a
//! global allocator, which allocates nothing and does not take the lock of std's environment.

use std::ffi::CStr;

use crate::io::scratch::ScratchFile;
use crate::sys;

/// The variables by which a user names the directory, and how errors show them. The first that is set
/// decides: no other directory is tried.
pub(crate) const NAMING: [(&str, &str); 2] =
    [("OUTCORE_DIR", "$OUTCORE_DIR"), ("TMPDIR", "$TMPDIR")];

/// A search for the directory: how it reads the environment, and how it opens a directory.
pub(crate) trait Search {
    type Path;
    type Found;

    /// Returns the value of a variable; `None` if it is not set or empty.
    fn variable(&mut self, name: &str) -> Option<Self::Path>;

    /// Returns a path that is always the same.
    fn fixed(&mut self, path: &str) -> Option<Self::Path>;

    /// Returns the path of a directory in `parent`.
    fn within(&mut self, parent: Self::Path, name: &str) -> Option<Self::Path>;

    /// Returns the current directory.
    fn current(&mut self) -> Option<Self::Path>;

    /// Tries a directory, which the variable `named_by` names if it is one of [`NAMING`].
    fn open(&mut self, path: Self::Path, named_by: Option<&'static str>) -> Option<Self::Found>;

    /// Tries all directories in order, and returns the first that can be used.
    fn run(&mut self) -> Option<Self::Found> {
        for (name, shown) in NAMING {
            if let Some(path) = self.variable(name) {
                return self.open(path, Some(shown));
            }
        }
        for candidate in [Self::for_all, Self::of_user, Self::current] {
            if let Some(found) = candidate(self).and_then(|path| self.open(path, None)) {
                return Some(found);
            }
        }
        None
    }

    /// Returns the directory for large temporary files of all users; on Windows, of this user.
    fn for_all(&mut self) -> Option<Self::Path> {
        if cfg!(windows) {
            return self.variable("TEMP");
        }
        self.fixed("/var/tmp")
    }

    /// Returns the directory for the caches of this user.
    fn of_user(&mut self) -> Option<Self::Path> {
        if let Some(path) = self.variable("XDG_CACHE_HOME") {
            return Some(path);
        }
        let home = self.variable("HOME")?;
        self.within(home, ".cache")
    }
}

/// Makes a file for a global allocator, where the environment said when the process started; `None`
/// where no directory can be used. It counts against no budget.
pub(crate) fn initial_scratch_file() -> Option<ScratchFile> {
    Initial.run()
}

/// The search of a global allocator.
struct Initial;

impl Search for Initial {
    type Path = Path;
    type Found = ScratchFile;

    fn variable(&mut self, name: &str) -> Option<Path> {
        Path::of_variable(name)
    }

    fn fixed(&mut self, path: &str) -> Option<Path> {
        Path::of(path)
    }

    fn within(&mut self, parent: Path, name: &str) -> Option<Path> {
        parent.followed_by("/")?.followed_by(name)
    }

    fn current(&mut self) -> Option<Path> {
        Path::of(".")
    }

    fn open(&mut self, path: Path, _named_by: Option<&'static str>) -> Option<ScratchFile> {
        path.file()
    }
}

/// The most bytes of a path, with the zero at its end.
const PATH_BYTES_MAX: usize = 4096;

/// A path in a buffer of its own, with zeros behind it.
struct Path {
    bytes: [u8; PATH_BYTES_MAX],
    len: usize,
}

impl Path {
    fn of(path: &str) -> Option<Self> {
        let empty = Self {
            bytes: [0; PATH_BYTES_MAX],
            len: 0,
        };
        empty.followed_by(path)
    }

    /// Returns the value of a variable; `None` if it is not set, empty, or longer than a path.
    fn of_variable(name: &str) -> Option<Self> {
        let mut bytes = [0; PATH_BYTES_MAX];
        let room = bytes.get_mut(..PATH_BYTES_MAX - 1)?;
        let len = sys::initial_variable(name.as_bytes(), room)?.len();
        (len > 0).then_some(Self { bytes, len })
    }

    fn followed_by(mut self, more: &str) -> Option<Self> {
        let end = self.len.checked_add(more.len())?;
        let room = self.bytes.get_mut(self.len..end)?;
        room.copy_from_slice(more.as_bytes());
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

    /// An environment with these variables, in which no directory can be used.
    struct Fixed<'a> {
        variables: &'a [(&'a str, &'a str)],
        tried: Vec<(String, Option<&'static str>)>,
    }

    impl Search for Fixed<'_> {
        type Path = String;
        type Found = ();

        fn variable(&mut self, name: &str) -> Option<String> {
            let found = self.variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }

        fn fixed(&mut self, path: &str) -> Option<String> {
            Some(path.to_owned())
        }

        fn within(&mut self, parent: String, name: &str) -> Option<String> {
            Some(format!("{parent}/{name}"))
        }

        fn current(&mut self) -> Option<String> {
            Some(".".to_owned())
        }

        fn open(&mut self, path: String, named_by: Option<&'static str>) -> Option<()> {
            self.tried.push((path, named_by));
            None
        }
    }

    fn tried(variables: &[(&str, &str)]) -> Vec<(String, Option<&'static str>)> {
        let tried = Vec::new();
        let mut search = Fixed { variables, tried };
        assert_eq!(search.run(), None);
        search.tried
    }

    #[test]
    fn a_directory_that_a_variable_names_is_the_only_one_that_is_tried() {
        let home = ("HOME", "/user");
        let names = |set: &[_]| {
            tried(set)
                .into_iter()
                .map(|(path, _)| path)
                .collect::<Vec<_>>()
        };
        let temp = ("TEMP", "/var/tmp"); // Windows asks for it
        assert_eq!(names(&[home, temp]), ["/var/tmp", "/user/.cache", "."]);
        let cache = ("XDG_CACHE_HOME", "/cache");
        assert_eq!(names(&[home, cache, temp]), ["/var/tmp", "/cache", "."]);
        assert_eq!(names(&[temp]), ["/var/tmp", "."]);
        let both = [("TMPDIR", "/t"), ("OUTCORE_DIR", "/o")];
        assert_eq!(tried(&both), [("/o".to_owned(), Some("$OUTCORE_DIR"))]);
        assert_eq!(tried(&both[..1]), [("/t".to_owned(), Some("$TMPDIR"))]);
    }

    #[test]
    fn a_file_is_found_where_the_environment_offers_a_directory() {
        let file = initial_scratch_file();
        assert_eq!(file.is_some(), ScratchDir::from_env().is_ok());
    }

    #[test]
    fn paths_that_are_too_long_are_refused() {
        let room = PATH_BYTES_MAX;
        assert!(Path::of(&"x".repeat(room)).is_some_and(|path| path.file().is_none()));
        assert!(Path::of(&"x".repeat(room + 1)).is_none());
        let path = Path::of("/var").and_then(|path| path.followed_by("/tmp"));
        assert!(path.is_some_and(|path| path.bytes.starts_with(b"/var/tmp\0")));
    }
}
