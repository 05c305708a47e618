//! The one error of the harness: a sentence for whoever reads the table.

use std::fmt;
use std::io;

/// What went wrong, complete in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    text: String,
    is_skip: bool,
}

/// The result of everything in the harness that can go wrong.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// Wraps a sentence.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_skip: false,
        }
    }

    /// Says what this machine lacks. A row or a workload that fails with this is named in the
    /// tables as skipped, and is no failure of the program.
    pub fn skip(what_is_missing: impl Into<String>) -> Self {
        Self {
            is_skip: true,
            ..Self::new(what_is_missing)
        }
    }

    /// Tells whether this is something that the machine lacks.
    pub fn is_skip(&self) -> bool {
        self.is_skip
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

impl From<outcore::Error> for Failure {
    fn from(error: outcore::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<outcore::FinishError> for Failure {
    fn from(error: outcore::FinishError) -> Self {
        outcore::Error::from(error).into()
    }
}

/// Says what was being done when an error came.
pub trait Context<T> {
    /// Puts `doing` in front of the error: `doing: error`.
    ///
    /// # Errors
    ///
    /// The error that was there before, with more words.
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure::new(format!("{doing}: {error}")))
    }
}
