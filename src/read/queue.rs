//! The queue of reads: joins neighbours, starts reads, collects what is complete.
//!
//! Pieces have numbers in the order of the requests. Neighbours form a [`Run`], which is one read;
//! a piece that is longer than a buffer is read in parts and assembled. An [`Order`] decides what
//! happens to the bytes: [`batch`](super::batch) delivers pieces as they arrive,
//! [`ahead`](super::ahead) in the order of their numbers. Each order decides when to look for a
//! piece in memory before it requests a read.

use std::ops::{Deref, Range};

use crate::bug::bug;
use crate::error::{ErrorKind, Result};
use crate::exact::{difference, sum};
use crate::io::file::OwnedFile;
use crate::io::refusal::{Op, Refusal};
use crate::read::idle::Idle;
use crate::read::residency::Residency;
use crate::read::span::Span;
use crate::read::tasks::Tasks;
use crate::read::{Done, LazyReads, PIECE_BYTES_MAX, ReadOptions, Reads};

/// The least length of the buffer for pieces that are read without an engine.
const SCRATCH_BYTES_MIN: usize = 4 << 10;

/// The order in which pieces are delivered, and what happens to those that cannot be read.
///
/// An `Err` of any method ends the queue, and the caller gets it.
pub(super) trait Order {
    /// Keeps the file of a piece open until it is read.
    type File: Clone + Deref<Target = OwnedFile>;

    /// Returns the idle engines.
    fn idle(&self) -> &Idle;

    /// Returns how many reads to wait for when a read has to be waited for.
    fn wait_count(reads: &Reads) -> usize;

    /// Delivers each piece of a run, whose bytes are `bytes`.
    fn deliver(&mut self, run: &Run<Self::File>, bytes: &[u8]) -> Result<(), Refusal>;

    /// Delivers a run of one long piece.
    fn deliver_long(&mut self, run: &Run<Self::File>, bytes: Vec<u8>) -> Result<(), Refusal>;

    /// Records that a run could not be read.
    fn failed(&mut self, run: &Run<Self::File>, refused: Refusal) -> Result<(), Refusal>;

    /// Decides how to go on in a forked child, which cannot start reads: `Ok` continues with plain
    /// reads.
    fn forked(&mut self, refused: Refusal) -> Result<(), Refusal>;
}

/// Neighbours: one read.
#[derive(Debug)]
pub(super) struct Run<F> {
    pub(super) file: F,
    pub(super) span: Span,
    /// The number of the first piece, and the one behind the last. Pieces between them that needed
    /// no read are not part of the run.
    pub(super) numbers: Range<u64>,
}

/// The purpose of a read.
#[derive(Debug)]
enum Task<F> {
    Run(Run<F>),
    /// Part of a long piece, which is the task `of`.
    Part {
        of: usize,
        part: Span,
    },
    Long(Long<F>),
}

/// A long piece that is assembled from parts.
#[derive(Debug)]
struct Long<F> {
    run: Run<F>,
    bytes: Vec<u8>,
    /// The number of bytes that have not been read yet.
    missing: usize,
    /// Why one of the parts could not be read.
    refused: Option<Refusal>,
}

/// Reads that were requested, and those in flight.
#[derive(Debug)]
pub(super) struct Queue<O: Order> {
    pub(super) order: O,
    pub(super) residency: Residency,
    options: ReadOptions,
    /// For pieces that are not in memory.
    reads: LazyReads,
    /// Neighbours that were joined so far and not submitted yet.
    run: Option<Run<O::File>>,
    /// For pieces that are read without an engine.
    scratch: Vec<u8>,
    tasks: Tasks<Task<O::File>>,
    /// Bytes of the long pieces of which parts are in flight.
    long_bytes: usize,
}

impl<F: Deref<Target = OwnedFile>> Run<F> {
    pub(super) fn new(number: u64, file: F, span: Span) -> Self {
        let numbers = number..next(number);
        Self {
            file,
            span,
            numbers,
        }
    }

    /// Adds a piece if it is near enough to be read together with the others.
    fn add(&mut self, number: u64, file: &F, span: Span, gap: u64) -> bool {
        if !std::ptr::eq(&raw const **file, &raw const *self.file) {
            return false;
        }
        let Some(joined) = self.span.joined(span, gap) else {
            return false;
        };
        self.span = joined;
        self.numbers.end = next(number);
        true
    }

    /// Returns whether the run is one piece that is longer than a buffer.
    pub(super) fn is_long(&self) -> bool {
        self.span.len() > PIECE_BYTES_MAX
    }
}

fn next(number: u64) -> u64 {
    let next = number.checked_add(1);
    next.unwrap_or_else(|| bug!("piece {number}"))
}

impl<O: Order> Queue<O> {
    pub(super) fn new(options: &ReadOptions, order: O) -> Self {
        Self {
            order,
            residency: Residency::new(options),
            options: options.clone(),
            reads: LazyReads::default(),
            run: None,
            scratch: Vec::new(),
            tasks: Tasks::default(),
            long_bytes: 0,
        }
    }

    /// Joins a piece to the waiting run, if it is near enough.
    pub(super) fn joins(&mut self, number: u64, file: &O::File, span: Span) -> bool {
        let gap = self.residency.gap();
        let run = self.run.as_mut();
        run.is_some_and(|run| run.add(number, file, span, gap))
    }

    /// Makes a run wait for neighbours, and returns the run that waited before.
    pub(super) fn hold(&mut self, run: Run<O::File>) -> Option<Run<O::File>> {
        self.run.replace(run)
    }

    /// Returns the run that waits for neighbours.
    pub(super) fn waiting(&self) -> Option<&Run<O::File>> {
        self.run.as_ref()
    }

    /// Takes the run that waits for neighbours out.
    pub(super) fn take_waiting(&mut self) -> Option<Run<O::File>> {
        self.run.take()
    }

    /// Returns whether a read could be started without waiting.
    pub(super) fn has_room(&mut self) -> bool {
        let reads = self.reads.made();
        reads.is_none_or(|reads| reads.has_room())
    }

    /// Returns whether a read is in flight.
    pub(super) fn is_running(&mut self) -> bool {
        self.reads.made().is_some_and(|reads| reads.is_running())
    }

    /// Starts the read of a run.
    pub(super) fn start(&mut self, run: Run<O::File>) -> Result<(), Refusal> {
        if run.is_long() {
            return self.start_long(run, Vec::new());
        }
        if !self.make_room()? {
            return self.read_plainly(&run);
        }
        let (file, span) = (run.file.clone(), run.span);
        let token = self.tasks.keep(Task::Run(run));
        self.reads().start(&file, span, token);
        Ok(())
    }

    /// Starts the reads of a long piece, which is assembled in `bytes`.
    pub(super) fn start_long(
        &mut self,
        run: Run<O::File>,
        mut bytes: Vec<u8>,
    ) -> Result<(), Refusal> {
        let (file, span) = (run.file.clone(), run.span);
        if !self.make_room()? {
            bytes.clear();
            let read = file.read_to_end_of(&mut bytes, span.len(), span.start());
            return match read {
                Ok(()) => self.order.deliver_long(&run, bytes),
                Err(refused) => self.order.failed(&run, refused),
            };
        }
        if let Err(refused) = zeroed(&mut bytes, span.len()) {
            return self.order.failed(&run, refused);
        }
        self.long_bytes = sum(self.long_bytes, span.len());
        let of = self.tasks.keep(Task::Long(Long {
            run,
            bytes,
            missing: span.len(),
            refused: None,
        }));
        for part in span.parts(PIECE_BYTES_MAX) {
            if !self.make_room()? {
                bug!("the buffers for {span:?} are gone");
            }
            let token = self.tasks.keep(Task::Part { of, part });
            self.reads().start(&file, part, token);
        }
        Ok(())
    }

    /// Waits until a long piece can be assembled in addition to the present ones, within
    /// `bytes_max` bytes of memory; one alone always can.
    pub(super) fn make_room_for_long(
        &mut self,
        len: usize,
        bytes_max: usize,
    ) -> Result<(), Refusal> {
        while self.long_bytes > 0 && sum(self.long_bytes, len) > bytes_max {
            if !self.reap(true)? {
                bug!("{} bytes are missing that nothing reads", self.long_bytes);
            }
        }
        Ok(())
    }

    /// Reads a run without an engine.
    fn read_plainly(&mut self, run: &Run<O::File>) -> Result<(), Refusal> {
        let read = scratch(&mut self.scratch, run.span.len()).and_then(|bytes| {
            run.file.read_over(bytes, run.span.start())?;
            Ok(&*bytes)
        });
        match read {
            Ok(bytes) => self.order.deliver(run, bytes),
            Err(refused) => self.order.failed(run, refused),
        }
    }

    /// Reads a run by `read`, which returns whether it read all of it, and delivers the run in that
    /// case.
    pub(super) fn read_by(
        &mut self,
        run: &Run<O::File>,
        read: impl FnOnce(&mut O, &mut [u8]) -> Result<bool, Refusal>,
    ) -> Result<bool, Refusal> {
        let bytes = scratch(&mut self.scratch, run.span.len())?;
        let found = read(&mut self.order, bytes)?;
        if found {
            self.order.deliver(run, bytes)?;
        }
        Ok(found)
    }

    /// Waits until a read can be started; returns `false` if there are no buffers at all, and in a
    /// forked child.
    fn make_room(&mut self) -> Result<bool, Refusal> {
        let Some(reads) = self.reads.make(&self.options, self.order.idle()) else {
            return Ok(false);
        };
        if reads.has_room() {
            return Ok(true);
        }
        if reads.check_owner().is_ok() {
            if !self.reap(true)? {
                bug!("every buffer is taken and none is read into");
            }
            // Deliver all that is complete, so that the kernel is entered seldom.
            while self.reap(false)? {}
        }
        // The receiver may have forked while this thread waited.
        match self.reads().check_owner() {
            Ok(()) => Ok(true),
            Err(refused) => self.order.forked(refused).map(|()| false),
        }
    }

    /// Delivers one completed read, and returns whether there was one. If there is none and `wait`
    /// is set, waits for one, unless no read is in flight.
    pub(super) fn reap(&mut self, wait: bool) -> Result<bool, Refusal> {
        let Some(reads) = self.reads.made() else {
            return Ok(false);
        };
        let wait = if wait { O::wait_count(reads) } else { 0 };
        let Some(mut done) = reads.finished(wait)? else {
            return Ok(false);
        };
        let delivered = self.deliver(&mut done);
        self.reads().give_back(done);
        delivered.map(|()| true)
    }

    fn deliver(&mut self, done: &mut Done) -> Result<(), Refusal> {
        match self.tasks.take(done.token()) {
            Task::Run(run) => match done.complete(&run.file, run.span) {
                Ok(bytes) => self.order.deliver(&run, bytes),
                Err(refused) => self.order.failed(&run, refused),
            },
            Task::Part { of, part } => self.add_part(of, part, done),
            Task::Long(long) => bug!("a read for all of {:?}", long.run.span),
        }
    }

    /// Adds a part to a long piece, and delivers the piece with the last part.
    fn add_part(&mut self, of: usize, part: Span, done: &mut Done) -> Result<(), Refusal> {
        let Task::Long(long) = self.tasks.get_mut(of) else {
            bug!("{part:?} is part of no long piece");
        };
        match done.complete(&long.run.file, part) {
            Ok(bytes) => {
                let target = long.run.span.bytes_of_mut(&mut long.bytes, part);
                target.copy_from_slice(bytes);
            }
            Err(refused) => {
                long.refused.get_or_insert(refused);
            }
        }
        long.missing = difference(long.missing, part.len());
        if long.missing > 0 {
            return Ok(());
        }
        let Task::Long(long) = self.tasks.take(of) else {
            bug!("{part:?} was part of no long piece");
        };
        self.long_bytes = difference(self.long_bytes, long.run.span.len());
        match long.refused {
            None => self.order.deliver_long(&long.run, long.bytes),
            Some(refused) => self.order.failed(&long.run, refused),
        }
    }

    fn reads(&mut self) -> &mut Reads {
        let made = self.reads.made();
        made.unwrap_or_else(|| bug!("reads that were not made"))
    }
}

impl<O: Order> Drop for Queue<O> {
    /// Leaves the engine to other callers. An engine with reads in flight is useless to them: it is
    /// dropped, which waits for these reads.
    fn drop(&mut self) {
        if let LazyReads::Made(reads) = std::mem::take(&mut self.reads) {
            reads.leave(self.order.idle());
        }
    }
}

/// Returns `len` bytes of a vector, which is extended if it is shorter.
fn scratch(bytes: &mut Vec<u8>, len: usize) -> Result<&mut [u8], Refusal> {
    if bytes.len() < len {
        zeroed(bytes, len.next_power_of_two().max(SCRATCH_BYTES_MIN))?;
    }
    let found = bytes.get_mut(..len);
    Ok(found.unwrap_or_else(|| bug!("{len} bytes of fewer")))
}

/// Makes a vector `len` zeros long.
pub(super) fn zeroed(bytes: &mut Vec<u8>, len: usize) -> Result<(), Refusal> {
    bytes.clear();
    bytes.try_reserve_exact(len).map_err(|_full| no_memory())?;
    bytes.resize(len, 0);
    Ok(())
}

/// Makes a copy of bytes.
pub(super) fn copied(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut copy = Vec::new();
    let reserved = copy.try_reserve_exact(bytes.len());
    reserved.map_err(|_full| no_memory())?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

#[cold]
fn no_memory() -> Refusal {
    let reason = "there is no memory for an item";
    Refusal::ours(Op::ReadItems, ErrorKind::OutOfMemory, reason)
}
