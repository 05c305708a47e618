//! One error type: what was attempted, where, and why it did not work.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A result whose error is [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not work.
///
/// The message is complete: operation, path and cause, so [`source`] is `None`. The value is one
/// word wide, so that results stay small, and converts to [`io::Error`], keeping the system's
/// error number.
///
/// # Examples
///
/// ```
/// use outcore::{ErrorKind, ScratchDir};
///
/// let error = ScratchDir::new("no/such/directory").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Io);
/// assert_eq!(error.path(), Some("no/such/directory".as_ref()));
/// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::NotFound);
/// ```
///
/// [`source`]: std::error::Error::source
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    action: Cow<'static, str>,
    path: Option<PathBuf>,
    /// The origin of the path, such as an environment variable.
    origin: Option<&'static str>,
    cause: Cause,
    /// Which limit it was, and what to do.
    remedy: Option<String>,
}

#[derive(Debug)]
enum Cause {
    System(io::Error),
    Reason(Cow<'static, str>),
}

/// The classes of failure that a caller may want to handle differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file system, a disk quota, the directory's own quota or its free-space floor is
    /// reached. Free space and try again.
    StorageFull,
    /// The file would pass `RLIMIT_FSIZE` or what its file system can hold.
    FileTooLarge,
    /// The directory is on a file system that lives in memory, and that was not allowed.
    RamBacked,
    /// The bytes were pushed, but their writer has not flushed them yet.
    NotFlushed,
    /// The location belongs to another arena.
    ForeignLocation,
    /// The location or range lies past the end.
    OutOfBounds,
    /// The bytes are not UTF-8.
    InvalidUtf8,
    /// A single item is longer than its container can store.
    ItemTooLarge,
    /// A size does not fit into the address space, or overflows.
    CapacityOverflow,
    /// The process has no memory or no address space left for this.
    OutOfMemory,
    /// The object was made before a `fork` and belongs to the parent process.
    Forked,
    /// Ranges of the file are given out: all of them have to come back before it is published, and
    /// those that are claimed must not be among them.
    RangesInUse,
    /// The file is open already, here or in another process.
    AlreadyOpen,
    /// The [`MemoryBudget`](crate::MemoryBudget) has too few bytes left for the operation.
    OverBudget,
    /// The caller asked the operation to stop.
    Cancelled,
    /// A value cannot be encoded or decoded by the codec of its [`Spool`](crate::spool::Spool).
    Codec,
    /// The file holds something else than what it was opened as.
    WrongType,
    /// It was opened from a sealed file, which never changes.
    ReadOnly,
    /// The bytes of a file are not those that were written. The message says which part of it is
    /// damaged.
    Corrupt,
    /// The file has a later version of its format than this library knows.
    UnknownVersion,
    /// Any other refusal of the system; see [`Error::io_error`].
    Io,
}

impl ErrorKind {
    /// Returns the class of an answer of the system.
    pub(crate) fn of_answer(answer: io::ErrorKind) -> Self {
        match answer {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::StorageFull,
            io::ErrorKind::FileTooLarge => Self::FileTooLarge,
            io::ErrorKind::OutOfMemory => Self::OutOfMemory,
            _ => Self::Io,
        }
    }
}

impl Error {
    /// Describes a request that the system refused.
    #[cold]
    pub(crate) fn io(action: impl Into<Cow<'static, str>>, answer: io::Error) -> Self {
        let kind = ErrorKind::of_answer(answer.kind());
        Self::new(kind, action.into(), Cause::System(answer))
    }

    /// Describes a request that we refuse ourselves.
    #[cold]
    pub(crate) fn refused(
        kind: ErrorKind,
        action: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(kind, action.into(), Cause::Reason(reason.into()))
    }

    fn new(kind: ErrorKind, action: Cow<'static, str>, cause: Cause) -> Self {
        Self(Box::new(Inner {
            kind,
            action,
            path: None,
            origin: None,
            cause,
            remedy: None,
        }))
    }

    /// Adds the file or directory that the operation was about.
    pub(crate) fn at(mut self, path: &Path) -> Self {
        self.0.path = Some(path.to_owned());
        self
    }

    /// Adds the origin of the path, such as an environment variable.
    pub(crate) fn named_by(mut self, origin: &'static str) -> Self {
        self.0.origin = Some(origin);
        self
    }

    /// Adds which limit was reached, and what to do.
    pub(crate) fn with_remedy(mut self, remedy: String) -> Self {
        self.0.remedy = Some(remedy);
        self
    }

    /// Returns the class of this failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the path of the file or directory involved; for a file without a name, the
    /// directory that it is in.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// Returns the system's answer, if the system was asked.
    pub fn io_error(&self) -> Option<&io::Error> {
        match &self.0.cause {
            Cause::System(answer) => Some(answer),
            Cause::Reason(_) => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(answer) => answer.fmt(f),
            Self::Reason(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.0.action)?;
        if let Some(path) = &self.0.path {
            write!(f, " {}", path.display())?;
        }
        if let Some(origin) = self.0.origin {
            write!(f, " (named by {origin})")?;
        }
        write!(f, ": {}", self.0.cause)?;
        if let Some(remedy) = &self.0.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}

// No `source`: the message already ends with the cause, and a report that walks the chain would
// print it twice.
impl std::error::Error for Error {}

impl From<Error> for io::Error {
    /// Keeps the system's error number where there is one; otherwise wraps the whole error.
    fn from(error: Error) -> Self {
        if let Some(code) = error.io_error().and_then(Self::raw_os_error) {
            return Self::from_raw_os_error(code);
        }
        let kind = match error.kind() {
            ErrorKind::StorageFull => io::ErrorKind::StorageFull,
            ErrorKind::FileTooLarge => io::ErrorKind::FileTooLarge,
            ErrorKind::OutOfMemory | ErrorKind::CapacityOverflow | ErrorKind::OverBudget => {
                io::ErrorKind::OutOfMemory
            }
            ErrorKind::InvalidUtf8 | ErrorKind::Codec | ErrorKind::Corrupt => {
                io::ErrorKind::InvalidData
            }
            ErrorKind::OutOfBounds => io::ErrorKind::UnexpectedEof,
            ErrorKind::ForeignLocation
            | ErrorKind::NotFlushed
            | ErrorKind::ItemTooLarge
            | ErrorKind::WrongType => io::ErrorKind::InvalidInput,
            ErrorKind::RamBacked | ErrorKind::UnknownVersion => io::ErrorKind::Unsupported,
            ErrorKind::Forked | ErrorKind::ReadOnly => io::ErrorKind::PermissionDenied,
            ErrorKind::RangesInUse | ErrorKind::AlreadyOpen => io::ErrorKind::ResourceBusy,
            ErrorKind::Cancelled => io::ErrorKind::Other,
            ErrorKind::Io => error.io_error().map_or(io::ErrorKind::Other, Self::kind),
        };
        Self::new(kind, error)
    }
}

impl From<io::Error> for Error {
    /// For functions of a caller that mix file work of their own with outcore's.
    fn from(answer: io::Error) -> Self {
        match answer.downcast::<Self>() {
            Ok(ours) => ours,
            Err(answer) => Self::io("complete an operation", answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_SPACE: i32 = if cfg!(windows) { 112 } else { 28 };

    #[test]
    fn a_message_says_what_where_and_why() {
        let error = Error::io("grow a file in", io::Error::from_raw_os_error(NO_SPACE));
        let error = error.at(Path::new("data"));
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let message = error.to_string();
        let cause = io::Error::from_raw_os_error(NO_SPACE);
        assert_eq!(message, format!("cannot grow a file in data: {cause}"));
    }

    #[test]
    fn conversion_keeps_the_system_code() {
        let error = Error::io("grow a file in", io::Error::from_raw_os_error(NO_SPACE));
        assert_eq!(io::Error::from(error).raw_os_error(), Some(NO_SPACE));
    }

    #[test]
    fn conversion_to_io_and_back_keeps_our_error() {
        let ours = Error::refused(ErrorKind::NotFlushed, "read an item of", "not flushed");
        let there_and_back = Error::from(io::Error::from(ours));
        assert_eq!(there_and_back.kind(), ErrorKind::NotFlushed);
    }

    #[test]
    fn who_named_the_path_is_in_the_message_and_the_kind_stays() {
        let error = Error::refused(ErrorKind::RamBacked, "use", "it is a tmpfs");
        let error = error.at(Path::new("x")).named_by("$TMPDIR");
        assert_eq!(
            error.to_string(),
            "cannot use x (named by $TMPDIR): it is a tmpfs"
        );
        assert_eq!(error.kind(), ErrorKind::RamBacked);
    }

    #[test]
    fn an_error_is_one_word_and_crosses_threads() {
        fn crosses<T: Send + Sync + 'static>() {}
        crosses::<Error>();
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
