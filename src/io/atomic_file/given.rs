//! A name for a file that was written elsewhere on the same file system.

use std::io::ErrorKind::{
    AlreadyExists, CrossesDevices, InvalidInput, NotFound, PermissionDenied, Unsupported,
};
use std::path::Path;

use crate::error::{Error, Result};
use crate::io::atomic_file::target::{advise, examine, keep_permissions, resolve};
use crate::io::file::OwnedFile;
use crate::io::place::{Linked, PUBLISH, Place};
use crate::sys::Facts;

/// A name that a file will get which exists already.
#[derive(Debug)]
pub(crate) struct Destination {
    place: Place,
    replaced: Option<Facts>,
}

/// The result of giving a file a name.
#[derive(Debug)]
pub(crate) enum Named {
    /// The file has the name. It may not be on the device.
    Done,
    /// This file cannot have a name there, but a copy of it could. It had none at any time.
    Never,
    /// It has no name, and had none at any time.
    Refused(Error),
    /// It may have a name, or may have had one for a moment.
    Failed(Error),
}

impl Destination {
    /// Examines what is at `path`. A file there is refused, unless it is to be replaced.
    pub(crate) fn new(path: &Path, replaces: bool) -> Result<Self> {
        let target = resolve(path)?;
        let examined = examine(&target).map_err(|refused| advise(refused, &target));
        let (place, found) = examined?;
        if found.is_some() && !replaces {
            return Err(taken(place.path()));
        }
        Ok(Self {
            place,
            replaced: found,
        })
    }

    /// Returns the path, with links resolved.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Returns whether a file without a name, which can get one, can probably get this one.
    pub(crate) fn suits(&self, file: &OwnedFile) -> Result<bool> {
        Ok(self.place.shares_device(file)? && self.place.is_linkable(file)?)
    }

    /// Gives a file without a name, all of which is on the device, this name at once.
    pub(crate) fn name(&self, file: &OwnedFile) -> Named {
        let Some(replaced) = self.replaced else {
            return match self.place.link(file) {
                Ok(Linked::Done) => Named::Done,
                Ok(Linked::Taken) => Named::Refused(taken(self.path())),
                Ok(Linked::Astray) => Named::Failed(self.place.astray()),
                Err(refused) if is_elsewhere(&refused) => Named::Never,
                Err(refused) => Named::Failed(refused),
            };
        };
        if let Err(refused) = keep_permissions(file, replaced, self.path()) {
            return Named::Refused(refused);
        }
        match self.place.link_aside(file) {
            Ok(aside) => match self.place.replace(&aside) {
                Ok(()) => Named::Done,
                Err(refused) => {
                    self.place.remove_aside(&aside);
                    Named::Failed(refused)
                }
            },
            Err(refused) if is_elsewhere(&refused) => Named::Never,
            // The name may have been given to another file, and this one another name.
            Err(refused) => Named::Failed(refused),
        }
    }

    /// Waits until the name of a file is on the device.
    pub(crate) fn sync_name(&self, file: &OwnedFile) -> Result<()> {
        let synced = file.sync_by(|| self.place.sync());
        synced.map_err(|refused| refused.of_file(PUBLISH, self.path()))
    }
}

/// Returns whether the system refuses to give this file a name there, whatever name it is.
fn is_elsewhere(refused: &Error) -> bool {
    let kinds = [
        CrossesDevices,
        InvalidInput,
        NotFound,
        PermissionDenied,
        Unsupported,
    ];
    let answer = refused.io_error().map(std::io::Error::kind);
    answer.is_some_and(|answer| kinds.contains(&answer))
}

#[cold]
fn taken(path: &Path) -> Error {
    Error::io(PUBLISH, AlreadyExists.into()).at(path)
}
