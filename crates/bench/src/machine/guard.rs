//! Puts the machine back as it was when the measuring program is gone, however it ended.
//!
//! A shell waits at the other end of a pipe. The kernel closes the pipe when the program ends: by
//! itself, by Ctrl-C, or by a signal that cannot be caught. Then the shell follows what was written
//! into the pipe: it writes old settings back and removes what children left behind. It is in a
//! process group of its own, so that Ctrl-C does not reach it.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::error::{Context, Result, ensure};

/// Reads all orders before it follows the first. Processes of a memory group may be dying still.
const SCRIPT: &str = "\
put_back() { printf %s \"$2\" >\"$1\"; }
remove_group() { for _ in $(seq 100); do [ -e \"$1\" ] && ! rmdir \"$1\" 2>/dev/null || return; sleep 0.05; done; }
orders=$(cat); eval \"$orders\"";

/// The process that waits, until dropped.
pub struct Guard {
    child: Child,
    orders: Option<ChildStdin>,
}

impl Guard {
    pub fn start() -> Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start the guard")?;
        let orders = child.stdin.take();
        Ok(Self { child, orders })
    }

    /// Has `text` written into `file` at the end.
    pub fn write_back(&mut self, file: &Path, text: &str) -> Result<()> {
        self.order("put_back", &[file, Path::new(text.trim())])
    }

    /// Has a folder with all that is in it removed at the end.
    pub fn remove_folder(&mut self, folder: &Path) -> Result<()> {
        self.order("rm -rf", &[folder])
    }

    /// Has a memory group removed at the end.
    pub fn remove_group(&mut self, folder: &Path) -> Result<()> {
        self.order("remove_group", &[folder])
    }

    fn order(&mut self, what: &str, words: &[&Path]) -> Result<()> {
        let words = words.iter().map(|word| word.display().to_string());
        let words: Vec<String> = words.collect();
        ensure!(
            !words.concat().contains('\''),
            "the guard cannot take a quote"
        );
        let orders = self.orders.as_mut().context("the guard is gone")?;
        writeln!(orders, "{what} '{}'", words.join("' '")).context("tell the guard")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Closes the pipe: the guard does its work and ends.
        self.orders = None;
        if let Err(error) = self.child.wait() {
            eprintln!("the guard: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_was_changed_comes_back_when_the_guard_is_alone() {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let folder = target.join(format!("guard-test-{}", std::process::id()));
        let (file, deep) = (folder.join("setting"), folder.join("deep/er"));
        let group = folder.join("group");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(&group).unwrap();
        let mut guard = Guard::start().unwrap();
        guard.write_back(&file, "128\n").unwrap();
        guard.remove_folder(&folder.join("deep")).unwrap();
        guard.remove_group(&group).unwrap();
        guard.remove_group(Path::new("/nowhere")).unwrap();
        fs::write(&file, "changed").unwrap();
        drop(guard);
        assert_eq!(fs::read_to_string(&file).unwrap(), "128");
        assert!(!deep.exists() && !group.exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
