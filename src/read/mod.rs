//! Many reads in flight, completed in any order, in bounded memory.
//!
//! A caller with many pieces to read starts them in [`Reads`], as many as there is room for, and
//! takes out what is complete. Two engines do the work behind one contract, with the same bytes and
//! the same errors: [`uring`] lets the kernel do it, [`pool`] uses a few threads. The choice is
//! made when the first read starts, since systems that refuse `io_uring` are common.
//!
//! # The contract
//!
//! The buffer of a read belongs to the engine from `start` until `finished` returns the read, so
//! that no code can use or free it while the kernel or a thread writes there. Dropping an engine
//! waits until that is over. A read may be short, or fail with an error that concerns the engine
//! and not the file: [`Done::complete`] reads the rest with plain reads, and reports the error of
//! these.
//!
//! [`queue`] decides which pieces become one read and which reads are in flight. [`batch`] delivers
//! from it in any order: pieces are sorted by the caller, and read at once if they are in memory.
//! [`ahead`] delivers in the order of the requests.

pub(crate) mod ahead;
pub(crate) mod batch;
#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod faults;
pub(crate) mod idle;
mod options;
mod pool;
mod queue;
mod residency;
#[cfg(test)]
#[cfg(shuttle)]
mod shuttle;
pub(crate) mod span;
mod tasks;
#[cfg(test)]
mod tests;
mod uring;

pub use self::options::ReadOptions;

use std::fmt::Debug;
use std::io;

use crate::bug::bug;
use crate::error::{ErrorKind, Result};
use crate::exact::sum;
use crate::io::file::OwnedFile;
use crate::io::refusal::{Op, Refusal};
use crate::io::stats;
use crate::read::batch::LONG_BYTES_MAX;
use crate::read::idle::Idle;
use crate::read::pool::Pool;
use crate::read::span::Span;
use crate::read::uring::Uring;
use crate::sys;
use crate::sys::buffer::Buffer;
use crate::sys::{Finished, Read};

/// Bytes of one buffer, and the most bytes of one read.
pub(crate) const PIECE_BYTES_MAX: usize = 64 << 10;

/// The largest memory of one batch for reads in flight, unless a single item is longer.
pub(crate) const BUFFER_BYTES_MAX: usize = 16 << 20;

/// The number of reads that are collected before they are submitted, unless a caller waits.
const UNSUBMITTED_MAX: usize = 32;

/// With many more reads to start, a caller waits until one in `SHARE` of those in flight is
/// complete. As many are started then, with one system call and one request to the device.
const SHARE: usize = 8;

/// Performs reads, in any order.
trait Engine: Debug + Send + Sync {
    /// Accepts a read. The number of reads in the engine never exceeds its depth.
    fn start(&mut self, file: &sys::File, read: Read);

    /// Submits all reads that were started.
    fn submit(&mut self);

    /// Returns a completed read. If there is none and `wait` is not 0, submits all started reads
    /// and waits for `wait` of them, or for fewer.
    fn finished(&mut self, wait: usize) -> Option<Finished>;

    /// Returns the number of reads at a time that this engine could serve for another caller as if
    /// it were new; 0 if it could not.
    fn depth_for_others(&self) -> usize;
}

/// Reads in flight, and room for more.
#[derive(Debug)]
pub(crate) struct Reads {
    engine: Box<dyn Engine>,
    free: Vec<Buffer>,
    running: usize,
    /// Reads that were started and may not be submitted.
    unsubmitted: usize,
    is_direct: bool,
    depth: usize,
    owner: u64,
}

/// A completed read.
#[derive(Debug)]
pub(crate) struct Done(Finished);

impl Reads {
    /// Creates the buffers for the reads that `options` allow, with an engine of `idle` if one
    /// fits.
    ///
    /// # Errors
    ///
    /// There is no memory for the buffers.
    pub(crate) fn new(options: &ReadOptions, idle: &Idle) -> io::Result<Self> {
        let is_direct = options.is_direct();
        let len = buffer_len(is_direct, sys::page_size());
        let depth = options.in_flight_reads().min(depth_max(len));
        let free = sys::retry(|| Buffer::several(depth, len, !is_direct))?;
        Ok(Self {
            engine: engine_for(options, depth, idle),
            free,
            running: 0,
            unsubmitted: 0,
            is_direct,
            depth,
            owner: sys::process(),
        })
    }

    /// Leaves the engine to other callers, if they can use it.
    pub(crate) fn leave(self, idle: &Idle) {
        if self.check_owner().is_ok() {
            idle.keep(self.engine);
        }
    }

    /// Returns whether a read can be started: never in a forked child, which lacks threads, queues
    /// and some of the buffers.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty() && sys::process() == self.owner
    }

    /// Returns an error in a forked child.
    pub(crate) fn check_owner(&self) -> Result<(), Refusal> {
        if sys::process() == self.owner {
            return Ok(());
        }
        let reason = "they were started by the process that this one was forked from";
        Err(Refusal::ours(Op::FinishReads, ErrorKind::Forked, reason))
    }

    /// Returns whether a read is in flight.
    pub(crate) fn is_running(&self) -> bool {
        self.running > 0
    }

    /// Starts to read a part of a file, at most [`PIECE_BYTES_MAX`] bytes. There must be room for
    /// it.
    pub(crate) fn start(&mut self, file: &OwnedFile, span: Span, token: usize) {
        if !self.has_room() {
            bug!("there is no buffer for a read of {span:?}");
        }
        let Some(buffer) = self.free.pop() else {
            bug!("there is no buffer for a read of {span:?}");
        };
        let plain = (file.sys(), span.start(), span.len());
        let direct = self.is_direct.then(|| around(file, span)).flatten();
        let (file, offset, len) = direct.unwrap_or(plain);
        if len > buffer.len() {
            bug!("a read of {len} bytes at {offset} into {}", buffer.len());
        }
        let read = Read {
            offset,
            len,
            buffer,
            token,
        };
        self.engine.start(file, read);
        self.running = sum(self.running, 1);
        self.unsubmitted = sum(self.unsubmitted, 1);
        if self.unsubmitted >= UNSUBMITTED_MAX {
            self.submit();
        }
    }

    fn submit(&mut self) {
        self.engine.submit();
        self.unsubmitted = 0;
    }

    /// Returns how many reads to wait for when many more are to be started.
    pub(crate) fn share(&self) -> usize {
        (self.depth / SHARE).max(1)
    }

    /// Returns a completed read. If there is none, waits for about `wait` of those in flight; does
    /// not wait if `wait` is 0.
    ///
    /// # Errors
    ///
    /// [`Forked`](ErrorKind::Forked): the reads are in flight in the parent.
    pub(crate) fn finished(&mut self, wait: usize) -> Result<Option<Done>, Refusal> {
        if self.running == 0 {
            return Ok(None);
        }
        self.check_owner()?;
        let mut finished = self.engine.finished(0);
        if finished.is_none() && wait > 0 {
            // One call submits the started reads and waits.
            self.unsubmitted = 0;
            finished = self.engine.finished(wait);
        }
        let Some(finished) = finished else {
            // A caller that does not wait does something else, and may return late. What the kernel
            // did not accept the last time is submitted once more; otherwise this makes no system
            // call.
            self.submit();
            return Ok(None);
        };
        let running = self.running.checked_sub(1);
        self.running = running.unwrap_or_else(|| bug!("a read came back that was not started"));
        Ok(Some(Done(finished)))
    }

    /// Returns a buffer, so that there is room for another read.
    pub(crate) fn give_back(&mut self, done: Done) {
        self.free.push(done.0.read.buffer);
    }
}

/// [`Reads`] that are created when the first of them is needed.
#[derive(Debug, Default)]
pub(crate) enum LazyReads {
    #[default]
    NotNeeded,
    /// There was no memory for them.
    Refused,
    Made(Reads),
}

impl LazyReads {
    /// Creates the reads unless they exist; returns `None` if there is no memory for them.
    pub(crate) fn make(&mut self, options: &ReadOptions, idle: &Idle) -> Option<&mut Reads> {
        if matches!(self, Self::NotNeeded) {
            *self = Reads::new(options, idle).map_or(Self::Refused, Self::Made);
        }
        self.made()
    }

    /// Returns the reads if they exist.
    pub(crate) fn made(&mut self) -> Option<&mut Reads> {
        match self {
            Self::Made(reads) => Some(reads),
            Self::NotNeeded | Self::Refused => None,
        }
    }
}

impl Done {
    /// Returns the caller's number of the read.
    pub(crate) fn token(&self) -> usize {
        self.0.read.token
    }

    /// Returns the bytes of `file` that `start` requested. If the engine read fewer or failed, the
    /// rest is read with plain reads.
    pub(crate) fn complete(&mut self, file: &OwnedFile, span: Span) -> Result<&[u8], Refusal> {
        let read = &mut self.0.read;
        // Direct reads start before the requested bytes.
        let around = Span::new(read.offset, read.buffer.len());
        let before = around.place_of(span).start;
        let bytes = around.bytes_of_mut(&mut read.buffer, span);
        let brought = self.0.result.as_ref().map_or(0, |brought| *brought);
        let brought = brought.saturating_sub(before).min(span.len());
        let (_brought, rest) = bytes.split_at_mut(brought);
        if !rest.is_empty() {
            let start = span.start().checked_add(brought as u64);
            file.read_over(
                rest,
                start.unwrap_or_else(|| bug!("byte {brought} of {span:?}")),
            )?;
        }
        Ok(bytes)
    }
}

/// Returns the length of a buffer for a page size.
fn buffer_len(is_direct: bool, page: usize) -> usize {
    // Direct reads are rounded to whole blocks on both sides, and no block is longer than a page.
    let slack = if is_direct {
        page.checked_mul(2)
    } else {
        Some(0)
    };
    let len = slack.and_then(|slack| PIECE_BYTES_MAX.checked_add(slack));
    let len = len.and_then(|len| len.checked_next_multiple_of(page));
    len.unwrap_or_else(|| bug!("pages of {page} bytes"))
}

/// Returns the number of buffers of `buffer_len` bytes, beside one for what is in memory and one
/// for pieces that are assembled from several reads.
fn depth_max(buffer_len: usize) -> usize {
    const LEFT: usize = BUFFER_BYTES_MAX - PIECE_BYTES_MAX - LONG_BYTES_MAX;
    let count = LEFT.checked_div(buffer_len);
    count
        .unwrap_or_else(|| bug!("buffers without bytes"))
        .max(1)
}

/// Returns the engine that the system permits.
fn engine_for(options: &ReadOptions, depth: usize, idle: &Idle) -> Box<dyn Engine> {
    if !options.is_by_threads() {
        if let Some(engine) = idle.take(depth) {
            return engine;
        }
        match sys::retry(|| Uring::new(depth)) {
            Ok(ring) => return Box::new(ring),
            Err(_refused) => stats::ring_refused(),
        }
    }
    Box::new(Pool::new(!options.is_direct()))
}

/// Returns the whole blocks around a piece of a file, for a direct read; `None` if the file has no
/// direct reads.
fn around(file: &OwnedFile, span: Span) -> Option<(&sys::File, u64, usize)> {
    let (direct, block) = file.direct()?;
    let start = span.start().checked_div(block)?.checked_mul(block)?;
    let end = span.end().checked_next_multiple_of(block)?;
    let len = usize::try_from(end.checked_sub(start)?).ok()?;
    Some((direct, start, len))
}
