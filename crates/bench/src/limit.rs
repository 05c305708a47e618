//! A cap on the memory of a child process: a memory cgroup where we may make one,
//! otherwise `RLIMIT_DATA`, which caps less and is named as such.
//!
//! The parent makes the group and hands its folder to the child as an argument; the
//! child goes in before it does anything else. So no code runs between `fork` and `exec`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use rustix::process::{Resource, Rlimit};

use crate::failure::{Context, Failure, Result};

/// Where the groups of the second version are, and where the memory groups of the first.
const ROOT_V2: &str = "/sys/fs/cgroup";
const ROOT_V1: &str = "/sys/fs/cgroup/memory";

/// Returns the folder of the memory group that this process makes for its children.
pub fn group_folder() -> PathBuf {
    let root = if Version::here() == Version::V2 {
        ROOT_V2
    } else {
        ROOT_V1
    };
    Path::new(root).join(format!("outcore-bench-{}", process::id()))
}

/// Says what limits the memory of rows that have a limit, for the record.
pub fn means() -> String {
    match Group::new(1 << 30, false) {
        Ok(group) => format!(
            "memory cgroup {}, page cache included",
            group.version.name()
        ),
        Err(error) => {
            format!("RLIMIT_DATA, so the page cache is not limited: no memory cgroup ({error})")
        }
    }
}

/// Which memory controller the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One tree for all; dirty pages are throttled per group.
    V2,
    /// A tree of its own; dirty pages are throttled for the whole machine only.
    V1,
    /// None that is mounted where it usually is.
    None,
}

impl Version {
    /// Looks which one is there.
    pub fn here() -> Self {
        let controllers = Path::new(ROOT_V2).join("cgroup.controllers");
        let controllers = fs::read_to_string(controllers).unwrap_or_default();
        if controllers.split_whitespace().any(|name| name == "memory") {
            Self::V2
        } else if Path::new(ROOT_V1).join("memory.limit_in_bytes").exists() {
            Self::V1
        } else {
            Self::None
        }
    }

    /// Returns the name for the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V1 => "v1",
            Self::None => "none",
        }
    }
}

/// A cap that a child can be put under.
#[derive(Debug)]
pub enum Limit {
    /// A memory cgroup, removed on drop.
    Group(Group),
    /// The child limits its own private memory to this many bytes.
    Data(u64),
}

/// A memory cgroup of our own.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    version: Version,
}

impl Limit {
    /// Makes a group with a cap of `bytes`, and of none on swap if it may, or falls back to `RLIMIT_DATA` and says why
    /// on the standard error.
    pub fn new(bytes: u64, may_swap: bool) -> Self {
        match Group::new(bytes, may_swap) {
            Ok(group) => Self::Group(group),
            Err(error) => {
                eprintln!("no memory cgroup ({error}): RLIMIT_DATA instead, page cache unlimited");
                Self::Data(bytes)
            }
        }
    }

    /// Returns the arguments that tell the child.
    pub fn arguments(&self) -> [String; 2] {
        match self {
            Self::Group(group) => ["--group".to_owned(), group.folder.display().to_string()],
            Self::Data(bytes) => ["--data-limit".to_owned(), bytes.to_string()],
        }
    }

    /// Returns what kind of cap it is, for the record.
    pub fn name(&self) -> String {
        match self {
            Self::Group(group) => format!("cgroup {}", group.version.name()),
            Self::Data(_) => "RLIMIT_DATA".to_owned(),
        }
    }

    /// Returns the most memory the group ever had, page cache included.
    pub fn peak_bytes(&self) -> Option<u64> {
        let Self::Group(group) = self else {
            return None;
        };
        let file = match group.version {
            Version::V2 => "memory.peak",
            Version::V1 | Version::None => "memory.max_usage_in_bytes",
        };
        let text = fs::read_to_string(group.folder.join(file)).ok()?;
        text.trim().parse().ok()
    }
}

impl Group {
    fn new(bytes: u64, may_swap: bool) -> Result<Self> {
        let version = Version::here();
        let folder = group_folder();
        if version == Version::V2 {
            let control = Path::new(ROOT_V2).join("cgroup.subtree_control");
            fs::write(control, "+memory").context("hand the memory controller down")?;
        }
        fs::create_dir_all(&folder).context("make a group")?;
        let group = Self { folder, version };
        match version {
            Version::V2 => {
                group.write("memory.max", &bytes.to_string())?;
                let most = if may_swap { "max" } else { "0" };
                group.write_if_there("memory.swap.max", most)?;
            }
            Version::V1 | Version::None => {
                group.write("memory.limit_in_bytes", &bytes.to_string())?;
                if !may_swap {
                    let both = "memory.memsw.limit_in_bytes";
                    group.write_if_there(both, &bytes.to_string())?;
                }
            }
        }
        Ok(group)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.folder.join(file), text).context(file)
    }

    /// A kernel without swap accounting lacks the files about it.
    fn write_if_there(&self, file: &str, text: &str) -> Result<()> {
        if self.folder.join(file).exists() {
            self.write(file, text)
        } else {
            Ok(())
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Version 1 keeps the page cache of what ran inside: hand it back first.
        let empty = self.folder.join("memory.force_empty");
        if empty.exists() {
            drop(fs::write(empty, "0"));
        }
        if let Err(error) = fs::remove_dir(&self.folder) {
            eprintln!("a memory group stays behind: {error}");
        }
    }
}

/// How the names of rows end whose memory group may swap.
pub const WITH_SWAP: &str = "_with_swap";

/// Goes on where the machine has swap.
///
/// # Errors
///
/// A skip where it has none.
pub fn expect_swap() -> Result<()> {
    // A line of titles, and one for each place that is swapped to.
    let places = fs::read_to_string("/proc/swaps").unwrap_or_default();
    if places.lines().count() > 1 {
        return Ok(());
    }
    Err(Failure::skip("this machine has no swap"))
}

/// Puts this process into the group of `folder`.
///
/// # Errors
///
/// The folder is no group, or we may not.
pub fn enter_group(folder: &Path) -> Result<()> {
    let own = process::id().to_string();
    fs::write(folder.join("cgroup.procs"), own).context("enter a memory group")
}

/// Limits the private memory of this process.
///
/// # Errors
///
/// The kernel refuses.
pub fn limit_data(bytes: u64) -> Result<()> {
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    rustix::process::setrlimit(Resource::Data, limit).context("set RLIMIT_DATA")
}
