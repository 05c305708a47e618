//! A memory cgroup, page cache included, as a cap on the memory of a child process.
//!
//! The parent makes the group and hands its folder to the child as an argument; the child enters it
//! before it does anything else. So no code runs between `fork` and `exec`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use crate::error::{Context, Result, skip};

/// How the names of rows end whose memory group may swap.
pub const WITH_SWAP: &str = "_with_swap";

/// The files of a memory controller.
struct Controller {
    /// The name of the version, for the record.
    name: &'static str,
    root: &'static str,
    limit: &'static str,
    peak: &'static str,
    /// The file that limits swap; version 1 limits memory and swap together.
    swap: &'static str,
}

/// One tree for all; dirty pages are throttled for each group.
const V2: Controller = Controller {
    name: "v2",
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    peak: "memory.peak",
    swap: "memory.swap.max",
};

/// A tree of its own; dirty pages are throttled for the whole machine only.
const V1: Controller = Controller {
    name: "v1",
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    peak: "memory.max_usage_in_bytes",
    swap: "memory.memsw.limit_in_bytes",
};

impl Controller {
    fn here() -> &'static Self {
        let controllers = fs::read_to_string(Path::new(V2.root).join("cgroup.controllers"));
        let mut names = controllers.iter().flat_map(|text| text.split_whitespace());
        if names.any(|name| name == "memory") {
            &V2
        } else {
            &V1
        }
    }
}

/// Returns the folder of the memory group that this process makes for its children.
pub fn group_folder() -> PathBuf {
    Path::new(Controller::here().root).join(format!("outcore-bench-{}", process::id()))
}

/// Returns the file by which a process leaves its memory group.
pub fn way_out() -> PathBuf {
    Path::new(Controller::here().root).join("cgroup.procs")
}

/// Says what limits the memory of rows that have a limit, for the record.
pub fn means() -> String {
    match Group::new(1 << 30, false) {
        Ok(group) => format!("memory cgroup {}, page cache included", group.0.name),
        Err(error) => format!("nothing: {error:#}"),
    }
}

/// A memory group of our own, removed on drop.
pub struct Group(&'static Controller, PathBuf);

impl Group {
    /// Makes a group with a cap of `bytes`, and of none on swap if it may. Skips where that is not
    /// allowed.
    pub fn new(bytes: u64, may_swap: bool) -> Result<Self> {
        Self::made(bytes, may_swap).map_err(|error| skip(format!("no memory cgroup: {error:#}")))
    }

    fn made(bytes: u64, may_swap: bool) -> Result<Self> {
        let (controller, folder) = (Controller::here(), group_folder());
        let is_v2 = controller.name == V2.name;
        if is_v2 {
            let control = Path::new(V2.root).join("cgroup.subtree_control");
            fs::write(control, "+memory").context("hand the memory controller down")?;
        }
        fs::create_dir_all(&folder).context("make a group")?;
        let group = Self(controller, folder);
        let write = |file: &str, limit: u64| {
            fs::write(group.1.join(file), limit.to_string()).with_context(|| file.to_owned())
        };
        write(controller.limit, bytes)?;
        // A kernel without swap accounting lacks the file.
        if !may_swap && group.1.join(controller.swap).exists() {
            write(controller.swap, if is_v2 { 0 } else { bytes })?;
        }
        Ok(group)
    }

    /// Returns the folder, which the child enters.
    pub fn folder(&self) -> String {
        self.1.display().to_string()
    }

    /// Returns the most memory the group ever had, page cache included.
    pub fn peak_bytes(&self) -> Option<u64> {
        let text = fs::read_to_string(self.1.join(self.0.peak)).ok()?;
        text.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Version 1 keeps the page cache of what ran inside: hand it back first.
        let empty = self.1.join("memory.force_empty");
        if empty.exists() {
            drop(fs::write(empty, "0"));
        }
        if let Err(error) = fs::remove_dir(&self.1) {
            eprintln!("a memory group stays behind: {error}");
        }
    }
}

/// Puts this process into the group of `folder`.
pub fn enter(folder: &Path) -> Result<()> {
    let own = process::id().to_string();
    fs::write(folder.join("cgroup.procs"), own).context("enter a memory group")
}

/// Goes on where the machine has swap, and skips where it has none.
pub fn expect_swap() -> Result<()> {
    // A line of titles, and one for each place that is swapped to.
    let places = fs::read_to_string("/proc/swaps").unwrap_or_default();
    if places.lines().count() > 1 {
        return Ok(());
    }
    Err(skip("this machine has no swap"))
}
