//! Where records go: a file that appears when complete, a stream, or nowhere.

pub(crate) mod sequence;
pub(crate) mod target;
pub(crate) mod writing;

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

use outcore::AtomicFile;

use crate::failure::{Failure, Result};
use crate::file_id::FileId;
use crate::output::target::Target;
use crate::signals;

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
    Whole(Box<AtomicFile>),
    /// Standard output, a device or a pipe.
    Stream(File),
    Nowhere,
}

impl Output {
    /// Opens a target.
    ///
    /// A regular file is not touched before [`finish`](Self::finish): it may be one of
    /// the inputs. Anything else is written directly.
    ///
    /// # Errors
    ///
    /// The target cannot be written.
    pub(crate) fn open(target: &Target) -> Result<Self> {
        let opened = match target.path() {
            Some(path) if target.is_replaced() => {
                let whole = whole(path).map_err(|refused| failed(target.name(), refused))?;
                Ok(Sink::Whole(Box::new(whole)))
            }
            Some(path) => OpenOptions::new().write(true).open(path).map(Sink::Stream),
            None => stdout().map(Sink::Stream),
        };
        let name = target.name().to_owned();
        match opened {
            Ok(sink) => Ok(Self { sink, name }),
            Err(answer) => Err(Failure::write(&name, &answer)),
        }
    }

    /// Writes to standard output.
    ///
    /// # Errors
    ///
    /// It is closed.
    pub(crate) fn stdout() -> Result<Self> {
        Self::open(&Target::stdout()?)
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

    /// Returns whether people see what is written.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(&self.sink, Sink::Stream(file) if file.is_terminal())
    }

    /// Returns whether bytes have to be written in order, one thread after the other.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(self.sink, Sink::Stream(_))
    }

    /// Returns the directory of a file that takes its place at the end.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match &self.sink {
            Sink::Whole(file) => Some(directory(file.path())),
            Sink::Stream(_) | Sink::Nowhere => None,
        }
    }

    /// Returns which file it is that takes its place at the end.
    pub(crate) fn file_id(&self) -> Option<FileId> {
        match &self.sink {
            Sink::Whole(file) => Some(FileId::from(file.identity().ok()?)),
            Sink::Stream(_) | Sink::Nowhere => None,
        }
    }

    /// Returns whether its name leads to this file by now.
    pub(crate) fn leads_to(&self, id: FileId) -> bool {
        let Sink::Whole(file) = &self.sink else {
            return false;
        };
        fs::symlink_metadata(file.path()).is_ok_and(|facts| FileId::of(&facts) == id)
    }

    /// Writes all of `bytes`, which come at `offset` of all that is written.
    ///
    /// # Errors
    ///
    /// [`Failure::BrokenPipe`], or the system's answer in words.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = match &self.sink {
            Sink::Whole(file) => {
                let written = file.write_all_at(bytes, offset);
                return written.map_err(|refused| failed(&self.name, refused));
            }
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
        let Sink::Whole(file) = self.sink else {
            return Ok(());
        };
        let published = publish(*file);
        published.map_err(|refused| failed(&self.name, refused))
    }
}

/// Gives a file its name. It waits for the disk only if it replaces another, which may have held the
/// only copy; a new file is lost with its name, and can be made again.
fn publish(file: AtomicFile) -> outcore::Result<()> {
    // First, since a signal has to wait for what no signal may come into.
    if file.replaces() {
        file.sync()?;
    }
    signals::undisturbed(|_names| file.publish_without_sync())
}

/// Returns the directory that holds a file.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Describes what the library or the system refuses.
fn failed(name: &str, refused: outcore::Error) -> Failure {
    match refused.io_error() {
        Some(answer) => Failure::write(name, answer),
        None => refused.into(),
    }
}

/// Starts a file that takes its place at the end. A signal removes the name that it may have until
/// then.
fn whole(path: &Path) -> outcore::Result<AtomicFile> {
    signals::undisturbed(|names| {
        let file = AtomicFile::create(path)?;
        names.extend(file.temporary_path());
        Ok(file)
    })
}

/// Returns standard output without the line buffer that std puts in front of it.
fn stdout() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}
