//! Puts the machine back as it was when the measuring program is gone, however it went.
//!
//! A second process waits at the other end of a pipe. The kernel closes the pipe when the
//! program ends: by itself, by Ctrl-C, or by a signal that nobody can catch. Then the second
//! process writes old settings back and removes what children left behind. It is in a
//! process group of its own, so that Ctrl-C does not reach it.

use std::env;
use std::fs;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::failure::{Context, Failure, Result};

/// The only argument of the second process.
pub const ARGUMENT: &str = "--guard";

/// How often a memory group is tried to be removed: its processes may be dying still.
const ATTEMPTS: u32 = 100;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// The process that waits, until dropped.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    orders: Option<ChildStdin>,
}

impl Guard {
    /// Starts the process.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start() -> Result<Self> {
        let own = env::current_exe().context("find the own program")?;
        let mut child = Command::new(own)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start the guard")?;
        let orders = child.stdin.take();
        Ok(Self { child, orders })
    }

    /// Asks for `text` to be written into `file` at the end.
    ///
    /// # Errors
    ///
    /// The guard is gone.
    pub fn write_back(&mut self, file: &Path, text: &str) -> Result<()> {
        self.order("write", file, text.trim())
    }

    /// Asks for a folder with all that is in it to be removed at the end, if it is there.
    ///
    /// # Errors
    ///
    /// The guard is gone.
    pub fn remove_folder(&mut self, folder: &Path) -> Result<()> {
        self.order("folder", folder, "")
    }

    /// Asks for a memory group to be removed at the end, if it is there.
    ///
    /// # Errors
    ///
    /// The guard is gone.
    pub fn remove_group(&mut self, folder: &Path) -> Result<()> {
        self.order("group", folder, "")
    }

    fn order(&mut self, what: &str, path: &Path, text: &str) -> Result<()> {
        let path = path.to_str().filter(|path| !path.contains(['\t', '\n']));
        let path = path.ok_or_else(|| Failure::new("the guard wants a path without tabs"))?;
        let gone = || Failure::new("the guard is gone");
        let orders = self.orders.as_mut().ok_or_else(gone)?;
        writeln!(orders, "{what}\t{path}\t{text}").context("tell the guard")
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

/// Is the second process: collects orders until the pipe is closed, then follows them, the
/// first one last. So of two values of one file the older one stays.
pub fn watch(orders: impl BufRead) {
    let all: Vec<String> = orders.lines().map_while(Result::ok).collect();
    for order in all.iter().rev() {
        let fields: Vec<&str> = order.split('\t').collect();
        let followed = match fields.as_slice() {
            ["write", file, text] => fs::write(file, text),
            ["folder", folder, _] if Path::new(folder).exists() => fs::remove_dir_all(folder),
            ["group", folder, _] => remove_group(Path::new(folder)),
            _ => Ok(()),
        };
        if let Err(error) = followed {
            eprintln!("{order}: {error}");
        }
    }
}

fn remove_group(folder: &Path) -> std::io::Result<()> {
    let mut attempts = 0;
    while folder.exists() {
        attempts += 1;
        match fs::remove_dir(folder) {
            Err(error) if attempts == ATTEMPTS => return Err(error),
            Err(_busy) => thread::sleep(PAUSE),
            Ok(()) => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_value_is_the_one_that_comes_back() {
        let name = format!("guard-test-{}", std::process::id());
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let (file, folder) = (target.join(&name), target.join(format!("{name}-folder")));
        fs::create_dir_all(folder.join("deep")).unwrap();
        fs::write(&file, "changed").unwrap();
        let [file, folder] = [file, folder].map(|path| path.display().to_string());
        let orders = format!("write\t{file}\t8192\nfolder\t{folder}\t\nwrite\t{file}\t128\n");
        watch(orders.as_bytes());
        assert_eq!(fs::read_to_string(&file).unwrap(), "8192");
        assert!(!Path::new(&folder).exists());
        // A second time there is nothing to remove, and that is no error.
        watch(format!("folder\t{folder}\t\ngroup\t{folder}\t\n").as_bytes());
        fs::remove_file(file).unwrap();
    }
}
