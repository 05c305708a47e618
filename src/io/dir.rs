//! A directory for scratch files: it is checked before the first byte is written, and all files in it
//! share one budget.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::io::budget::{Budget, Charge};
use crate::io::cache::CachePolicy;
use crate::io::refusal::{Op, Refusal, Unnamed};
use crate::io::search::{self, Search};
use crate::sys;

/// A directory for scratch files, on a real disk and with a budget.
///
/// Cloning is cheap, and all clones share one budget. Files in the directory have no name: nothing
/// is seen in it, and nothing is left behind, not even after `SIGKILL` or a power cut.
///
/// # Examples
///
/// ```
/// use outcore::{Arena, ScratchDir};
///
/// let dir = ScratchDir::builder(std::env::temp_dir())
///     .allow_ram(true) // this example may run where the temporary directory is a tmpfs
///     .quota_bytes(1 << 30)
///     .build()?;
/// let arena = Arena::new_in(&dir)?;
/// arena.writer()?.push("at most 1 GiB of these")?;
/// # Ok::<(), outcore::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ScratchDir {
    inner: Arc<Inner>,
    cache_policy: CachePolicy,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    dir: sys::Dir,
    budget: Budget,
}

/// The settings of a [`ScratchDir`]: made by [`ScratchDir::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ScratchDirBuilder {
    path: PathBuf,
    allow_ram: bool,
    quota_bytes: u64,
    free_bytes_min: u64,
    cache_policy: CachePolicy,
}

/// Where a directory is and what it offers: made by [`ScratchDir::report`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScratchReport {
    /// The directory.
    pub path: PathBuf,
    /// The name of its file system, such as `ext4`.
    pub file_system: String,
    /// Whether that file system lives in memory, so that writing to it saves none.
    pub ram_backed: bool,
    /// Whether it is on another machine, so that less is promised: see the crate's documentation.
    pub network: bool,
    /// Bytes that this user can still write.
    pub free_bytes: u64,
    /// Bytes of the whole file system.
    pub total_bytes: u64,
    /// Bytes that everything made in this [`ScratchDir`] has claimed.
    pub used_bytes: u64,
    /// Bytes that everything made in it may claim; `u64::MAX` without a quota.
    pub quota_bytes: u64,
}

/// The last answer of [`ScratchDir::from_env`], and the variables it was the answer to.
static FROM_ENV: Mutex<Option<(Variables, ScratchDir)>> = Mutex::new(None);

/// The values of the variables that name a directory.
type Variables = [Option<OsString>; search::NAMING.len()];

impl ScratchDir {
    /// Returns the directory that the environment suggests.
    ///
    /// It is the first of these that can be written to and is on a real disk: `$OUTCORE_DIR`,
    /// `$TMPDIR`, `/var/tmp`, the user's cache directory (`$XDG_CACHE_HOME` or `$HOME/.cache`),
    /// the current directory. On Windows, `%TEMP%` takes the place of `/var/tmp`. A variable that is
    /// empty counts as not set. As long as both
    /// variables stay the same, every call returns the same directory, with one budget. If that
    /// directory was removed, the next call searches again.
    ///
    /// # Errors
    ///
    /// * [`RamBacked`](ErrorKind::RamBacked): `$OUTCORE_DIR` or `$TMPDIR` is set and lives in
    ///   memory. It is not skipped, since the user has set it.
    /// * [`Io`](ErrorKind::Io): one of them is set and is no directory to write in, or nothing is
    ///   set and no directory will do.
    ///
    /// # Cost
    ///
    /// A few system calls for each candidate the first time, two looks at the environment and one
    /// system call later.
    pub fn from_env() -> Result<Self> {
        let variables = search::NAMING.map(|(name, _shown)| env::var_os(name));
        let lock = || FROM_ENV.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().clone();
        if let Some((asked, dir)) = known {
            if asked == variables && !dir.is_removed() {
                return Ok(dir);
            }
        }
        let mut search = FromEnv::default();
        let dir = search.run().ok_or_else(|| search.error())?;
        // Another thread may have opened the same directory meanwhile. Then its budget is shared.
        let mut known = lock();
        let current = known.take_if(|(asked, dir)| *asked == variables && !dir.is_removed());
        let (_, dir) = known.insert(current.unwrap_or((variables, dir)));
        Ok(dir.clone())
    }

    /// Opens a directory without a quota.
    ///
    /// # Errors
    ///
    /// Those of [`ScratchDirBuilder::build`].
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).build()
    }

    /// Starts to describe a directory with limits.
    pub fn builder(path: impl AsRef<Path>) -> ScratchDirBuilder {
        ScratchDirBuilder {
            path: path.as_ref().to_owned(),
            allow_ram: false,
            quota_bytes: u64::MAX,
            free_bytes_min: 0,
            cache_policy: CachePolicy::Auto,
        }
    }

    /// Returns a handle of the same directory, with the same budget, whose files leave in the page
    /// cache what this policy says. Files that exist keep theirs.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{CachePolicy, DiskVec, ScratchDir};
    ///
    /// let dir = ScratchDir::from_env()?;
    /// let keep = dir.with_cache_policy(CachePolicy::Keep);
    /// let mut index = DiskVec::new_in(&keep); // looked up all the time
    /// let mut log = DiskVec::new_in(&dir);
    /// index.push(1_u64)?;
    /// log.push(2_u64)?;
    /// # Ok::<(), outcore::Error>(())
    /// ```
    #[must_use]
    pub fn with_cache_policy(&self, policy: CachePolicy) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            cache_policy: policy,
        }
    }

    /// Returns what the files of this handle leave in the page cache.
    pub fn cache_policy(&self) -> CachePolicy {
        self.cache_policy
    }

    /// Returns the path by which the directory was opened.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Returns how many bytes on disk everything made in this directory has claimed.
    pub fn used_bytes(&self) -> u64 {
        self.inner.budget.used_bytes()
    }

    /// Describes the directory as it is now.
    ///
    /// # Examples
    ///
    /// ```
    /// let report = outcore::ScratchDir::from_env()?.report()?;
    /// println!("{} on {}", report.path.display(), report.file_system);
    /// assert!(!report.ram_backed);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io): the system call failed.
    ///
    /// # Cost
    ///
    /// One system call.
    pub fn report(&self) -> Result<ScratchReport> {
        let facts = self.file_system()?;
        Ok(ScratchReport {
            path: self.inner.path.clone(),
            file_system: facts.name.into_owned(),
            ram_backed: facts.ram_backed,
            network: facts.network,
            free_bytes: facts.free_bytes,
            total_bytes: facts.total_bytes,
            used_bytes: self.used_bytes(),
            quota_bytes: self.inner.budget.quota_bytes,
        })
    }

    fn file_system(&self) -> Result<sys::FileSystem> {
        let asked = sys::retry(|| self.inner.dir.file_system());
        asked.map_err(|answer| Error::io("examine", answer).at(&self.inner.path))
    }

    /// Creates an empty file without a name.
    pub(crate) fn create_unnamed(&self) -> Result<sys::File, Refusal> {
        self.create_by(sys::Dir::create_unnamed)
    }

    /// Creates an empty file without a name that can get one later; `None` where there are none such.
    #[cfg(feature = "sealed")]
    pub(crate) fn create_linkable(&self) -> Result<Option<sys::File>, Refusal> {
        use std::io::ErrorKind::{InvalidInput, IsADirectory, NotFound, Unsupported};
        // The answers of file systems and kernels that do not know the flag.
        let unknown = [InvalidInput, IsADirectory, NotFound, Unsupported];
        self.create_by(|dir| match dir.create_linkable() {
            Err(answer) if unknown.contains(&answer.kind()) => Ok(None),
            created => created.map(Some),
        })
    }

    fn create_by<F>(&self, create: impl Fn(&sys::Dir) -> std::io::Result<F>) -> Result<F, Refusal> {
        let created = sys::retry(|| create(&self.inner.dir));
        created.map_err(|answer| {
            let refusal = Refusal::failed(Op::Create, &answer);
            if self.is_removed() {
                let reason = "the directory was removed after it was opened; make it again, and a \
                              new ScratchDir with what shall live in it";
                return Refusal::ours(Op::Create, ErrorKind::Io, reason);
            }
            refusal
        })
    }

    /// Puts what was refused to a file of this directory into words.
    #[cold]
    pub(crate) fn error(&self, refusal: Refusal) -> Error {
        refusal.of(Unnamed::In(&self.inner.path))
    }

    /// Returns whether the directory was removed, as far as the system says.
    fn is_removed(&self) -> bool {
        sys::retry(|| self.inner.dir.is_removed()).unwrap_or(false)
    }

    /// Enters `bytes` into the budget until they are preallocated or dropped.
    pub(crate) fn charge(&self, bytes: u64) -> Result<Charge<'_>, Refusal> {
        let free = || Ok(sys::retry(|| self.inner.dir.file_system())?.free_bytes);
        self.inner.budget.charge(bytes, free)
    }

    /// Takes `bytes` that were preallocated out of the budget.
    pub(crate) fn release(&self, bytes: u64) {
        self.inner.budget.release(bytes);
    }
}

impl ScratchDirBuilder {
    /// Accepts a file system that lives in memory. Meant for tests: what is written there takes
    /// the memory that it was meant to save.
    pub fn allow_ram(mut self, allow: bool) -> Self {
        self.allow_ram = allow;
        self
    }

    /// Limits the bytes on disk that everything made in the directory may claim together.
    pub fn quota_bytes(mut self, bytes: u64) -> Self {
        self.quota_bytes = bytes;
        self
    }

    /// Keeps this many bytes of the file system free: a growth that would leave fewer is refused as if
    /// the disk were full.
    ///
    /// It holds for all threads of the process together. If the answer depends on growths of
    /// other threads that have not ended, a growth waits for these, for about a second at most. Other processes can
    /// take what is free at any time.
    pub fn min_free_bytes(mut self, bytes: u64) -> Self {
        self.free_bytes_min = bytes;
        self
    }

    /// Sets what the files of the directory leave in the page cache; [`CachePolicy::Auto`] if this is
    /// not called.
    pub fn cache_policy(mut self, policy: CachePolicy) -> Self {
        self.cache_policy = policy;
        self
    }

    /// Opens the directory and tries it out.
    ///
    /// # Errors
    ///
    /// * [`RamBacked`](ErrorKind::RamBacked): its file system is a tmpfs or ramfs, and
    ///   [`allow_ram`](Self::allow_ram) was not called.
    /// * [`Io`](ErrorKind::Io): it is no directory, or no file can be created in it.
    ///
    /// # Cost
    ///
    /// Five system calls: the directory is opened and examined, a file in it created and closed.
    pub fn build(self) -> Result<ScratchDir> {
        let refused = |answer| Error::io("use", answer).at(&self.path);
        let dir = sys::retry(|| sys::Dir::open(&self.path)).map_err(refused)?;
        let facts = sys::retry(|| dir.file_system()).map_err(refused)?;
        if facts.ram_backed && !self.allow_ram {
            let reason = format!(
                "it is a {} and lives in memory; set $OUTCORE_DIR to a directory on a disk",
                facts.name
            );
            return Err(Error::refused(ErrorKind::RamBacked, "use", reason).at(&self.path));
        }
        let device = sys::retry(|| dir.device()).map_err(refused)?;
        drop(sys::retry(|| dir.create_unnamed()).map_err(refused)?);
        Ok(ScratchDir {
            inner: Arc::new(Inner {
                path: self.path,
                dir,
                budget: Budget::new(self.quota_bytes, self.free_bytes_min, device),
            }),
            cache_policy: self.cache_policy,
        })
    }
}

/// The search of [`ScratchDir::from_env`], and the results for the directories that it tried.
#[derive(Default)]
struct FromEnv {
    /// Why the directory that a variable names cannot be used.
    named: Option<Error>,
    /// Why others cannot be used.
    refused: Vec<String>,
}

impl FromEnv {
    /// Says why no directory can be used.
    fn error(self) -> Error {
        self.named.unwrap_or_else(|| {
            let reason = format!("set $OUTCORE_DIR; {}", self.refused.join("; "));
            let action = "find a directory for scratch files";
            Error::refused(ErrorKind::Io, action, reason)
        })
    }
}

impl Search for FromEnv {
    type Path = PathBuf;
    type Found = ScratchDir;

    fn variable(&mut self, name: &str) -> Option<PathBuf> {
        let value = env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    }

    fn fixed(&mut self, path: &str) -> Option<PathBuf> {
        Some(PathBuf::from(path))
    }

    fn within(&mut self, parent: PathBuf, name: &str) -> Option<PathBuf> {
        Some(parent.join(name))
    }

    fn current(&mut self) -> Option<PathBuf> {
        env::current_dir().ok()
    }

    fn open(&mut self, path: PathBuf, named_by: Option<&'static str>) -> Option<ScratchDir> {
        match (ScratchDir::new(path), named_by) {
            (Ok(dir), _) => return Some(dir),
            (Err(refused), Some(variable)) => self.named = Some(refused.named_by(variable)),
            (Err(refused), None) => self.refused.push(refused.to_string()),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn the_quota_is_shared_by_clones_and_returned() {
        let dir = ScratchDir::builder(here())
            .quota_bytes(100)
            .build()
            .unwrap();
        dir.clone().charge(60).unwrap().keep();
        let error = dir.error(dir.charge(60).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(error.to_string().contains("quota of 100"), "{error}");
        assert_eq!(dir.used_bytes(), 60, "a refused charge must not count");
        dir.release(60);
        dir.charge(100).unwrap().keep();
        dir.release(100);
    }

    #[test]
    fn the_free_floor_is_kept() {
        let dir = ScratchDir::builder(here())
            .min_free_bytes(u64::MAX)
            .build()
            .unwrap();
        let refusal = dir.charge(1).unwrap_err();
        assert_eq!(dir.error(refusal).kind(), ErrorKind::StorageFull);
        assert_eq!(dir.used_bytes(), 0);
    }

    #[test]
    fn when_nothing_is_usable_the_error_lists_what_was_tried() {
        let mut search = FromEnv::default();
        for path in ["no/such", "nor/this"] {
            assert!(search.open(path.into(), None).is_none());
        }
        let message = search.error().to_string();
        assert!(
            message.contains("no/such") && message.contains("nor/this"),
            "{message}"
        );
        assert!(message.contains("$OUTCORE_DIR"), "{message}");
    }

    #[test]
    fn a_report_names_path_and_file_system() {
        let report = ScratchDir::new(here()).unwrap().report().unwrap();
        assert_eq!(report.path, here());
        assert!(!report.file_system.is_empty() && report.total_bytes > 0);
    }
}
