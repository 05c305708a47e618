//! Tests that need a separate process: the binary starts itself again with the name of one test.
//!
//! ```text
//! let Some(child) = child(test_name!()) else {
//!     return in_the_child();   // alone in the process: limits, signals and forks do no harm
//! };
//! child.env("TMPDIR", "...").run();
//! ```

use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Set in the children, to the name of their test.
const ROLE: &str = "OUTCORE_TEST_CHILD";

/// A process that will run one test.
#[must_use]
pub(crate) struct Again(Command);

/// Prepares a process that runs this test alone, or returns `None` in that process.
pub(crate) fn child(test: &str) -> Option<Again> {
    if is_child_of(test) {
        return None;
    }
    let mut command = Command::new(env::current_exe().unwrap());
    prepare(&mut command, test);
    command.env(ROLE, test);
    Some(Again(command))
}

/// Writes a line to standard output for the parent, bypassing the harness.
pub(crate) fn tell(line: impl Display) {
    let line = format!("\n{line}\n");
    io::stdout().write_all(line.as_bytes()).unwrap();
}

/// The unprivileged user of every system.
pub(crate) const NOBODY: u32 = 65534;

/// Returns whether that user exists and can reach this binary.
pub(crate) fn nobody_can_run_this() -> bool {
    let mut probe = Command::new(env::current_exe().unwrap());
    probe.arg("--list").uid(NOBODY).stdout(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Returns whether this process was started for this test.
pub(crate) fn is_child_of(test: &str) -> bool {
    env::var_os(ROLE).is_some_and(|role| role == test)
}

/// Adds the arguments that make the harness run one test.
pub(crate) fn prepare(command: &mut Command, test: &str) {
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .stdin(Stdio::null());
}

impl Again {
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    pub(crate) fn current_dir(mut self, path: impl AsRef<Path>) -> Self {
        self.0.current_dir(path);
        self
    }

    /// Runs the process as another user.
    pub(crate) fn user(mut self, id: u32) -> Self {
        self.0.uid(id);
        self
    }

    /// Runs the test and returns what it printed; panics unless it passed.
    #[track_caller]
    pub(crate) fn run(mut self) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.0.output().unwrap();
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(
            status.success() && stdout.contains("1 passed"),
            "the child ended with {status}\n{stdout}\n{stderr}"
        );
        stdout
    }

    /// Starts the test with pipes to and from it.
    pub(crate) fn spawn(mut self) -> Child {
        self.0
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}
