//! `outcore dedup` in this process, on small files in tiny chunks, against a dedup in memory.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::bytes::Bytes;
use crate::json;

/// The pieces of texts, so that records repeat, and some of them are JSON.
const TOKENS: [&[u8]; 24] = [
    b"\n",
    b"\n",
    b"\n",
    b"\0",
    b"a",
    b"A",
    b" ",
    b"\r",
    b"\t",
    b"\xff",
    b"\xc3",
    b"\xa4",
    "\u{c4}\u{130}".as_bytes(),
    b"{",
    b"}\n",
    b"{\"id\":\"",
    b"\"",
    b"\"}\n",
    b",",
    b":",
    b"{\"x\":[1,{}],\"id\":\"",
    b"\\u00e4",
    b"\\",
    b"0",
];

/// The options of a case.
#[expect(clippy::struct_excessive_bools, reason = "switches are bools")]
struct Asked {
    null: bool,
    field: bool,
    skip_bad: bool,
    ignore_case: bool,
    trim: bool,
    count: bool,
    verify: bool,
}

/// The output.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    kept: Vec<u8>,
    duplicates: Vec<u8>,
}

pub(crate) fn run(data: &[u8], planted: bool) {
    let mut bytes = Bytes::new(data);
    let bits = bytes.byte();
    let is = |bit: u32| bits >> bit & 1 == 1;
    let asked = Asked {
        null: is(0) && !is(1),
        field: is(1),
        skip_bad: is(1) && is(2),
        ignore_case: is(3),
        trim: is(4),
        count: is(5),
        verify: is(6),
    };
    let from_pipe = is(7) && !asked.verify;
    let chunk = 2 + bytes.below(100);
    let index = bytes.pick(&["1", "90000", "10M"]);
    let threads = 1 + bytes.below(2);
    let files = files(bytes);
    // The program reads records again, and treats empty files as pipes.
    if asked.verify && files.iter().any(Vec::is_empty) {
        return;
    }
    let dir = Dir::new();
    let mut arguments: Vec<OsString> = Vec::new();
    let chunk = chunk.to_string();
    let threads = threads.to_string();
    for argument in [
        "-q",
        "--no-space-check",
        "--test-chunk",
        &chunk,
        "--test-index",
        index,
        "-j",
        &threads,
    ] {
        arguments.push(argument.into());
    }
    arguments.extend(asked.options());
    let (output, duplicates) = (dir.path("kept"), dir.path("duplicates"));
    arguments.extend(["-o".into(), output.clone().into()]);
    arguments.extend(["-d".into(), duplicates.clone().into()]);
    // The pipe stays open, so that the program can open it by its path.
    let mut pipe: Option<OwnedFd> = None;
    for (number, file) in files.iter().enumerate() {
        if from_pipe && number == 0 && file.len() < 60_000 {
            let (reader, writer) = rustix::pipe::pipe().unwrap();
            std::io::Write::write_all(&mut fs::File::from(writer), file).unwrap();
            arguments.push(format!("/dev/fd/{}", reader.as_raw_fd()).into());
            pipe = Some(reader);
        } else {
            let path = dir.path(&number.to_string());
            fs::write(&path, file).unwrap();
            arguments.push(path.into());
        }
    }
    let expected = asked.model(&files, planted);
    let answer = outcore_cli::dedup(&arguments);
    drop(pipe);
    match (answer, expected) {
        (Ok(()), Some(expected)) => {
            let kept = fs::read(&output).unwrap();
            let duplicates = fs::read(&duplicates).unwrap();
            assert_eq!(Answer { kept, duplicates }, expected, "{arguments:?}");
        }
        (Err(_refused), None) => assert!(!output.exists() && !duplicates.exists()),
        (answer, expected) => panic!("{answer:?} instead of {expected:?}: {arguments:?}"),
    }
}

/// Makes the input: one to three files, of random bytes or of tokens.
fn files(mut bytes: Bytes<'_>) -> Vec<Vec<u8>> {
    let mut files = vec![Vec::new(); 1 + bytes.below(3)];
    let plain = bytes.byte() % 4 == 0;
    let ends: [u8; 2] = bytes.array();
    let text = bytes.rest();
    for (at, byte) in text.iter().enumerate() {
        let file = ends.iter().filter(|end| at >= usize::from(**end)).count();
        let file = file.min(files.len() - 1);
        if plain {
            files[file].push(*byte);
        } else {
            files[file].extend(TOKENS[usize::from(*byte) % TOKENS.len()]);
        }
    }
    files
}

impl Asked {
    fn options(&self) -> Vec<OsString> {
        let mut options: Vec<OsString> = Vec::new();
        for (is_asked, option) in [
            (self.null, "-0"),
            (self.field, "--field=id"),
            (self.skip_bad, "--skip-bad"),
            (self.ignore_case, "-i"),
            (self.trim, "-t"),
            (self.count, "-c"),
            (self.verify, "--verify"),
        ] {
            if is_asked {
                options.push(option.into());
            }
        }
        options
    }

    /// The bytes of a record that are compared.
    fn compared(&self, record: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = record.to_vec();
        if self.field {
            bytes = json::field(record, "id")?.into_bytes();
        }
        if self.trim {
            bytes = bytes.trim_ascii().to_vec();
        }
        if self.ignore_case {
            let chunks = bytes.utf8_chunks();
            let small = chunks.flat_map(|chunk| {
                let letters: String = chunk.valid().chars().flat_map(char::to_lowercase).collect();
                [letters.into_bytes(), chunk.invalid().to_vec()].concat()
            });
            bytes = small.collect();
        }
        Some(bytes)
    }

    /// Does the same in memory; `None` if a record is bad and bad records are errors.
    fn model(&self, files: &[Vec<u8>], planted: bool) -> Option<Answer> {
        let separator = if self.null { 0 } else { b'\n' };
        let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut kept: Vec<(Vec<u8>, u64)> = Vec::new();
        let mut answer = Answer::default();
        for (number, file) in files.iter().enumerate() {
            for written in file.split_inclusive(|byte| *byte == separator) {
                let record = written.strip_suffix(&[separator]).unwrap_or(written);
                let mut written = written.to_vec();
                if written.len() == record.len() && number + 1 < files.len() {
                    written.push(separator);
                }
                let Some(mut compared) = self.compared(record) else {
                    if self.skip_bad {
                        continue;
                    }
                    return None;
                };
                // Planted: records are equal if their first bytes are.
                compared.truncate(if planted { 3 } else { usize::MAX });
                if let Some(at) = seen.get(&compared) {
                    kept[*at].1 += 1;
                    answer.duplicates.extend(written);
                } else {
                    seen.insert(compared, kept.len());
                    kept.push((written, 1));
                }
            }
        }
        for (record, count) in kept {
            if self.count {
                answer.kept.extend(format!("{count:>7} ").into_bytes());
            }
            answer.kept.extend(record);
        }
        Some(answer)
    }
}

/// A directory of this thread, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let path = crate::named_files().with_extension("cli");
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.0).join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // If removal fails, the rest is in memory, or in a directory for temporary files.
        fs::remove_dir_all(&self.0).ok();
    }
}
