//! Why a low floor could not do something: a small value that is made without allocating, and put
//! into words by the first owner that knows which file it was.

use std::io;
use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::io::stats;
use crate::sys;

/// What was attempted, and why it did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    op: Op,
    cause: Cause,
}

/// What was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Advise,
    Create,
    Evict,
    Examine,
    Grow,
    LetGo,
    Map,
    Read,
    Shorten,
    Sync,
    Write,
    /// The operations that concern no file, or more than one.
    AskResidency,
    FinishReads,
    MapItem,
    MapMemory,
    ReadBatch,
    ReadItem,
    ReadItems,
}

/// What a file without a name is called in errors.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unnamed<'a> {
    /// A file in this directory.
    In(&'a Path),
    /// A file that the caller has given.
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    Given,
    /// A file of which no path is known.
    Anywhere,
}

/// How an operation is named in errors.
enum Words {
    /// It concerns a file: the verb.
    File(&'static str),
    /// It concerns the directory of a file.
    Directory(&'static str),
    /// All words: there is no path.
    All(&'static str),
}

impl Op {
    const fn words(self) -> Words {
        match self {
            Self::Advise => Words::File("give advice on"),
            Self::Create => Words::File("create"),
            Self::Evict => Words::File("evict"),
            Self::Examine => Words::Directory("examine"),
            Self::Grow => Words::File("grow"),
            Self::LetGo => Words::File("let go of"),
            Self::Map => Words::File("map"),
            Self::Read => Words::File("read"),
            Self::Shorten => Words::File("shorten"),
            Self::Sync => Words::File("sync"),
            Self::Write => Words::File("write to"),
            Self::AskResidency => Words::All("ask for the resident pages of a mapping"),
            Self::FinishReads => Words::All("finish reads"),
            Self::MapItem => Words::All("map an item"),
            Self::MapMemory => Words::All("map memory"),
            Self::ReadBatch => Words::All("read a batch"),
            Self::ReadItem => Words::All("read an item"),
            Self::ReadItems => Words::All("read items"),
        }
    }
}

/// Why an operation did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The system's answer.
    System(Answer),
    /// A file of `len` bytes would pass `RLIMIT_FSIZE`.
    Limit { len: u64, limit: u64 },
    /// The directory's quota does not allow so many bytes more.
    Quota {
        bytes: u64,
        used_bytes: u64,
        quota_bytes: u64,
    },
    /// Less than the floor of free space would be left.
    Floor { bytes: u64, free_bytes_min: u64 },
    /// No file can be longer than this.
    Longest { len_max: u64 },
    /// There is no memory for so many bytes.
    Memory { bytes: usize },
    /// Any other reason of ours.
    Reason(ErrorKind, &'static str),
}

/// What the system said, without what an [`io::Error`] may have allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Errno(i32),
    Kind(io::ErrorKind),
}

impl From<Answer> for io::Error {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Errno(errno) => Self::from_raw_os_error(errno),
            Answer::Kind(kind) => kind.into(),
        }
    }
}

impl Refusal {
    /// The system refused.
    #[cold]
    pub(crate) fn answered(op: Op, answer: &io::Error) -> Self {
        let kind = || Answer::Kind(answer.kind());
        let answer = answer.raw_os_error().map_or_else(kind, Answer::Errno);
        let cause = Cause::System(answer);
        Self { op, cause }
    }

    /// The system refused, which counts as a failure in the statistics.
    #[cold]
    pub(crate) fn failed(op: Op, answer: &io::Error) -> Self {
        stats::failed();
        Self::answered(op, answer)
    }

    /// We refuse for a reason of our own.
    #[cold]
    pub(crate) const fn ours(op: Op, kind: ErrorKind, reason: &'static str) -> Self {
        let cause = Cause::Reason(kind, reason);
        Self { op, cause }
    }

    /// The file belongs to the process that this one was forked from.
    #[cold]
    pub(crate) const fn forked(op: Op) -> Self {
        let reason = "it belongs to the process that this one was forked from";
        Self::ours(op, ErrorKind::Forked, reason)
    }

    /// A file would pass the limit that the process has for the length of files.
    #[cold]
    pub(crate) const fn past_limit(len: u64, limit: u64) -> Self {
        Self {
            op: Op::Grow,
            cause: Cause::Limit { len, limit },
        }
    }

    /// The quota of the directory is used up.
    #[cold]
    pub(crate) const fn over_quota(bytes: u64, used_bytes: u64, quota_bytes: u64) -> Self {
        Self {
            op: Op::Grow,
            cause: Cause::Quota {
                bytes,
                used_bytes,
                quota_bytes,
            },
        }
    }

    /// The file system would have less free than the directory's floor.
    #[cold]
    pub(crate) const fn below_floor(bytes: u64, free_bytes_min: u64) -> Self {
        Self {
            op: Op::Grow,
            cause: Cause::Floor {
                bytes,
                free_bytes_min,
            },
        }
    }

    /// The file would be longer than its owner can use.
    #[cold]
    pub(crate) const fn too_long(len_max: u64) -> Self {
        Self {
            op: Op::Grow,
            cause: Cause::Longest { len_max },
        }
    }

    /// There is no memory for `bytes`.
    #[cold]
    pub(crate) const fn no_memory(op: Op, bytes: usize) -> Self {
        let cause = Cause::Memory { bytes };
        Self { op, cause }
    }

    /// Returns the class of the failure.
    pub(crate) fn kind(self) -> ErrorKind {
        match self.cause {
            Cause::System(answer) => ErrorKind::of_answer(io::Error::from(answer).kind()),
            Cause::Limit { .. } | Cause::Longest { .. } => ErrorKind::FileTooLarge,
            Cause::Quota { .. } | Cause::Floor { .. } => ErrorKind::StorageFull,
            Cause::Memory { .. } => ErrorKind::OutOfMemory,
            Cause::Reason(kind, _reason) => kind,
        }
    }

    /// Returns whether the system does not do that to a file while it is shown.
    pub(crate) fn is_of_shown_file(self) -> bool {
        matches!(
            self.cause,
            Cause::System(Answer::Kind(io::ErrorKind::ResourceBusy))
        )
    }

    /// Returns the error of a file without a name.
    #[cold]
    pub(crate) fn of(self, file: Unnamed<'_>) -> Error {
        match (self.op.words(), file) {
            (Words::File(verb), Unnamed::In(path)) => {
                self.error(format!("{verb} a file in")).at(path)
            }
            #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
            (Words::File(verb), Unnamed::Given) => self.error(format!("{verb} the given file")),
            (Words::File(verb), Unnamed::Anywhere) => self.error(format!("{verb} a file")),
            (Words::Directory(verb), Unnamed::In(path)) => self.error(verb.to_owned()).at(path),
            (Words::Directory(verb), _) => self.error(format!("{verb} a directory")),
            (Words::All(words), _) => self.error(words.to_owned()),
        }
    }

    /// Returns the error of the file at `path`, with the operation in the words of its owner.
    #[cold]
    pub(crate) fn of_file(self, action: &'static str, path: &Path) -> Error {
        self.error(action.to_owned()).at(path)
    }

    fn error(self, action: String) -> Error {
        let reason = match self.cause {
            Cause::System(answer) => {
                let answer = io::Error::from(answer);
                let limit = sys::file_size_limit();
                match limit.filter(|_| answer.kind() == io::ErrorKind::FileTooLarge) {
                    Some(limit) => format!("it would pass the {}", limit_text(limit)),
                    None => return Error::io(action, answer),
                }
            }
            Cause::Limit { len, limit } => {
                format!("{len} bytes would pass the {}", limit_text(limit))
            }
            Cause::Quota {
                bytes,
                used_bytes,
                quota_bytes,
            } => format!(
                "its quota of {quota_bytes} bytes does not allow {bytes} more than the \
                 {used_bytes} in use"
            ),
            Cause::Floor {
                bytes,
                free_bytes_min,
            } => {
                format!("{bytes} bytes more would leave less than {free_bytes_min} bytes free")
            }
            Cause::Longest { len_max } => {
                format!("{len_max} bytes is the most that one file can have")
            }
            Cause::Memory { bytes } => format!("there is no memory for {bytes} bytes"),
            Cause::Reason(kind, reason) => return Error::refused(kind, action, reason),
        };
        Error::refused(self.kind(), action, reason)
    }
}

/// Makes a call, again for as long as a signal interrupts it; a refusal counts as a failure.
pub(crate) fn retry<R>(op: Op, call: impl FnMut() -> io::Result<R>) -> Result<R, Refusal> {
    sys::retry(call).map_err(|answer| Refusal::failed(op, &answer))
}

/// Names the limit in errors, and what raises it.
fn limit_text(limit: u64) -> String {
    format!("limit of {limit} bytes (RLIMIT_FSIZE; `ulimit -f` raises it)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOSPC: i32 = if cfg!(windows) { 112 } else { 28 };

    #[test]
    fn a_refusal_is_small() {
        assert!(size_of::<Result<(), Refusal>>() <= 40);
    }

    #[test]
    fn the_owner_says_which_file_it_was() {
        let full = io::Error::from_raw_os_error(ENOSPC);
        let refusal = Refusal::answered(Op::Grow, &full);
        assert_eq!(refusal.kind(), ErrorKind::StorageFull);
        let path = Path::new("data");
        for (error, what) in [
            (refusal.of(Unnamed::In(path)), "grow a file in data"),
            #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
            (refusal.of(Unnamed::Given), "grow the given file"),
            (refusal.of(Unnamed::Anywhere), "grow a file"),
            (
                refusal.of_file("claim space for", path),
                "claim space for data",
            ),
        ] {
            let start = format!("cannot {what}: {full}");
            assert!(error.to_string().starts_with(&start), "{error}");
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            assert_eq!(io::Error::from(error).raw_os_error(), Some(ENOSPC));
        }
    }

    #[test]
    fn operations_without_a_file_name_no_path() {
        let refusal = Refusal::no_memory(Op::ReadItems, 7);
        let error = refusal.of(Unnamed::In(Path::new("data")));
        let message = "cannot read items: there is no memory for 7 bytes";
        assert_eq!(error.to_string(), message);
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.path().is_none() && error.io_error().is_none());
    }
}
