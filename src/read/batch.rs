//! Many pieces of files, delivered in any order.

use std::mem;
use std::time::Instant;

use crate::bug::bug;
use crate::error::{ErrorKind, Result};
use crate::io::file::OwnedFile;
use crate::io::refusal::{Op, Refusal};
use crate::read::idle::Idle;
use crate::read::queue::{Order, Queue, Run, zeroed};
use crate::read::residency::{COLD_GAP_BYTES_MAX, Trust};
use crate::read::span::Span;
use crate::read::{ReadOptions, Reads};
use crate::sys::{self, Hint};

/// One piece of a file to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'f> {
    pub(crate) file: &'f OwnedFile,
    /// Where it is in the file.
    pub(crate) span: Span,
    /// The caller's number of the piece.
    pub(crate) index: usize,
}

/// The largest number of bytes of pieces that are assembled from several reads, unless one alone is
/// longer.
pub(crate) const LONG_BYTES_MAX: usize = 2 << 20;

/// Returns the piece with a number, or `None` behind the last.
type Pieces<'f, 'd> = &'d dyn Fn(usize) -> Option<Piece<'f>>;

/// Reads pieces and passes each to `deliver` with its index, in any order.
///
/// `piece` returns piece number 0, 1 and so on, `None` behind the last, and the same piece for the
/// same number. Pieces are sorted by file and offset, so that neighbours can be joined. The first
/// error ends the batch; part of it may have been delivered. A panic of `deliver` is passed on.
///
/// Takes an engine from `idle` where that pays, and returns it there.
pub(crate) fn read_batch<'f>(
    options: &ReadOptions,
    idle: &Idle,
    piece: &dyn Fn(usize) -> Option<Piece<'f>>,
    deliver: &mut dyn FnMut(usize, &[u8]),
) -> Result<(), Refusal> {
    let order = AnyOrder {
        idle,
        pieces: piece,
        deliver,
        trust: Trust::new(),
    };
    let mut queue = Queue::new(options, order);
    for number in 0.. {
        let Some(Piece { file, span, .. }) = piece(number) else {
            break;
        };
        let number = number as u64;
        if queue.joins(number, &file, span) {
            continue;
        }
        if let Some(run) = queue.hold(Run::new(number, file, span)) {
            queue.send(run)?;
        }
    }
    if let Some(run) = queue.take_waiting() {
        queue.send(run)?;
    }
    while queue.reap(true)? {}
    Ok(())
}

/// Pieces are delivered as they arrive.
struct AnyOrder<'f, 'd> {
    idle: &'d Idle,
    pieces: Pieces<'f, 'd>,
    deliver: &'d mut dyn FnMut(usize, &[u8]),
    trust: Trust,
}

impl<'f> AnyOrder<'f, '_> {
    fn piece(&self, number: u64) -> Piece<'f> {
        let piece = usize::try_from(number).ok().and_then(self.pieces);
        piece.unwrap_or_else(|| bug!("piece {number} was there before"))
    }
}

impl<'f> Order for AnyOrder<'f, '_> {
    type File = &'f OwnedFile;

    fn idle(&self) -> &Idle {
        self.idle
    }

    fn wait_count(reads: &Reads) -> usize {
        reads.share()
    }

    fn deliver(&mut self, run: &Run<&'f OwnedFile>, bytes: &[u8]) -> Result<(), Refusal> {
        let here = sys::process();
        for number in run.numbers.clone() {
            let piece = self.piece(number);
            // A forked child may lack the buffer.
            if sys::process() != here {
                let reason = "this process was forked while the batch ran";
                return Err(Refusal::ours(Op::ReadBatch, ErrorKind::Forked, reason));
            }
            (self.deliver)(piece.index, run.span.bytes_of(bytes, piece.span));
        }
        Ok(())
    }

    fn deliver_long(&mut self, run: &Run<&'f OwnedFile>, bytes: Vec<u8>) -> Result<(), Refusal> {
        let piece = self.piece(run.numbers.start);
        (self.deliver)(piece.index, &bytes);
        Ok(())
    }

    fn failed(&mut self, _run: &Run<&'f OwnedFile>, refused: Refusal) -> Result<(), Refusal> {
        Err(refused)
    }

    fn forked(&mut self, refused: Refusal) -> Result<(), Refusal> {
        Err(refused)
    }
}

impl<'f> Queue<AnyOrder<'f, '_>> {
    /// Delivers a run that is in memory; starts to read any other.
    fn send(&mut self, run: Run<&'f OwnedFile>) -> Result<(), Refusal> {
        if run.is_long() {
            return self.send_long(run);
        }
        if self.residency.asks() {
            let (file, start) = (run.file, run.span.start());
            let found = self.read_by(&run, |order, bytes| {
                if order.trust.holds(Instant::now) {
                    file.read_over(bytes, start)?;
                    order.trust.answered(true);
                    return Ok(true);
                }
                let found = file.read_cached(bytes, start);
                order.trust.answered(found);
                Ok(found)
            })?;
            self.residency.answered(found);
            if found {
                return Ok(());
            }
        }
        self.start(run)
    }

    fn send_long(&mut self, run: Run<&'f OwnedFile>) -> Result<(), Refusal> {
        self.make_room_for_long(run.span.len(), LONG_BYTES_MAX)?;
        let mut bytes = Vec::new();
        if self.residency.asks() {
            zeroed(&mut bytes, run.span.len())?;
            let found = run.file.read_cached(&mut bytes, run.span.start());
            self.residency.answered(found);
            if found {
                return self.order.deliver_long(&run, bytes);
            }
        }
        self.start_long(run, bytes)
    }
}

/// Makes the kernel start to read pieces, which are sorted by file and offset, and does not wait
/// for them.
pub(crate) fn prefetch<'f>(pieces: impl Iterator<Item = Piece<'f>>) -> Result<(), Refusal> {
    let mut waiting: Option<(&OwnedFile, u64, u64)> = None;
    let advise = |(file, start, end): (&OwnedFile, u64, u64)| {
        let len = end.checked_sub(start);
        let len = len.unwrap_or_else(|| bug!("bytes {start} to {end}"));
        file.advise(start, len, Hint::WillNeed)
    };
    for Piece { file, span, .. } in pieces {
        match &mut waiting {
            Some((before, _start, end))
                if std::ptr::eq(*before, file)
                    && span.start() <= end.saturating_add(COLD_GAP_BYTES_MAX) =>
            {
                *end = span.end().max(*end);
            }
            _ => {
                let next = Some((file, span.start(), span.end()));
                mem::replace(&mut waiting, next).map_or(Ok(()), advise)?;
            }
        }
    }
    waiting.map_or(Ok(()), advise)
}
