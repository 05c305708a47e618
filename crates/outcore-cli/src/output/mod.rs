//! Where the kept lines go: a file that appears when complete, a stream, or nowhere.

pub(crate) mod atomic_file;
pub(crate) mod sequence;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use crate::failure::{Failure, Result, shown};
use crate::output::atomic_file::Unpublished;

/// A place to write to.
#[derive(Debug)]
pub(crate) struct Output {
    sink: Sink,
    /// In messages.
    name: String,
}

#[derive(Debug)]
enum Sink {
    /// A regular file that takes its place at the end.
    Whole(Unpublished),
    /// Standard output, a device or a pipe.
    Stream(File),
    Nowhere,
}

impl Output {
    /// Opens the destination that the user named; `-` is standard output.
    ///
    /// A regular file is not touched before [`finish`](Self::finish): it may be one of
    /// the inputs. Anything else is written directly.
    ///
    /// # Errors
    ///
    /// The destination cannot be written.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Self::stdout();
        }
        let name = shown(path);
        let refused = |answer| Failure::write(&name, &answer);
        let sink = match fs::metadata(path) {
            Ok(facts) if facts.is_dir() => {
                return Err(refused(io::ErrorKind::IsADirectory.into()));
            }
            Ok(facts) => {
                // Also proves that the user may write there: a rename would not ask.
                let file = OpenOptions::new().write(true).open(path);
                let file = file.map_err(refused)?;
                if facts.is_file() {
                    Sink::Whole(replacement(path, &facts).map_err(refused)?)
                } else {
                    Sink::Stream(file)
                }
            }
            Err(answer) if answer.kind() == io::ErrorKind::NotFound => {
                Sink::Whole(Unpublished::create(path.to_owned(), None).map_err(refused)?)
            }
            Err(answer) => return Err(refused(answer)),
        };
        Ok(Self { sink, name })
    }

    /// Writes to standard output.
    ///
    /// # Errors
    ///
    /// It is closed.
    pub(crate) fn stdout() -> Result<Self> {
        let name = "standard output".to_owned();
        let file = stdout().map_err(|answer| Failure::write(&name, &answer))?;
        Ok(Self {
            sink: Sink::Stream(file),
            name,
        })
    }

    /// Counts what is written and drops it.
    pub(crate) fn nowhere() -> Self {
        Self {
            sink: Sink::Nowhere,
            name: String::new(),
        }
    }

    /// Returns what it is called in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether both would be the same file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.sink, &other.sink) {
            (Sink::Whole(a), Sink::Whole(b)) => a.target() == b.target(),
            _ => false,
        }
    }

    /// Returns whether people see what is written.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(&self.sink, Sink::Stream(file) if file.is_terminal())
    }

    /// Refuses an input that is also the stream written to: it would be read while it
    /// grows, or is empty already.
    ///
    /// # Errors
    ///
    /// It is so.
    pub(crate) fn check_input(&self, path: &Path) -> Result<()> {
        let Sink::Stream(file) = &self.sink else {
            return Ok(());
        };
        let (Ok(input), Ok(output)) = (fs::metadata(path), file.metadata()) else {
            return Ok(());
        };
        if input.is_file() && same_file(&input, &output) {
            return Err(Failure::new(format!(
                "{} is also {}; name it with --output to replace it",
                shown(path),
                self.name
            )));
        }
        Ok(())
    }

    /// Returns whether bytes have to be written in order, one thread after the other.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(self.sink, Sink::Stream(_))
    }

    /// Returns the directory of a file that takes its place at the end.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match &self.sink {
            Sink::Whole(file) => Some(file.directory()),
            Sink::Stream(_) | Sink::Nowhere => None,
        }
    }

    /// Writes all of `bytes`, which come at `offset` of all that is written.
    ///
    /// # Errors
    ///
    /// [`Failure::BrokenPipe`], or the system's answer in words.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = match &self.sink {
            Sink::Whole(file) => file.write_all_at(bytes, offset),
            Sink::Stream(file) => {
                let mut file: &File = file;
                file.write_all(bytes)
            }
            Sink::Nowhere => Ok(()),
        };
        written.map_err(|answer| Failure::write(&self.name, &answer))
    }

    /// Puts a regular file in its place. Without this call it never appears.
    ///
    /// # Errors
    ///
    /// The file cannot take its place; what was there stays.
    pub(crate) fn finish(self) -> Result<()> {
        match self.sink {
            Sink::Whole(file) => file
                .publish()
                .map_err(|answer| Failure::write(&self.name, &answer)),
            Sink::Stream(_) | Sink::Nowhere => Ok(()),
        }
    }
}

/// Starts a file that will replace the one at `path`, or where a link there leads.
fn replacement(path: &Path, replaced: &Metadata) -> io::Result<Unpublished> {
    Unpublished::create(fs::canonicalize(path)?, Some(replaced))
}

#[cfg(unix)]
fn same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn same_file(_: &Metadata, _: &Metadata) -> bool {
    false
}

/// Returns standard output without the line buffer that std puts in front of it.
#[cfg(unix)]
fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd;

    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
fn stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle;

    Ok(File::from(io::stdout().as_handle().try_clone_to_owned()?))
}
