//! Pieces of files, delivered in the order of the requests, and read ahead of the caller.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::bug::bug;
use crate::error::Result;
use crate::io::cache::pass::Pass;
use crate::io::file::OwnedFile;
use crate::io::refusal::Refusal;
use crate::read::idle::Idle;
use crate::read::queue::{Order, Queue, Run, copied, zeroed};
use crate::read::span::Span;
use crate::read::{ReadOptions, Reads};

/// The largest number of bytes in flight or waiting to be taken, unless one piece alone is longer.
pub(crate) const AHEAD_BYTES_MAX: u64 = 2 << 20;

/// What a piece counts in addition to its bytes, so that the queue stays short for tiny pieces.
const ENTRY_BYTES: u64 = 128;

/// Reads in order. `F` keeps the file of a piece open until the piece is read.
#[derive(Debug)]
pub(crate) struct Ahead<F: Clone + Deref<Target = OwnedFile>> {
    queue: Queue<InOrder<F>>,
    ascent: Ascent<F>,
}

/// Whether pieces are asked for in ascending order, close to each other: then what was taken leaves the
/// page cache.
#[derive(Debug)]
struct Ascent<F> {
    file: Option<F>,
    /// Where it began, and where the last piece ended.
    from: u64,
    to: u64,
    pass: Pass,
}

/// The most bytes between two pieces, and the least that were read, for it to be an ascent; and how far
/// behind the last piece those are that were taken.
const ASCENT_BYTES: u64 = 2 * AHEAD_BYTES_MAX;

impl<F: Clone + Deref<Target = OwnedFile>> Ascent<F> {
    /// Notes that a piece is asked for.
    fn follow(&mut self, file: &F, span: Span) {
        let at = |file: &F| -> *const OwnedFile { &raw const **file };
        let is_same = |known: &F| at(known) == at(file);
        let gap = span.start().checked_sub(self.to);
        if !self.file.as_ref().is_some_and(is_same) || gap.is_none_or(|gap| gap > ASCENT_BYTES) {
            self.file = Some(file.clone());
            self.from = span.start();
            self.pass.start(span.start());
        }
        self.to = span.end();
        let taken = span.start().saturating_sub(ASCENT_BYTES);
        if taken > self.from {
            self.pass.reach(file, taken, u64::MAX);
        }
    }
}

/// Pieces are delivered in the order of their numbers.
#[derive(Debug)]
struct InOrder<F> {
    idle: Arc<Idle>,
    /// Pieces requested and not taken yet, in order.
    entries: VecDeque<Entry>,
    /// The number of pieces taken, which is the number of the first entry.
    taken: u64,
    /// The sum of the bytes of the entries.
    bytes: u64,
    files: PhantomData<F>,
}

/// A piece.
#[derive(Debug)]
struct Entry {
    /// Its length plus `ENTRY_BYTES`.
    bytes: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting(Span),
    Ready(Result<Vec<u8>, Refusal>),
}

impl<F: Clone + Deref<Target = OwnedFile>> Ahead<F> {
    /// Creates an empty queue, which takes its engine from `idle` and returns it there.
    pub(crate) fn new(options: &ReadOptions, idle: Arc<Idle>) -> Self {
        let order = InOrder {
            idle,
            entries: VecDeque::new(),
            taken: 0,
            bytes: 0,
            files: PhantomData,
        };
        let queue = Queue::new(options, order);
        let ascent = Ascent {
            file: None,
            from: 0,
            to: 0,
            pass: Pass::default(),
        };
        Self { queue, ascent }
    }

    /// Returns whether requesting a further piece now is useful.
    ///
    /// It is not while enough is in flight or waiting to be taken, nor while everything is in
    /// memory anyway: then each piece is read when the caller takes it.
    pub(crate) fn wants_more(&mut self) -> bool {
        let has_room = self.queue.has_room();
        let is_quiet = self.queue.waiting().is_none() && !self.queue.is_running();
        let order = &self.queue.order;
        let is_full = order.bytes >= AHEAD_BYTES_MAX;
        let enough = !has_room || is_full || (is_quiet && order.is_front_ready());
        // Reads of a piece that failed may still be in flight when all others were taken.
        order.entries.is_empty() || !enough
    }

    /// Returns the number of pieces requested and not taken.
    pub(crate) fn len(&self) -> usize {
        self.queue.order.entries.len()
    }

    /// Returns whether all requested pieces were taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.order.entries.is_empty()
    }

    /// Requests a piece.
    pub(crate) fn push(&mut self, file: F, span: Span) {
        self.ascent.follow(&file, span);
        let number = self.queue.order.push(span.len(), State::Waiting(span));
        if self.queue.joins(number, &file, span) {
            return;
        }
        self.send();
        if self.queue.residency.asks() {
            let mut bytes = Vec::new();
            if let Err(refused) = zeroed(&mut bytes, span.len()) {
                return self.queue.order.answer(number, Err(refused));
            }
            let found = file.read_cached(&mut bytes, span.start());
            self.queue.residency.answered(found);
            if found {
                return self.queue.order.answer(number, Ok(bytes));
            }
        }
        let run = Run::new(number, file, span);
        if run.is_long() {
            return surely(self.queue.start(run));
        }
        if let Some(run) = self.queue.hold(run) {
            bug!("pieces {:?} were not sent", run.numbers);
        }
    }

    /// Adds an answer that needs no read, in its place in the order.
    pub(crate) fn push_ready(&mut self, answer: Result<Vec<u8>, Refusal>) {
        let len = answer.as_ref().map_or(0, Vec::len);
        self.queue.order.push(len, State::Ready(answer));
    }

    /// Takes the next piece. Returns `None` if all requested pieces were taken, or, unless `wait`
    /// is set, if the piece has not arrived.
    pub(crate) fn pop(&mut self, wait: bool) -> Option<Result<Vec<u8>, Refusal>> {
        while !self.queue.order.is_front_ready() {
            if self.is_empty() {
                return None;
            }
            // The read may not be started yet.
            let number = self.queue.order.taken;
            let waiting = self.queue.waiting();
            if waiting.is_some_and(|run| run.numbers.start <= number) {
                self.send();
                continue;
            }
            match self.queue.reap(wait) {
                Ok(true) => {}
                Ok(false) if !wait => return None,
                Ok(false) => bug!("piece {number} is waited for, and nothing reads it"),
                // This is a forked child, and the read is in flight in the parent.
                Err(refused) => self.queue.order.answer(number, Err(refused)),
            }
        }
        self.queue.order.pop()
    }

    /// Starts to read the run that waits for neighbours.
    fn send(&mut self) {
        if let Some(run) = self.queue.take_waiting() {
            surely(self.queue.start(run));
        }
    }
}

/// Unwraps a result of the queue: errors belong to pieces, and no error ends a queue of this order.
fn surely(answer: Result<(), Refusal>) {
    if let Err(refused) = answer {
        bug!("reads in order ended: {refused:?}");
    }
}

impl<F> InOrder<F> {
    /// Adds an entry and returns its number.
    fn push(&mut self, len: usize, state: State) -> u64 {
        let bytes = (len as u64).checked_add(ENTRY_BYTES);
        let sum = bytes.and_then(|bytes| self.bytes.checked_add(bytes));
        let number = self.taken.checked_add(self.entries.len() as u64);
        let (Some(bytes), Some(sum), Some(number)) = (bytes, sum, number) else {
            bug!("{} bytes of pieces wait, and {len} more", self.bytes);
        };
        self.bytes = sum;
        self.entries.push_back(Entry { bytes, state });
        number
    }

    fn is_front_ready(&self) -> bool {
        let front = self.entries.front().map(|front| &front.state);
        matches!(front, Some(State::Ready(_)))
    }

    /// Takes the first entry, which is ready.
    fn pop(&mut self) -> Option<Result<Vec<u8>, Refusal>> {
        let Entry { bytes, state } = self.entries.pop_front()?;
        let (State::Ready(answer), Some(left)) = (state, self.bytes.checked_sub(bytes)) else {
            bug!("piece {} is not there", self.taken);
        };
        self.taken = self.taken.wrapping_add(1);
        self.bytes = left;
        Some(answer)
    }

    /// Answers an entry, unless it was answered before.
    fn answer(&mut self, number: u64, answer: Result<Vec<u8>, Refusal>) {
        if let Some(state) = self.waiting(number) {
            *state = State::Ready(answer);
        }
    }

    /// Returns the state of an entry that has no answer yet.
    fn waiting(&mut self, number: u64) -> Option<&mut State> {
        let index = number.checked_sub(self.taken)?;
        let entry = self.entries.get_mut(usize::try_from(index).ok()?)?;
        matches!(entry.state, State::Waiting(_)).then_some(&mut entry.state)
    }
}

impl<F: Clone + Deref<Target = OwnedFile>> Order for InOrder<F> {
    type File = F;

    fn idle(&self) -> &Idle {
        &self.idle
    }

    fn wait_count(_reads: &Reads) -> usize {
        1
    }

    fn deliver(&mut self, run: &Run<F>, bytes: &[u8]) -> Result<(), Refusal> {
        for number in run.numbers.clone() {
            if let Some(state) = self.waiting(number) {
                if let State::Waiting(span) = state {
                    let piece = run.span.bytes_of(bytes, *span);
                    *state = State::Ready(copied(piece));
                }
            }
        }
        Ok(())
    }

    fn deliver_long(&mut self, run: &Run<F>, bytes: Vec<u8>) -> Result<(), Refusal> {
        self.answer(run.numbers.start, Ok(bytes));
        Ok(())
    }

    /// Reads the pieces of the run one by one: each has its own bytes or error.
    fn failed(&mut self, run: &Run<F>, _refused: Refusal) -> Result<(), Refusal> {
        for number in run.numbers.clone() {
            if let Some(state) = self.waiting(number) {
                if let State::Waiting(span) = state {
                    let mut bytes = Vec::new();
                    let read = run
                        .file
                        .read_to_end_of(&mut bytes, span.len(), span.start());
                    *state = State::Ready(read.map(|()| bytes));
                }
            }
        }
        Ok(())
    }

    fn forked(&mut self, _refused: Refusal) -> Result<(), Refusal> {
        Ok(())
    }
}
