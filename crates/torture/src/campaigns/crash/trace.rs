//! The system calls that write a sealed file, as `strace` shows them.

use std::collections::BTreeMap;

/// What a call did to the disk. Files are numbered in the order in which they were created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Write {
        file: usize,
        offset: usize,
        bytes: Vec<u8>,
    },
    /// The file has this length at least, and zeros where nothing was written.
    Reserve {
        file: usize,
        end: usize,
    },
    /// The file has this length.
    SetLen {
        file: usize,
        len: usize,
    },
    SyncFile(usize),
    Link {
        file: usize,
        name: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Unlink(String),
    SyncDirectory,
}

impl Event {
    /// Returns the file whose bytes or length it changed.
    pub(crate) fn file(&self) -> Option<usize> {
        match self {
            Self::Write { file, .. } | Self::Reserve { file, .. } | Self::SetLen { file, .. } => {
                Some(*file)
            }
            _ => None,
        }
    }
}

/// The calls that are traced: all that can change a file or a name. What is not understood is an
/// error, so that no way to write is overlooked.
pub(crate) const CALLS: &str = "getpgid,openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,\
    ftruncate,truncate,fallocate,copy_file_range,sendfile,splice,fsync,fdatasync,sync,syncfs,linkat,\
    link,rename,renameat,renameat2,unlink,unlinkat,symlinkat,io_uring_enter";

/// Reads the calls between two marks.
pub(crate) fn events(trace: &str) -> Result<Vec<Event>, String> {
    let mut reader = Reader::default();
    let mut events = Vec::new();
    let mut marks = 0;
    for line in trace.lines() {
        // A process, then a call.
        let call = line
            .split_once(' ')
            .map_or("", |(_process, call)| call.trim());
        if call.starts_with("getpgid") {
            marks += 1;
            continue;
        }
        if marks != 1 {
            continue;
        }
        let Some(found) = parts(call).and_then(|call| reader.event(&call)) else {
            let start: String = call.chars().take(100).collect();
            return Err(format!("a call that is not expected here: {start}"));
        };
        events.extend(found);
    }
    if marks < 2 {
        return Err("strace shows no marks".to_owned());
    }
    Ok(events)
}

/// A call, its arguments, and its answer.
type Call<'a> = (&'a str, Vec<&'a str>, &'a str);

/// What is known of the files.
#[derive(Default)]
struct Reader {
    created: usize,
    /// What the descriptors lead to; nothing is known of directories.
    files: BTreeMap<String, usize>,
}

impl Reader {
    /// Returns what a call did, which may be nothing; `None` if that is not understood.
    fn event(&mut self, (name, arguments, answer): &Call<'_>) -> Option<Vec<Event>> {
        if answer.starts_with('-') {
            return Some(Vec::new());
        }
        let argument = |at: usize| arguments.get(at).copied().unwrap_or_default();
        let file = |at: usize| self.files.get(argument(at)).copied();
        let event = match *name {
            "openat" | "open" => {
                let flags = argument(if *name == "open" { 1 } else { 2 });
                if flags.contains("O_TMPFILE") {
                    self.files.insert((*answer).to_owned(), self.created);
                    self.created += 1;
                } else if flags.contains("O_CREAT") || flags.contains("O_TRUNC") {
                    return None;
                } else {
                    // What is opened to be read changes nothing.
                    self.files.remove(*answer);
                }
                return Some(Vec::new());
            }
            "pwrite64" => {
                let mut bytes = text(argument(1))?;
                bytes.truncate(answer.parse().ok()?);
                Event::Write {
                    file: file(0)?,
                    offset: argument(3).parse().ok()?,
                    bytes,
                }
            }
            // Without a mode: from there, so many bytes.
            "fallocate" if argument(1) == "0" => {
                let [start, len] = [2, 3].map(|at| argument(at).parse::<usize>());
                Event::Reserve {
                    file: file(0)?,
                    end: start.ok()?.checked_add(len.ok()?)?,
                }
            }
            "ftruncate" => Event::SetLen {
                file: file(0)?,
                len: argument(1).parse().ok()?,
            },
            "fsync" => file(0).map_or(Event::SyncDirectory, Event::SyncFile),
            // Its length is synced too; its other metadata are not.
            "fdatasync" => Event::SyncFile(file(0)?),
            "linkat" => {
                // By descriptor, or by its path in /proc.
                let path = name_in(argument(1))?;
                let number = path.rsplit('/').next()?;
                let known = if path.is_empty() { argument(0) } else { number };
                Event::Link {
                    file: self.files.get(known).copied()?,
                    name: name_in(argument(3))?,
                }
            }
            "renameat" | "renameat2" => Event::Rename {
                from: name_in(argument(1))?,
                to: name_in(argument(3))?,
            },
            "unlinkat" => Event::Unlink(name_in(argument(1))?),
            _ => return None,
        };
        Some(vec![event])
    }
}

/// Splits `call(arguments) = answer`.
fn parts(call: &str) -> Option<Call<'_>> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, answer) = rest.rsplit_once(") ")?;
    let answer = answer.trim_start().strip_prefix("= ")?;
    let answer = answer.split(' ').next()?;
    Some((name, arguments.split(", ").collect(), answer))
}

/// Returns the bytes of a text that is written in hexadecimal.
fn text(quoted: &str) -> Option<Vec<u8>> {
    let hex = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(hex.len() / 4);
    let digit = |byte: u8| char::from(byte).to_digit(16);
    for byte in hex.as_bytes().chunks(4) {
        let [b'\\', b'x', high, low] = byte else {
            return None;
        };
        bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
    }
    Some(bytes)
}

fn name_in(quoted: &str) -> Option<String> {
    String::from_utf8(text(quoted)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_as_strace_shows_them() {
        let trace = r#"7 getpgid(0) = 7
7 openat(4, "\x2e", O_RDWR|O_CLOEXEC|O_TMPFILE, 0666) = 5
7 pwrite64(5, "\x61\x62\x63", 3, 4096) = 2
7 fallocate(5, 0, 4096, 100) = 0
7 ftruncate(5, 5000) = 0
7 unlinkat(4, "\x78", 0) = -1 ENOENT (No such file or directory)
7 fsync(5)                          = 0
7 linkat(5, "", 4, "\x78", AT_EMPTY_PATH) = 0
7 linkat(AT_FDCWD, "\x2f\x35", 4, "\x79", AT_SYMLINK_FOLLOW) = 0
7 renameat(4, "\x78", 4, "\x7a") = 0
7 fsync(4) = 0
7 getpgid(0) = 7
"#;
        let name = |name: &str| name.to_owned();
        let expected = [
            Event::Write {
                file: 0,
                offset: 4096,
                bytes: b"ab".to_vec(),
            },
            Event::Reserve { file: 0, end: 4196 },
            Event::SetLen { file: 0, len: 5000 },
            Event::SyncFile(0),
            Event::Link {
                file: 0,
                name: name("x"),
            },
            Event::Link {
                file: 0,
                name: name("y"),
            },
            Event::Rename {
                from: name("x"),
                to: name("z"),
            },
            Event::SyncDirectory,
        ];
        assert_eq!(events(trace).unwrap(), expected);
        let unknown = trace.replace("renameat(", "sendfile(");
        assert!(events(&unknown).unwrap_err().contains("sendfile"));
        let punched = trace.replace("fallocate(5, 0,", "fallocate(5, FALLOC_FL_PUNCH_HOLE,");
        assert!(events(&punched).unwrap_err().contains("fallocate"));
    }
}
