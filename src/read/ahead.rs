//! Pieces of files in the order in which they are asked for, read ahead of whoever takes them.

use std::collections::VecDeque;

use crate::error::{Error, ErrorKind, Result};
use crate::io::file::OwnedFile;
use crate::read::batch::reserve;
use crate::read::idle::Idle;
use crate::read::tasks::{Tasks, joined};
use crate::read::warmth::{COLD_GAP_BYTES_MAX, Warmth};
use crate::read::{LazyReads, PIECE_BYTES_MAX, ReadOptions};

/// The most bytes that are on their way or wait to be taken, unless one piece alone is longer.
pub(crate) const AHEAD_BYTES_MAX: usize = 2 << 20;

/// What a piece counts besides its bytes, so that the queue stays short where pieces are tiny.
const ENTRY_BYTES: usize = 128;

/// Reads in order. `F` keeps the file of a piece open until it is read.
#[derive(Debug)]
pub(crate) struct Ahead<F> {
    options: ReadOptions,
    /// For what is not in memory.
    reads: LazyReads,
    warmth: Warmth,
    /// What was asked for and not taken yet, in order.
    queue: VecDeque<Entry>,
    /// How many have been taken.
    taken: u64,
    /// Bytes of the entries of the queue.
    bytes: usize,
    /// Neighbours at the end of the queue that will be one read.
    run: Option<Run<F>>,
    /// What is under way.
    tasks: Tasks<Task<F>>,
}

/// A piece.
#[derive(Debug)]
struct Entry {
    len: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// So many bytes are missing; a long piece is put together here.
    Waiting {
        missing: usize,
        bytes: Vec<u8>,
    },
    Ready(Result<Vec<u8>>),
}

/// Some entries of the queue, the first of them number `first`, which are one read of `offset..end`.
#[derive(Debug)]
struct Run<F> {
    file: F,
    offset: u64,
    end: u64,
    first: u64,
    /// Number, offset and length of each. Others, which need no read, may stand between them.
    pieces: Vec<(u64, u64, usize)>,
}

/// What a read is for.
#[derive(Debug)]
enum Task<F> {
    Run(Run<F>),
    /// `len` bytes from `at` of a long piece, which is the entry `number` and starts at `offset`.
    Part {
        file: F,
        offset: u64,
        number: u64,
        at: usize,
        len: usize,
    },
}

impl<F: AsRef<OwnedFile> + Clone> Ahead<F> {
    pub(crate) fn new(options: &ReadOptions) -> Self {
        Self {
            options: options.clone(),
            reads: LazyReads::default(),
            warmth: Warmth::new(options),
            queue: VecDeque::new(),
            taken: 0,
            bytes: 0,
            run: None,
            tasks: Tasks::default(),
        }
    }

    /// Returns whether it is of use to ask for a further piece now.
    ///
    /// Not when enough is on its way or waits to be taken, and not when everything is in memory
    /// anyhow: then each is read when its turn comes.
    pub(crate) fn wants_more(&mut self) -> bool {
        let reads = self.reads.made();
        let has_room = reads.as_ref().is_none_or(|reads| reads.has_room());
        let is_quiet = self.run.is_none() && !reads.is_some_and(|reads| reads.is_running());
        let front = self.queue.front().map(|front| &front.state);
        let is_ready = matches!(front, Some(State::Ready(_)));
        let enough = !has_room || self.bytes >= AHEAD_BYTES_MAX || (is_quiet && is_ready);
        // Reads for a piece that failed may still be under way when all others were taken.
        self.queue.is_empty() || !enough
    }

    /// Returns how many were asked for and not taken.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns whether everything that was asked for has been taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Asks for a piece.
    pub(crate) fn push(&mut self, file: F, offset: u64, len: usize) {
        let end = offset.saturating_add(len as u64);
        let number = self.next_number();
        if let Some(run) = &mut self.run {
            let same = std::ptr::eq(run.file.as_ref(), file.as_ref());
            let joined = joined(run.offset, run.end, offset, len, COLD_GAP_BYTES_MAX);
            if let Some(end) = joined.filter(|_end| same) {
                run.pieces.push((number, offset, len));
                run.end = end;
                self.expect(len, Vec::new());
                return;
            }
            self.send();
        }
        if self.warmth.asks() {
            if let Some(bytes) = self.cached(file.as_ref(), offset, len) {
                self.push_ready(len, bytes);
                return;
            }
        }
        if len > PIECE_BYTES_MAX {
            self.send_long(&file, offset, len);
            return;
        }
        self.run = Some(Run {
            file,
            offset,
            end,
            first: number,
            pieces: vec![(number, offset, len)],
        });
        self.expect(len, Vec::new());
    }

    /// Puts something that need not be read in its place in the order.
    pub(crate) fn push_ready(&mut self, len: usize, answer: Result<Vec<u8>>) {
        self.bytes = self.bytes.saturating_add(len).saturating_add(ENTRY_BYTES);
        let state = State::Ready(answer);
        self.queue.push_back(Entry { len, state });
    }

    /// Takes the next piece; `None` if nothing was asked for that was not taken, or if it is not
    /// there yet and nobody wants to wait.
    pub(crate) fn pop(&mut self, wait: bool) -> Option<Result<Vec<u8>>> {
        loop {
            let front = self.queue.front()?;
            if matches!(front.state, State::Ready(_)) {
                break;
            }
            // Its read may not even have been started.
            let number = self.taken;
            if self.run.as_ref().is_some_and(|run| run.first <= number) {
                self.send();
            }
            match self.reap(wait) {
                Ok(true) => {}
                Ok(false) if !wait => return None,
                Ok(false) => self.answer(number, Err(no_memory())),
                Err(refused) => self.answer(number, Err(refused)),
            }
        }
        let entry = self.queue.pop_front()?;
        self.taken = self.taken.saturating_add(1);
        self.bytes = self
            .bytes
            .saturating_sub(entry.len.saturating_add(ENTRY_BYTES));
        match entry.state {
            State::Ready(answer) => Some(answer),
            State::Waiting { .. } => Some(Err(no_memory())),
        }
    }

    /// Returns the number of the entry that is pushed next.
    fn next_number(&self) -> u64 {
        self.taken.saturating_add(self.queue.len() as u64)
    }

    /// Adds an entry that is not there yet.
    fn expect(&mut self, len: usize, bytes: Vec<u8>) {
        self.bytes = self.bytes.saturating_add(len).saturating_add(ENTRY_BYTES);
        let state = State::Waiting {
            missing: len,
            bytes,
        };
        self.queue.push_back(Entry { len, state });
    }

    /// Reads a piece that is in memory; `None` if it is not.
    fn cached(&mut self, file: &OwnedFile, offset: u64, len: usize) -> Option<Result<Vec<u8>>> {
        let mut bytes = match zeros(len) {
            Ok(bytes) => bytes,
            Err(refused) => return Some(Err(refused)),
        };
        let found = file.read_cached(&mut bytes, offset);
        self.warmth.answered(found);
        found.then_some(Ok(bytes))
    }

    /// Starts to read the neighbours that were joined.
    fn send(&mut self) {
        let Some(run) = self.run.take() else {
            return;
        };
        let len = usize::try_from(run.end.saturating_sub(run.offset)).unwrap_or(usize::MAX);
        if !self.make_room() {
            self.read_each(&run);
            return;
        }
        let (file, offset) = (run.file.clone(), run.offset);
        let token = self.tasks.keep(Task::Run(run));
        self.start(file.as_ref(), offset, len, token);
    }

    /// Starts to read a piece that is longer than a buffer, in parts.
    fn send_long(&mut self, file: &F, offset: u64, len: usize) {
        let number = self.next_number();
        if !self.make_room() {
            let mut bytes = Vec::new();
            let read = file.as_ref().read_to_end_of(&mut bytes, len, offset);
            self.push_ready(len, read.map(|()| bytes));
            return;
        }
        match zeros(len) {
            Ok(bytes) => self.expect(len, bytes),
            Err(refused) => return self.push_ready(len, Err(refused)),
        }
        let mut at = 0;
        while at < len {
            let part = len.saturating_sub(at).min(PIECE_BYTES_MAX);
            if !self.make_room() {
                let mut bytes = Vec::new();
                let read = file.as_ref().read_to_end_of(&mut bytes, len, offset);
                return self.answer(number, read.map(|()| bytes));
            }
            let token = self.tasks.keep(Task::Part {
                file: file.clone(),
                offset,
                number,
                at,
                len: part,
            });
            self.start(file.as_ref(), offset.saturating_add(at as u64), part, token);
            at = at.saturating_add(part);
        }
    }

    /// Reads the pieces of a run one by one, the plain way: each has its own bytes or error.
    fn read_each(&mut self, run: &Run<F>) {
        for (number, offset, len) in &run.pieces {
            let mut bytes = Vec::new();
            let read = run.file.as_ref().read_to_end_of(&mut bytes, *len, *offset);
            self.answer(*number, read.map(|()| bytes));
        }
    }

    /// Waits until a read can be started; false where there are no buffers at all.
    fn make_room(&mut self) -> bool {
        loop {
            match self.reads.make(&self.options, &Idle::default()) {
                None => return false,
                Some(reads) if reads.has_room() => return true,
                Some(_busy) => {}
            }
            if !matches!(self.reap(true), Ok(true)) {
                return false;
            }
        }
    }

    fn start(&mut self, file: &OwnedFile, offset: u64, len: usize, token: usize) {
        if let Some(reads) = self.reads.made() {
            reads.start(file, offset, len, token);
        }
    }

    /// Puts what one finished read brought where it belongs, and says whether there was one.
    fn reap(&mut self, wait: bool) -> Result<bool> {
        let Some(reads) = self.reads.made() else {
            return Ok(false);
        };
        let Some(mut done) = reads.finished(usize::from(wait))? else {
            return Ok(false);
        };
        let token = done.token();
        match self.tasks.take(token) {
            Some(Task::Run(run)) => {
                let len = usize::try_from(run.end.saturating_sub(run.offset));
                let len = len.unwrap_or(usize::MAX);
                match done.complete(run.file.as_ref(), run.offset, len) {
                    Ok(bytes) => {
                        for (number, offset, len) in &run.pieces {
                            let at = offset.saturating_sub(run.offset);
                            let at = usize::try_from(at).unwrap_or(usize::MAX);
                            let piece = bytes.get(at..at.saturating_add(*len));
                            self.answer(*number, piece.ok_or_else(no_memory).and_then(copied));
                        }
                    }
                    Err(_refused) => self.read_each(&run),
                }
            }
            Some(Task::Part {
                file,
                offset,
                number,
                at,
                len,
            }) => {
                let start = offset.saturating_add(at as u64);
                match done.complete(file.as_ref(), start, len) {
                    Ok(part) => self.add_part(number, at, part),
                    Err(refused) => self.answer(number, Err(refused)),
                }
            }
            None => {}
        }
        if let Some(reads) = self.reads.made() {
            reads.give_back(done);
        }
        Ok(true)
    }

    /// Adds some bytes to a long piece, unless it has its answer already.
    fn add_part(&mut self, number: u64, at: usize, part: &[u8]) {
        let Some(entry) = self.entry(number) else {
            return;
        };
        let State::Waiting { missing, bytes } = &mut entry.state else {
            return;
        };
        if let Some(target) = bytes.get_mut(at..at.saturating_add(part.len())) {
            target.copy_from_slice(part);
        }
        *missing = missing.saturating_sub(part.len());
        if *missing == 0 {
            let bytes = std::mem::take(bytes);
            entry.state = State::Ready(Ok(bytes));
        }
    }

    /// Answers an entry, unless it was answered before.
    fn answer(&mut self, number: u64, answer: Result<Vec<u8>>) {
        match self.entry(number) {
            Some(entry) if matches!(entry.state, State::Waiting { .. }) => {
                entry.state = State::Ready(answer);
            }
            _ => {}
        }
    }

    /// Returns an entry that was not taken yet.
    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let index = number.checked_sub(self.taken)?;
        self.queue.get_mut(usize::try_from(index).ok()?)
    }
}

fn zeros(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reserve(&mut bytes, len)?;
    Ok(bytes)
}

fn copied(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len())
        .map_err(|_full| no_memory())?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

#[cold]
fn no_memory() -> Error {
    let reason = "there is no memory for the item";
    Error::refused(ErrorKind::OutOfMemory, "read ahead", reason)
}
