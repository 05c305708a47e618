//! Where an output will go, found out before anything is opened or made.
//!
//! One file has many names: relative ones, those through links, hard links. So targets are compared
//! by what they lead to: the device and the inode number of what is there, or, where nothing is, of
//! the directory, and the name in it.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result, shown};
use crate::file_id::{FileId, keeps_bytes};

/// A place for an output.
#[derive(Debug)]
pub(crate) struct Target {
    /// `None` is standard output.
    path: Option<PathBuf>,
    /// In messages.
    name: String,
    found: Found,
}

/// What is there now.
#[derive(Debug)]
enum Found {
    /// A file, a pipe or a device.
    There(Metadata),
    /// Nothing: a new file in this directory, with this name.
    Free(FileId, OsString),
}

impl Target {
    /// Looks at a place that the user named; `-` is standard output.
    ///
    /// # Errors
    ///
    /// No file can be there.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Self::stdout();
        }
        let name = shown(path);
        let found = look(path).map_err(|answer| Failure::write(&name, &answer))?;
        Ok(Self {
            path: Some(path.to_owned()),
            name,
            found,
        })
    }

    /// Looks at standard output.
    ///
    /// # Errors
    ///
    /// It is closed.
    pub(crate) fn stdout() -> Result<Self> {
        let name = "standard output".to_owned();
        let facts = metadata_of(io::stdout().as_fd());
        let facts = facts.map_err(|answer| Failure::write(&name, &answer))?;
        Ok(Self {
            path: None,
            name,
            found: Found::There(facts),
        })
    }

    /// Returns the path, unless it is standard output.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns what it is called in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns which file is there, if bytes written to it stay.
    pub(crate) fn file_id(&self) -> Option<FileId> {
        match &self.found {
            Found::There(facts) => keeps_bytes(facts).then(|| FileId::of(facts)),
            Found::Free(..) => None,
        }
    }

    /// Returns whether a new file takes its place at the end, so that what is there now may be an
    /// input.
    pub(crate) fn is_replaced(&self) -> bool {
        match &self.found {
            Found::There(facts) => self.path.is_some() && facts.is_file(),
            Found::Free(..) => true,
        }
    }

    /// Returns whether both lead to one file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.found, &other.found) {
            (Found::Free(directory, name), Found::Free(other_directory, other_name)) => {
                (directory, name) == (other_directory, other_name)
            }
            _ => self.file_id().is_some() && self.file_id() == other.file_id(),
        }
    }

    /// Refuses a file that takes the place of the one that standard error writes to: what that says
    /// would be lost.
    ///
    /// # Errors
    ///
    /// It is so.
    pub(crate) fn check_stderr(&self) -> Result<()> {
        let Ok(stderr) = metadata_of(io::stderr().as_fd()) else {
            return Ok(());
        };
        if self.is_replaced() && self.file_id() == Some(FileId::of(&stderr)) {
            return Err(Failure::new(format!(
                "{} is also standard error, and would be replaced; name another file",
                self.name
            )));
        }
        Ok(())
    }
}

/// Finds out what a path leads to.
fn look(path: &Path) -> io::Result<Found> {
    match fs::metadata(path) {
        Ok(facts) if facts.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(facts) => Ok(Found::There(facts)),
        Err(answer) if answer.kind() == io::ErrorKind::NotFound => {
            let (Some(name), Some(directory)) = (path.file_name(), path.parent()) else {
                return Err(answer);
            };
            let directory = if directory.as_os_str().is_empty() {
                Path::new(".")
            } else {
                directory
            };
            let facts = fs::metadata(directory)?;
            Ok(Found::Free(FileId::of(&facts), name.to_owned()))
        }
        Err(answer) => Err(answer),
    }
}

fn metadata_of(fd: impl AsFd) -> io::Result<Metadata> {
    File::from(fd.as_fd().try_clone_to_owned()?).metadata()
}
