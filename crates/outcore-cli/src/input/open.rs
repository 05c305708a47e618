//! Opening what is in the list, and seeing that it is still what it was.

use std::fs::{self, File};
use std::sync::{Arc, PoisonError};

use outcore::{CachePolicy, InputFile};

use crate::failure::{Failure, Result, shown};
use crate::input::facts::Facts;
use crate::input::list::{Inputs, Kind, Stream};
use crate::input::packed::Unpacked;

impl Inputs {
    /// Opens a regular file, or returns it where another thread has it open.
    ///
    /// # Errors
    ///
    /// It cannot be opened any more, or is another file by now.
    pub(crate) fn open_file(&self, number: usize) -> Result<Arc<InputFile>> {
        let Kind::File(facts) = self.kind(number) else {
            return Err(self.changed(number));
        };
        let open = || self.open_alone(number);
        self.last.get(number, facts.len(), open)
    }

    /// Leaves the page cache to the kernel: what was read is read again, at random.
    pub(crate) fn keep_cached(&mut self) {
        self.last.set_policy(CachePolicy::Keep);
    }

    fn open_alone(&self, number: usize) -> Result<InputFile> {
        let path = self.path(number);
        let refused = |answer| Failure::read(&shown(path), &answer);
        let file = File::options().read(true).open(path).map_err(refused)?;
        let facts = Facts::of(&file.metadata().map_err(refused)?);
        if self.kind(number) == Kind::File(facts) {
            Ok(file.into())
        } else {
            Err(self.changed(number))
        }
    }

    /// Opens what is read from begin to end.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub(crate) fn open_stream(&self, number: usize) -> Result<Stream> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = streams.iter().position(|(owner, _)| *owner == number) {
            return Ok(streams.swap_remove(at).1);
        }
        let path = self.path(number);
        let refused = |answer| Failure::read(&shown(path), &answer);
        let file = File::options().read(true).open(path).map_err(refused)?;
        match (self.kind(number), self.window) {
            (Kind::Packed(facts, codec), Some(window)) => {
                if Facts::of(&file.metadata().map_err(refused)?) != facts {
                    return Err(self.changed(number));
                }
                let file = InputFile::from(file);
                let unpacked = Unpacked::of(codec, Box::new(file), window);
                Ok(Box::new(unpacked.map_err(refused)?))
            }
            (Kind::Pipe, _) => Ok(self.unpacked(Box::new(file))),
            (Kind::File(_), _) => Ok(Box::new(InputFile::from(file))),
            _ => Ok(Box::new(file)),
        }
    }

    /// Looks whether all files are as they were when the list was made.
    ///
    /// # Errors
    ///
    /// One is not.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        for (number, input) in self.list.iter().enumerate() {
            if let Kind::File(facts) | Kind::Packed(facts, _) = input.kind {
                let path = self.path(number);
                let now = fs::metadata(path);
                let now = now.map_err(|answer| Failure::read(&shown(path), &answer))?;
                if Facts::of(&now) != facts {
                    return Err(self.changed(number));
                }
            }
        }
        Ok(())
    }

    /// Describes inputs, one of which is not what it was.
    pub(crate) fn some_changed(&self, first: usize, count: usize) -> Failure {
        Failure::new(format!(
            "{}, or one of the {} files after it, has changed while it was read",
            self.name(first),
            count.saturating_sub(1)
        ))
    }

    /// Describes an input whose bytes are not what they were.
    pub(crate) fn changed(&self, number: usize) -> Failure {
        Failure::new(format!(
            "{} has changed while it was read",
            self.name(number)
        ))
    }
}
