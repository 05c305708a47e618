//! Many pieces of files in whatever order they come: neighbours joined, what is in memory read at
//! once, the rest by an engine.

use std::mem;
use std::ops::Range;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::io::file::OwnedFile;
use crate::read::idle::Idle;
use crate::read::tasks::{Tasks, joined};
use crate::read::warmth::{COLD_GAP_BYTES_MAX, Trust, Warmth};
use crate::read::{LazyReads, PIECE_BYTES_MAX, ReadOptions};
use crate::sys::{self, Hint};

/// One piece of a file to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'f> {
    pub(crate) file: &'f OwnedFile,
    /// Where it starts in the file, in bytes.
    pub(crate) offset: u64,
    pub(crate) len: usize,
    /// What the caller calls it.
    pub(crate) index: usize,
}

/// The least bytes of what pieces that are in memory are read into.
const SCRATCH_BYTES_MIN: usize = 4 << 10;

/// The most bytes of pieces that are put together of several reads, unless one alone is longer.
pub(crate) const LONG_BYTES_MAX: usize = 2 << 20;

/// Reads pieces and passes each to `deliver` with its index, in any order.
///
/// `piece` says which: number 0, 1 and so on until there is none, the same whenever it is asked.
/// They come sorted by file and offset, for neighbours to be joined. The first error ends the
/// batch; part of it may have been delivered. A panic of `deliver` goes through.
///
/// The engine is the one that is `idle`, or is left there, where that pays.
pub(crate) fn read_batch<'f>(
    options: &ReadOptions,
    idle: &Idle,
    piece: &dyn Fn(usize) -> Option<Piece<'f>>,
    deliver: &mut dyn FnMut(usize, &[u8]),
) -> Result<()> {
    let mut batch = Batch {
        options,
        idle,
        pieces: piece,
        reads: LazyReads::default(),
        warmth: Warmth::new(options),
        trust: Trust::new(),
        scratch: Vec::new(),
        tasks: Tasks::default(),
        long_bytes: 0,
        deliver,
    };
    let mut waiting: Option<Run<'f>> = None;
    for number in 0.. {
        let Some(piece) = piece(number) else {
            break;
        };
        let gap = batch.warmth.gap();
        if waiting.as_mut().is_some_and(|run| run.add(&piece, gap)) {
            continue;
        }
        if let Some(run) = waiting.replace(Run::new(number, piece)) {
            batch.send(run)?;
        }
    }
    if let Some(run) = waiting {
        batch.send(run)?;
    }
    while batch.reap(true)? {}
    if let LazyReads::Made(reads) = batch.reads {
        reads.leave(idle);
    }
    Ok(())
}

struct Batch<'f, 'd> {
    options: &'d ReadOptions,
    idle: &'d Idle,
    pieces: &'d dyn Fn(usize) -> Option<Piece<'f>>,
    /// For what is not in memory.
    reads: LazyReads,
    warmth: Warmth,
    trust: Trust,
    /// For what is in memory.
    scratch: Vec<u8>,
    /// What is under way.
    tasks: Tasks<Task<'f>>,
    /// Bytes of the items of which parts are under way.
    long_bytes: usize,
    deliver: &'d mut dyn FnMut(usize, &[u8]),
}

/// Neighbours: one read.
#[derive(Debug)]
struct Run<'f> {
    first: Piece<'f>,
    /// The number of the first, and of the one behind the last.
    numbers: Range<usize>,
    end: u64,
}

/// What a read is for.
#[derive(Debug)]
enum Task<'f> {
    Run(Run<'f>),
    /// Some bytes of a long item, which is the task of another token.
    Part {
        of: usize,
        at: usize,
        len: usize,
    },
    /// An item that is put together of parts.
    Long {
        piece: Piece<'f>,
        bytes: Vec<u8>,
        missing: usize,
    },
}

impl<'f> Run<'f> {
    fn new(number: usize, first: Piece<'f>) -> Self {
        Self {
            first,
            numbers: number..number.saturating_add(1),
            end: first.offset.saturating_add(first.len as u64),
        }
    }

    fn len(&self) -> u64 {
        self.end.saturating_sub(self.first.offset)
    }

    /// Adds the next piece if it is near enough to be read together with the others.
    fn add(&mut self, piece: &Piece<'f>, gap: u64) -> bool {
        if !std::ptr::eq(self.first.file, piece.file) {
            return false;
        }
        let (offset, len) = (piece.offset, piece.len);
        let Some(end) = joined(self.first.offset, self.end, offset, len, gap) else {
            return false;
        };
        self.end = end;
        self.numbers.end = self.numbers.end.saturating_add(1);
        true
    }

    /// Passes each piece on; `bytes` are those of the whole run.
    fn deliver(
        &self,
        bytes: &[u8],
        pieces: &dyn Fn(usize) -> Option<Piece<'f>>,
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<()> {
        let here = sys::process();
        for number in self.numbers.clone() {
            let piece = if number == self.numbers.start {
                self.first
            } else {
                pieces(number).ok_or_else(no_memory)?
            };
            // In a forked child the buffer may not be there.
            if sys::process() != here {
                let reason = "this process was forked while the batch ran";
                return Err(Error::refused(ErrorKind::Forked, "read a batch", reason));
            }
            let at = to_usize(piece.offset.saturating_sub(self.first.offset))?;
            let item = bytes.get(at..at.saturating_add(piece.len));
            deliver(piece.index, item.ok_or_else(no_memory)?);
        }
        Ok(())
    }
}

impl<'f> Batch<'f, '_> {
    /// Reads what was joined, or starts to.
    fn send(&mut self, run: Run<'f>) -> Result<()> {
        let first = run.first;
        let len = to_usize(run.len())?;
        if len > PIECE_BYTES_MAX {
            return self.send_long(first);
        }
        if self.warmth.asks() {
            let bytes = room(&mut self.scratch, len)?;
            let found = if self.trust.holds(Instant::now) {
                first.file.read_over(bytes, first.offset)?;
                true
            } else {
                first.file.read_cached(bytes, first.offset)
            };
            self.warmth.answered(found);
            self.trust.answered(found);
            if found {
                return run.deliver(bytes, self.pieces, self.deliver);
            }
        }
        if !self.make_room()? {
            let bytes = room(&mut self.scratch, len)?;
            first.file.read_over(bytes, first.offset)?;
            return run.deliver(bytes, self.pieces, self.deliver);
        }
        let token = self.tasks.keep(Task::Run(run));
        self.start(first.file, first.offset, len, token);
        Ok(())
    }

    /// Reads an item that is longer than a buffer, in parts.
    fn send_long(&mut self, piece: Piece<'f>) -> Result<()> {
        while self.long_bytes > 0 && self.long_bytes.saturating_add(piece.len) > LONG_BYTES_MAX {
            self.reap(true)?;
        }
        let mut bytes = Vec::new();
        if self.warmth.asks() {
            reserve(&mut bytes, piece.len)?;
            let found = piece.file.read_cached(&mut bytes, piece.offset);
            self.warmth.answered(found);
            if found {
                (self.deliver)(piece.index, &bytes);
                return Ok(());
            }
        }
        if !self.make_room()? {
            bytes.clear();
            piece
                .file
                .read_to_end_of(&mut bytes, piece.len, piece.offset)?;
            (self.deliver)(piece.index, &bytes);
            return Ok(());
        }
        reserve(&mut bytes, piece.len)?;
        self.long_bytes = self.long_bytes.saturating_add(piece.len);
        let missing = piece.len;
        let of = self.tasks.keep(Task::Long {
            piece,
            bytes,
            missing,
        });
        let mut at = 0;
        while at < piece.len {
            let len = piece.len.saturating_sub(at).min(PIECE_BYTES_MAX);
            self.make_room()?;
            let token = self.tasks.keep(Task::Part { of, at, len });
            let offset = piece.offset.saturating_add(at as u64);
            self.start(piece.file, offset, len, token);
            at = at.saturating_add(len);
        }
        Ok(())
    }

    /// Waits until a read can be started; false where there are no buffers at all.
    fn make_room(&mut self) -> Result<bool> {
        let Some(reads) = self.reads.make(self.options, self.idle) else {
            return Ok(false);
        };
        if !reads.has_room() {
            // Whoever waits for one takes all that are there, so that the kernel is entered seldom.
            self.reap(true)?;
            while self.reap(false)? {}
        }
        let Some(reads) = self.reads.made() else {
            return Ok(false);
        };
        // The caller's function may have forked while we waited.
        reads.check_owner()?;
        Ok(true)
    }

    fn start(&mut self, file: &OwnedFile, offset: u64, len: usize, token: usize) {
        if let Some(reads) = self.reads.made() {
            reads.start(file, offset, len, token);
        }
    }

    /// Delivers what one finished read was for, and says whether there was one.
    fn reap(&mut self, wait: bool) -> Result<bool> {
        let Some(reads) = self.reads.made() else {
            return Ok(false);
        };
        let wait = if wait { reads.share() } else { 0 };
        let Some(mut done) = reads.finished(wait)? else {
            return Ok(false);
        };
        let token = done.token();
        match self.tasks.take(token) {
            Some(Task::Run(run)) => {
                let (first, len) = (run.first, to_usize(run.len())?);
                let bytes = done.complete(first.file, first.offset, len)?;
                run.deliver(bytes, self.pieces, self.deliver)?;
            }
            Some(Task::Part { of, at, len }) => {
                let Some(Task::Long {
                    piece,
                    bytes,
                    missing,
                }) = self.tasks.get_mut(of)
                else {
                    return Err(no_memory());
                };
                let offset = piece.offset.saturating_add(at as u64);
                let part = done.complete(piece.file, offset, len)?;
                let target = bytes.get_mut(at..at.saturating_add(len));
                target.ok_or_else(no_memory)?.copy_from_slice(part);
                *missing = missing.saturating_sub(len);
                if *missing == 0 {
                    if let Some(Task::Long { piece, bytes, .. }) = self.tasks.take(of) {
                        self.long_bytes = self.long_bytes.saturating_sub(piece.len);
                        (self.deliver)(piece.index, &bytes);
                    }
                }
            }
            Some(Task::Long { .. }) | None => debug_assert!(false, "no read was for {token}"),
        }
        if let Some(reads) = self.reads.made() {
            reads.give_back(done);
        }
        Ok(true)
    }
}

/// Has the kernel start to read pieces that are sorted by file and offset, and does not wait for
/// them.
pub(crate) fn prefetch<'f>(pieces: impl Iterator<Item = Piece<'f>>) -> Result<()> {
    let mut waiting: Option<(&OwnedFile, u64, u64)> = None;
    for piece in pieces {
        let end = piece.offset.saturating_add(piece.len as u64);
        match &mut waiting {
            Some((file, _start, until))
                if std::ptr::eq(*file, piece.file)
                    && piece.offset <= until.saturating_add(COLD_GAP_BYTES_MAX) =>
            {
                *until = end.max(*until);
            }
            _ => {
                let next = Some((piece.file, piece.offset, end));
                if let Some((file, start, end)) = mem::replace(&mut waiting, next) {
                    file.advise(start, end.saturating_sub(start), Hint::WillNeed)?;
                }
            }
        }
    }
    waiting.map_or(Ok(()), |(file, start, end)| {
        file.advise(start, end.saturating_sub(start), Hint::WillNeed)
    })
}

/// Returns `len` bytes of a vector, which is made longer where it has to be.
fn room(bytes: &mut Vec<u8>, len: usize) -> Result<&mut [u8]> {
    if bytes.len() < len {
        reserve(bytes, len.next_power_of_two().max(SCRATCH_BYTES_MIN))?;
    }
    Ok(bytes.get_mut(..len).unwrap_or_default())
}

/// Makes a vector `len` zeros long.
pub(crate) fn reserve(bytes: &mut Vec<u8>, len: usize) -> Result<()> {
    bytes.clear();
    bytes.try_reserve_exact(len).map_err(|_full| no_memory())?;
    bytes.resize(len, 0);
    Ok(())
}

fn to_usize(len: u64) -> Result<usize> {
    usize::try_from(len).map_err(|_long| no_memory())
}

#[cold]
fn no_memory() -> Error {
    let reason = "there is no memory for the longest item";
    Error::refused(ErrorKind::OutOfMemory, "read a batch", reason)
}
