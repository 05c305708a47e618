//! The one way in which a command fails: a line for standard error.

use std::fmt;
use std::io;
use std::path::Path;

/// A result whose error ends the program.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reader of our output has closed it, as `head` does. That is no failure to report.
    BrokenPipe,
    /// Another thread has failed, and reports why.
    Stopped,
    /// The input is not as it was said to be; in one line, or none where nothing is to be said.
    Disorder(Option<String>),
    /// What was asked for makes no sense, in one line without a full stop.
    Usage(String),
    /// Anything else, in one line without a full stop.
    Message(String),
}

impl Failure {
    /// Describes a refusal of ours.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    /// Describes input that the system does not let us read.
    pub(crate) fn read(name: &str, answer: &io::Error) -> Self {
        Self::Message(format!("cannot read {name}: {answer}"))
    }

    /// Describes output that the system does not let us write.
    pub(crate) fn write(name: &str, answer: &io::Error) -> Self {
        if answer.kind() == io::ErrorKind::BrokenPipe {
            return Self::BrokenPipe;
        }
        Self::Message(format!("cannot write {name}: {answer}"))
    }
}

impl From<outcore::Error> for Failure {
    fn from(error: outcore::Error) -> Self {
        Self::Message(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BrokenPipe => f.write_str("broken pipe"),
            Self::Stopped => f.write_str("another thread has failed"),
            // A message is one line, whatever the names in it hold.
            Self::Message(message) | Self::Usage(message) | Self::Disorder(Some(message)) => {
                f.write_str(&one_line(message))
            }
            Self::Disorder(None) => f.write_str("disorder"),
        }
    }
}

/// Returns a path as it appears in messages.
pub(crate) fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}

/// Replaces control characters by their escapes.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_the_file_is_called() {
        let name = shown(Path::new("a\nb\x1b[31m"));
        let answer = io::Error::from(io::ErrorKind::NotFound);
        let text = Failure::read(&name, &answer).to_string();
        assert!(text.starts_with("cannot read a\\nb\\u{1b}[31m: "), "{text}");
        assert!(!text.contains(char::is_control));
    }

    #[test]
    fn a_broken_pipe_is_told_from_a_full_disk() {
        let failure = |kind: io::ErrorKind| Failure::write("out", &io::Error::from(kind));
        assert!(matches!(
            failure(io::ErrorKind::BrokenPipe),
            Failure::BrokenPipe
        ));
        assert!(matches!(
            failure(io::ErrorKind::StorageFull),
            Failure::Message(_)
        ));
    }
}
