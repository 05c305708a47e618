//! What is read: the arguments, with patterns and directories resolved, as one list.
//!
//! A list of many files is itself large, so it is a text of paths and a few words for
//! each, and it is charged to the budget.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::failure::{Failure, Result, shown};
use crate::file_id::{FileId, keeps_bytes};
use crate::input::facts::{Facts, tells_lengths};
use crate::input::last::Last;
use crate::input::packed::{Codec, Unpacked, Window};
use crate::input::stdin::{self, Stdin};
use crate::memory::budget::Budget;

/// The most bytes that files may have together: sums and small multiples of lengths fit into a word.
const LEN_MAX: u64 = 1 << 62;

/// One thing to read.
#[derive(Debug)]
pub(super) struct Input {
    /// Where its path starts in the text of paths; the next one's start is its end.
    name_start: usize,
    /// How many bytes of files come before it.
    base: u64,
    pub(super) kind: Kind,
}

impl Input {
    /// Returns how many bytes of files come before the next one.
    fn end(&self) -> u64 {
        match self.kind {
            Kind::File(facts) => self.base + facts.len(),
            Kind::Empty | Kind::Packed(..) | Kind::Pipe | Kind::Stream => self.base,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file that can be read at any place, and again.
    File(Facts),
    /// A regular file without bytes.
    Empty,
    /// A compressed regular file: read once, from begin to end.
    Packed(Facts, Codec),
    /// A pipe or a device by its path: read once, from begin to end. So are regular files
    /// whose length the system does not tell: those under /proc have a length of 0, and have bytes.
    Pipe,
    /// Standard input, or bytes that we make.
    Stream,
}

/// Bytes that come from begin to end.
pub(crate) type Stream = Box<dyn Read + Send>;

/// How arguments become inputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// The files in directories are read.
    pub(crate) recursive: bool,
    /// Compressed inputs are unpacked.
    pub(crate) unpack: bool,
}

/// All inputs in order.
pub(crate) struct Inputs {
    names: Vec<u8>,
    /// What decoders may have, if compressed inputs are unpacked.
    pub(super) window: Option<Window>,
    pub(super) list: Vec<Input>,
    /// What was opened already, and is taken when its turn comes.
    pub(super) streams: Mutex<Vec<(usize, Stream)>>,
    pub(super) last: Last,
    /// Which file standard input is, if it is read and is one.
    stdin: Option<FileId>,
}

impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inputs")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl Inputs {
    /// Makes an empty list.
    pub(crate) fn new() -> Self {
        Self {
            names: Vec::new(),
            window: None,
            list: Vec::new(),
            streams: Mutex::default(),
            last: Last::default(),
            stdin: None,
        }
    }

    /// Resolves arguments: paths, patterns that no file is named like, directories where that is
    /// the manner, and `-` for standard input, as are no arguments.
    ///
    /// # Errors
    ///
    /// Something is missing, or may not be read, or the list does not fit the budget.
    pub(crate) fn from_arguments(
        arguments: &[PathBuf],
        manner: Manner,
        budget: &Budget,
    ) -> Result<Self> {
        let mut inputs = Self::new();
        inputs.window = manner.unpack.then(|| Window::within(budget.limit_bytes()));
        if arguments.is_empty() {
            inputs.push_stdin(budget)?;
        }
        for argument in arguments {
            if argument == Path::new("-") {
                inputs.push_stdin(budget)?;
            } else {
                inputs.push_argument(argument, manner.recursive, budget)?;
            }
        }
        Ok(inputs)
    }

    fn push_stdin(&mut self, budget: &Budget) -> Result<()> {
        let (file, facts) = stdin::open()?;
        self.stdin = keeps_bytes(&facts).then(|| FileId::of(&facts));
        let stream = self.unpacked(Stdin::stream(file, &facts));
        self.push_stream("standard input", Kind::Stream, stream, budget)
    }

    /// Returns a stream that is unpacked where it is compressed, and that is wanted.
    pub(super) fn unpacked(&self, stream: Stream) -> Stream {
        match self.window {
            Some(window) => Box::new(Unpacked::by_magic(stream, window)),
            None => stream,
        }
    }

    /// Returns what unpacking inputs takes of memory at most, one after the other.
    pub(crate) fn decoder_bytes(&self) -> u64 {
        self.decoders().max().unwrap_or(0)
    }

    /// Returns what it takes where all of them are open at the same time.
    pub(crate) fn all_decoders_bytes(&self) -> u64 {
        self.decoders().sum()
    }

    fn decoders(&self) -> impl Iterator<Item = u64> {
        let bytes = self.list.iter().zip(self.window.into_iter().cycle());
        bytes.map(|(input, window)| match input.kind {
            Kind::Packed(_, codec) => window.bytes_of(codec),
            Kind::Pipe | Kind::Stream => window.decoder_bytes(),
            Kind::File(_) | Kind::Empty => 0,
        })
    }

    /// Charges what unpacking takes.
    ///
    /// # Errors
    ///
    /// It does not fit.
    pub(crate) fn charge_decoder(&self, budget: &Budget) -> Result<()> {
        let bytes = usize::try_from(self.decoder_bytes()).unwrap_or(usize::MAX);
        if budget.charge(bytes) {
            return Ok(());
        }
        Err(Failure::new(
            "--memory is too little to unpack compressed inputs",
        ))
    }

    fn push_argument(&mut self, path: &Path, recursive: bool, budget: &Budget) -> Result<()> {
        let refused = |answer| Failure::read(&shown(path), &answer);
        match fs::metadata(path) {
            Ok(metadata) => self.push(path, &metadata, recursive, budget),
            // A pattern that the shell has not resolved.
            Err(answer) if answer.kind() == io::ErrorKind::NotFound && is_pattern(path) => {
                let found = self.push_pattern(path, recursive, budget)?;
                if found { Ok(()) } else { Err(refused(answer)) }
            }
            Err(answer) => Err(refused(answer)),
        }
    }

    fn push_pattern(&mut self, pattern: &Path, recursive: bool, budget: &Budget) -> Result<bool> {
        let bad = |what: &dyn std::fmt::Display| {
            Failure::new(format!("cannot read {}: {what}", shown(pattern)))
        };
        let text = pattern.to_str().ok_or_else(|| bad(&"not UTF-8"))?;
        // As shells do: `*` stands for no name that begins with a dot. Told so, the library finds
        // none of them, whatever the pattern, so it is not where the pattern has such a name.
        let is_dotted = |part: &str| part.starts_with('.') && part != "." && part != "..";
        let options = glob::MatchOptions {
            require_literal_leading_dot: !text.split('/').any(is_dotted),
            ..glob::MatchOptions::new()
        };
        let paths = glob::glob_with(text, options).map_err(|error| bad(&error))?;
        let mut found = false;
        for path in paths {
            let path = path.map_err(|error| Failure::read(&shown(error.path()), error.error()))?;
            let metadata =
                fs::metadata(&path).map_err(|answer| Failure::read(&shown(&path), &answer))?;
            // A pattern means files, unless directories are meant, too.
            if !metadata.is_dir() || recursive {
                self.push(&path, &metadata, recursive, budget)?;
                found = true;
            }
        }
        Ok(found)
    }

    fn push(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        recursive: bool,
        budget: &Budget,
    ) -> Result<()> {
        let kind = metadata.file_type();
        if kind.is_dir() {
            if recursive {
                return self.push_tree(path, budget);
            }
            return Err(Failure::new(format!(
                "cannot read {}: it is a directory; --recursive reads the files in it",
                shown(path)
            )));
        }
        if kind.is_socket() {
            let answer = io::Error::other("it is a socket");
            return Err(Failure::read(&shown(path), &answer));
        }
        if kind.is_file() && metadata.len() > 0 {
            // What may not be read is reported before any output. Opening anything else,
            // such as a pipe, may wait or change it.
            let opened = File::options().read(true).open(path);
            let codec = opened.and_then(|mut file| match self.window {
                Some(_) => Codec::of_file(path, &mut file),
                None => Ok(None),
            });
            let codec = codec.map_err(|answer| Failure::read(&shown(path), &answer))?;
            let facts = Facts::of(metadata);
            let kind = codec.map_or(Kind::File(facts), |codec| Kind::Packed(facts, codec));
            self.enter(path.as_os_str().as_bytes(), kind, budget)
        } else {
            let is_empty = kind.is_file() && tells_lengths(path, metadata);
            let kind = if is_empty { Kind::Empty } else { Kind::Pipe };
            self.enter(path.as_os_str().as_bytes(), kind, budget)
        }
    }

    /// Adds the regular files below a directory, in the order of their names. Links in
    /// it are not followed.
    fn push_tree(&mut self, dir: &Path, budget: &Budget) -> Result<()> {
        let refused = |answer| Failure::read(&shown(dir), &answer);
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(refused)? {
            names.push(entry.map_err(refused)?.file_name());
        }
        names.sort_unstable();
        for name in names {
            let path = dir.join(name);
            let metadata = fs::symlink_metadata(&path);
            let metadata = metadata.map_err(|answer| Failure::read(&shown(&path), &answer))?;
            if metadata.is_dir() {
                self.push_tree(&path, budget)?;
            } else if metadata.is_file() {
                self.push(&path, &metadata, true, budget)?;
            }
        }
        Ok(())
    }

    /// Adds bytes that are open already.
    ///
    /// # Errors
    ///
    /// The list does not fit the budget.
    pub(crate) fn push_stream(
        &mut self,
        name: &str,
        kind: Kind,
        stream: Stream,
        budget: &Budget,
    ) -> Result<()> {
        let number = self.list.len();
        self.enter(name.as_bytes(), kind, budget)?;
        let streams = self.streams.get_mut();
        let streams = streams.unwrap_or_else(PoisonError::into_inner);
        streams.push((number, stream));
        Ok(())
    }

    fn enter(&mut self, name: &[u8], kind: Kind, budget: &Budget) -> Result<()> {
        let input = Input {
            name_start: self.names.len(),
            base: self.list.last().map_or(0, Input::end),
            kind,
        };
        if let Kind::File(facts) = kind {
            if facts.len() > LEN_MAX - input.base {
                let reason = "the files are longer together than any disk";
                return Err(Failure::new(reason));
            }
        }
        // While a list grows, the old and the new allocation exist at the same time.
        let before = self.names.capacity() + self.list.capacity() * size_of::<Input>();
        self.names.extend_from_slice(name);
        self.list.push(input);
        let after = self.names.capacity() + self.list.capacity() * size_of::<Input>();
        if after > before && !budget.charge(after - before) {
            return Err(Failure::new(
                "the list of files alone does not fit --memory; give more, or fewer files",
            ));
        }
        Ok(())
    }

    /// Returns how many there are.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// Returns what an input is.
    pub(crate) fn kind(&self, number: usize) -> Kind {
        self.list
            .get(number)
            .map_or(Kind::Stream, |input| input.kind)
    }

    /// Returns where a byte of a file is in all files together.
    pub(crate) fn offset(&self, number: usize, start: u64) -> u64 {
        self.list.get(number).map_or(0, |input| input.base) + start
    }

    /// Returns which file has a byte of all files together, and where in it.
    pub(crate) fn find(&self, offset: u64) -> (usize, u64) {
        let after = self.list.partition_point(|input| input.base <= offset);
        // Of those that start there, the last one has bytes.
        let number = after.saturating_sub(1);
        (
            number,
            offset - self.list.get(number).map_or(0, |input| input.base),
        )
    }

    /// Returns the path of an input, as bytes.
    pub(crate) fn path_bytes(&self, number: usize) -> &[u8] {
        let start = self.list.get(number).map(|input| input.name_start);
        let end = self.list.get(number + 1).map(|input| input.name_start);
        let end = end.unwrap_or(self.names.len());
        &self.names[start.unwrap_or(end)..end]
    }

    /// Returns the path of an input.
    pub(crate) fn path(&self, number: usize) -> &Path {
        Path::new(OsStr::from_bytes(self.path_bytes(number)))
    }

    /// Returns the name of an input in messages.
    pub(crate) fn name(&self, number: usize) -> String {
        shown(self.path(number))
    }

    /// Returns how many bytes there are to read, if that can be known.
    pub(crate) fn len_bytes(&self) -> Option<u64> {
        let mut sum = 0;
        for input in &self.list {
            match input.kind {
                Kind::File(facts) => sum += facts.len(),
                Kind::Empty => {}
                Kind::Packed(..) | Kind::Pipe | Kind::Stream => return None,
            }
        }
        Some(sum)
    }

    /// Returns the number of an input that is this file, whatever its name, if there is one.
    pub(crate) fn number_of(&self, file: FileId) -> Option<usize> {
        self.list
            .iter()
            .enumerate()
            .position(|(number, input)| match input.kind {
                Kind::File(facts) | Kind::Packed(facts, _) => facts.file == file,
                Kind::Empty | Kind::Pipe => {
                    let facts = fs::metadata(self.path(number));
                    facts.is_ok_and(|facts| keeps_bytes(&facts) && FileId::of(&facts) == file)
                }
                Kind::Stream => self.stdin == Some(file),
            })
    }

    /// Returns whether everything can be read again.
    pub(crate) fn are_files(&self) -> bool {
        self.len_bytes().is_some()
    }
}

fn is_pattern(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.iter().any(|byte| b"*?[".contains(byte))
}
