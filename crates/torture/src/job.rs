//! The job of a child process, and how the child ended. A child is this program again, with one job
//! as arguments of the form `name=value`.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// The first argument of a child.
pub(crate) const CHILD: &str = "child";

/// A case that hangs fails after this many seconds: many times as long as any takes where a processor has
/// other work and the disk is slow.
pub(crate) const SECONDS_MAX: u32 = 300;

/// The task of a child.
#[derive(Clone, Debug, Default)]
pub(crate) struct Job(BTreeMap<String, OsString>);

impl Job {
    /// Starts to describe a job.
    pub(crate) fn new(what: &str, seed: u64, dir: &Path) -> Self {
        Self::default()
            .with("do", what)
            .with("seed", seed)
            .path("dir", dir)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Display) -> Self {
        self.0.insert(name.to_owned(), value.to_string().into());
        self
    }

    pub(crate) fn path(mut self, name: &str, path: &Path) -> Self {
        self.0.insert(name.to_owned(), path.into());
        self
    }

    /// Plants a bug, if there is one.
    pub(crate) fn bug(self, bug: Option<&str>) -> Self {
        match bug {
            Some(bug) => self.with("bug", bug),
            None => self,
        }
    }

    /// Reads the job of this process.
    pub(crate) fn of_this_process() -> Self {
        let named = |argument: OsString| {
            let bytes = argument.into_vec();
            let middle = bytes.iter().position(|byte| *byte == b'=')?;
            let name = String::from_utf8(bytes[..middle].to_vec()).ok()?;
            Some((name, OsString::from_vec(bytes[middle + 1..].to_vec())))
        };
        Self(env::args_os().skip(2).filter_map(named).collect())
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.0
            .get(name)
            .and_then(|value| value.to_str())
            .unwrap_or_default()
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.0.get(name).map(PathBuf::from).unwrap_or_default()
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.path_of("dir")
    }

    /// Returns the arguments of a child with this job.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let joined = |(name, value): (&String, &OsString)| {
            OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat())
        };
        let job = self.0.iter().map(joined);
        std::iter::once(CHILD.into()).chain(job).collect()
    }

    /// Gives a command the environment that children need: large blocks spill only where the job is
    /// about that, and the heap of the C library neither maps nor returns memory while limits and
    /// injected failures should affect only the library.
    pub(crate) fn prepare(&self, command: &mut Command) {
        let tunables = "glibc.malloc.mmap_max=0:glibc.malloc.top_pad=134217728:\
                        glibc.malloc.trim_threshold=4294967296:glibc.malloc.arena_max=1";
        command
            .env_remove("OUTCORE_SPILL")
            .env("RUST_BACKTRACE", "0")
            .env("OUTCORE_DIR", self.dir())
            .stdin(Stdio::null());
        if self.has("steady-heap") {
            command.env("GLIBC_TUNABLES", tunables);
        }
        if self.text("container") == "spill" {
            command.env("OUTCORE_SPILL", "64KiB");
        }
    }

    /// Returns a command that runs the job in a separate process.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(exe());
        command.args(self.arguments());
        self.prepare(&mut command);
        command
    }

    /// Runs the job in a separate process.
    pub(crate) fn run(&self) -> Ended {
        Ended::of(self.command())
    }
}

/// Returns the path of this program.
pub(crate) fn exe() -> PathBuf {
    env::current_exe().unwrap()
}

/// How a child ended, and its output.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) said: String,
    pub(crate) complained: String,
}

impl Ended {
    /// Runs a command to its end.
    pub(crate) fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            status: output.status,
            said: text(&output.stdout),
            complained: text(&output.stderr),
        }
    }

    /// Returns the counts, or why the child failed.
    pub(crate) fn verdict(&self) -> Result<Tally, String> {
        let complained = self.complaint();
        if let Some(signal) = self.status.signal() {
            return Err(format!("killed by signal {signal}: {complained}"));
        }
        if !self.status.success() {
            return Err(format!("{}: {complained}", self.status));
        }
        let mut tally = Tally::default();
        for line in self.said.lines() {
            let mut words = line.split(' ');
            if words.next() == Some("counted") {
                if let (Some(count), Some(what)) = (words.next(), words.next()) {
                    tally.add(what, count.parse().unwrap_or(0));
                }
            }
        }
        Ok(tally)
    }

    /// Returns the standard error in one line, without std's text around a panic.
    fn complaint(&self) -> String {
        let lines = self.complained.lines().map(str::trim);
        let told = lines.filter(|line| !line.is_empty() && !line.starts_with("note: run with"));
        let told: Vec<&str> = told.collect();
        told.join(" ").replace("thread 'main' ", "")
    }
}

/// Event counts of one case or of many, by name. Names that start with `max-` keep the largest
/// number, all others the sum.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(pub(crate) BTreeMap<String, u64>);

impl Tally {
    pub(crate) fn add(&mut self, what: &str, count: u64) {
        let sum = self.0.entry(what.to_owned()).or_default();
        *sum = if what.starts_with("max-") {
            count.max(*sum)
        } else {
            *sum + count
        };
    }

    pub(crate) fn of(what: &str) -> Self {
        let mut tally = Self::default();
        tally.add(what, 1);
        tally
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            self.add(what, *count);
        }
    }
}

/// Prints a line for the parent.
pub(crate) fn tell(line: impl Display) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

/// Prints a count for the parent.
pub(crate) fn counted(what: &str, count: u64) {
    tell(format_args!("counted {count} {what}"));
}
