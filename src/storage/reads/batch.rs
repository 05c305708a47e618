//! Many pieces of files in whatever order they come: neighbours joined, what is in memory read at
//! once, the rest by an engine.

use std::mem;

use crate::error::{Error, ErrorKind, Result};
use crate::storage::file::OwnedFile;
use crate::storage::reads::{LazyReads, PIECE_BYTES_MAX, ReadOptions};
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

/// Pieces that are not further apart than this many bytes are one read while they are found in
/// memory: to copy so many bytes takes about as long as to enter the kernel once more.
const WARM_GAP_BYTES_MAX: u64 = 4 << 10;

/// The same while they are not: a device takes hardly longer for so many bytes more.
pub(crate) const COLD_GAP_BYTES_MAX: u64 = 12 << 10;

/// The most bytes of pieces that are put together of several reads, unless one alone is longer.
pub(crate) const LONG_BYTES_MAX: usize = 2 << 20;

/// The most pieces that are joined, so that the lists of all reads under way have 3 MiB at most.
const RUN_PIECES_MAX: usize = 512;

/// The most pieces in a row of which it is not asked whether they are in memory.
const UNASKED_MAX: u32 = 31;

/// Reads pieces and passes each to `deliver` with its index, in any order.
///
/// `pieces` come sorted by file and offset, for neighbours to be joined. The first error ends the
/// batch; part of it may have been delivered. A panic of `deliver` goes through.
pub(crate) fn read_batch<'f>(
    options: &ReadOptions,
    pieces: impl Iterator<Item = Piece<'f>>,
    deliver: &mut dyn FnMut(usize, &[u8]),
) -> Result<()> {
    let mut batch = Batch {
        options,
        reads: LazyReads::default(),
        warmth: Warmth::new(options),
        scratch: Vec::new(),
        run: Run::default(),
        tasks: Vec::new(),
        tokens: Vec::new(),
        spare: Vec::new(),
        long_bytes: 0,
        deliver,
    };
    for piece in pieces {
        if !batch.run.takes(&piece, batch.warmth.gap()) {
            batch.send()?;
        }
        batch.run.add(piece);
    }
    batch.send()?;
    while batch.reap(true)? {}
    Ok(())
}

struct Batch<'f, 'd> {
    options: &'d ReadOptions,
    /// For what is not in memory.
    reads: LazyReads,
    warmth: Warmth,
    /// For what is in memory.
    scratch: Vec<u8>,
    /// What is being joined.
    run: Run<'f>,
    /// What is under way, by token.
    tasks: Vec<Task<'f>>,
    tokens: Vec<usize>,
    /// Empty lists of pieces, to be used again.
    spare: Vec<Vec<Piece<'f>>>,
    /// Bytes of the items of which parts are under way.
    long_bytes: usize,
    deliver: &'d mut dyn FnMut(usize, &[u8]),
}

/// Neighbours: one read.
#[derive(Debug, Default)]
struct Run<'f> {
    pieces: Vec<Piece<'f>>,
    end: u64,
}

/// What a read is for.
#[derive(Debug, Default)]
enum Task<'f> {
    #[default]
    Nothing,
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
    fn start(&self) -> u64 {
        self.pieces.first().map_or(0, |first| first.offset)
    }

    fn len(&self) -> u64 {
        self.end.saturating_sub(self.start())
    }

    /// Returns whether a piece is near enough to be read together with the others.
    fn takes(&self, piece: &Piece<'f>, gap: u64) -> bool {
        let Some(first) = self.pieces.first() else {
            return true;
        };
        let end = piece.offset.saturating_add(piece.len as u64).max(self.end);
        std::ptr::eq(first.file, piece.file)
            && self.pieces.len() < RUN_PIECES_MAX
            && piece.offset >= first.offset
            && piece.offset <= self.end.saturating_add(gap)
            && end.saturating_sub(first.offset) <= PIECE_BYTES_MAX as u64
    }

    fn add(&mut self, piece: Piece<'f>) {
        let end = piece.offset.saturating_add(piece.len as u64);
        self.end = self.end.max(end);
        self.pieces.push(piece);
    }

    /// Passes each piece on; `bytes` are those of the whole run.
    fn deliver(&self, bytes: &[u8], deliver: &mut dyn FnMut(usize, &[u8])) -> Result<()> {
        let here = sys::process();
        for piece in &self.pieces {
            // In a forked child the buffer may not be there.
            if sys::process() != here {
                let reason = "this process was forked while the batch ran";
                return Err(Error::refused(ErrorKind::Forked, "read a batch", reason));
            }
            let at = to_usize(piece.offset.saturating_sub(self.start()))?;
            let item = bytes.get(at..at.saturating_add(piece.len));
            deliver(piece.index, item.ok_or_else(no_memory)?);
        }
        Ok(())
    }
}

impl<'f> Batch<'f, '_> {
    /// Reads what was joined, or starts to.
    fn send(&mut self) -> Result<()> {
        let Some(first) = self.run.pieces.first().copied() else {
            return Ok(());
        };
        let next = Run {
            pieces: self.spare.pop().unwrap_or_default(),
            end: 0,
        };
        let run = mem::replace(&mut self.run, next);
        let len = to_usize(run.len())?;
        if len > PIECE_BYTES_MAX {
            self.recycle(run);
            return self.send_long(first);
        }
        if self.warmth.asks() {
            if self.scratch.len() < len {
                reserve(&mut self.scratch, len)?;
            }
            let bytes = self.scratch.get_mut(..len).unwrap_or_default();
            let found = first.file.read_cached(bytes, first.offset);
            self.warmth.answered(found);
            if found {
                run.deliver(bytes, self.deliver)?;
                self.recycle(run);
                return Ok(());
            }
        }
        if !self.make_room()? {
            if self.scratch.len() < len {
                reserve(&mut self.scratch, len)?;
            }
            let bytes = self.scratch.get_mut(..len).unwrap_or_default();
            first.file.read_over(bytes, first.offset)?;
            return run.deliver(bytes, self.deliver);
        }
        let token = self.token(Task::Run(run));
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
        let of = self.token(Task::Long {
            piece,
            bytes,
            missing,
        });
        let mut at = 0;
        while at < piece.len {
            let len = piece.len.saturating_sub(at).min(PIECE_BYTES_MAX);
            self.make_room()?;
            let token = self.token(Task::Part { of, at, len });
            let offset = piece.offset.saturating_add(at as u64);
            self.start(piece.file, offset, len, token);
            at = at.saturating_add(len);
        }
        Ok(())
    }

    /// Waits until a read can be started; false where there are no buffers at all.
    fn make_room(&mut self) -> Result<bool> {
        let Some(reads) = self.reads.make(self.options) else {
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
        let Some(mut done) = reads.finished(wait)? else {
            return Ok(false);
        };
        let token = done.token();
        match self.take(token) {
            Task::Run(run) => {
                if let Some(first) = run.pieces.first() {
                    let bytes = done.complete(first.file, first.offset, to_usize(run.len())?)?;
                    run.deliver(bytes, self.deliver)?;
                }
                self.recycle(run);
            }
            Task::Part { of, at, len } => {
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
                    if let Task::Long { piece, bytes, .. } = self.take(of) {
                        self.long_bytes = self.long_bytes.saturating_sub(piece.len);
                        (self.deliver)(piece.index, &bytes);
                    }
                }
            }
            Task::Nothing | Task::Long { .. } => debug_assert!(false, "no read was for {token}"),
        }
        if let Some(reads) = self.reads.made() {
            reads.give_back(done);
        }
        Ok(true)
    }

    /// Keeps a task, and returns what its read is to be called.
    fn token(&mut self, task: Task<'f>) -> usize {
        let token = self.tokens.pop().unwrap_or_else(|| {
            self.tasks.push(Task::Nothing);
            self.tasks.len().saturating_sub(1)
        });
        if let Some(place) = self.tasks.get_mut(token) {
            *place = task;
        }
        token
    }

    fn take(&mut self, token: usize) -> Task<'f> {
        self.tokens.push(token);
        self.tasks.get_mut(token).map(mem::take).unwrap_or_default()
    }

    fn recycle(&mut self, run: Run<'f>) {
        let mut pieces = run.pieces;
        pieces.clear();
        self.spare.push(pieces);
    }
}

/// Whether pieces are worth a look into memory before an engine is asked: as long as they are
/// found there, and now and then afterwards.
#[derive(Debug)]
pub(crate) struct Warmth {
    /// Pieces until the next question.
    unasked: u32,
    /// How many there were before the last one.
    pause: u32,
    never: bool,
}

impl Warmth {
    pub(crate) fn new(options: &ReadOptions) -> Self {
        Self {
            unasked: 0,
            pause: 0,
            // The question itself would bring the piece into the page cache.
            never: options.is_direct(),
        }
    }

    pub(crate) fn asks(&mut self) -> bool {
        let now = self.unasked == 0 && !self.never;
        self.unasked = self.unasked.saturating_sub(1);
        now
    }

    pub(crate) fn answered(&mut self, found: bool) {
        let longer = self.pause.saturating_mul(2).saturating_add(1);
        self.pause = if found { 0 } else { longer.min(UNASKED_MAX) };
        self.unasked = self.pause;
    }

    /// Returns how far pieces may be apart to be one read.
    fn gap(&self) -> u64 {
        if self.pause == 0 && !self.never {
            WARM_GAP_BYTES_MAX
        } else {
            COLD_GAP_BYTES_MAX
        }
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
