//! Many reads at the same time, finished in any order, in bounded memory.
//!
//! Whoever has many pieces of files to read puts them into [`Reads`], as many as there is room for,
//! and takes out what is finished. Two engines do the work behind one contract, with the same
//! bytes and the same errors: [`uring`] lets the kernel do it, [`pool`] a few threads. Which one it
//! is is found out when the first read starts, since systems that refuse the first are common.
//!
//! # The contract
//!
//! The memory that is read into belongs to the engine from `start` until the read comes back by
//! `finished`, so nobody can use or free it while somebody else writes there. An engine that is
//! dropped waits until nobody does. A read may come back short, or with an error that says more
//! about the engine than about the file: [`Done::complete`] reads the rest the plain way, and its
//! error is the one that counts.
//!
//! [`queue`] decides what is one read and what is under way. [`batch`] delivers from it in any order:
//! pieces that are sorted by the caller, and read at once where they are in memory. [`ahead`] delivers
//! in the order in which pieces were asked for.

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
#[cfg(test)]
#[cfg(shuttle)]
mod shuttle;
pub(crate) mod span;
mod tasks;
#[cfg(test)]
mod tests;
mod uring;
mod warmth;

pub use self::options::ReadOptions;

use std::fmt::Debug;
use std::io;

use crate::bug::bug;
use crate::error::{Error, ErrorKind, Result};
use crate::io::file::OwnedFile;
use crate::io::stats;
use crate::read::batch::LONG_BYTES_MAX;
use crate::read::idle::Idle;
use crate::read::pool::Pool;
use crate::read::span::Span;
use crate::read::uring::Uring;
use crate::sys;
use crate::sys::buffer::Buffer;
use crate::sys::{Finished, Read};

/// Bytes of one buffer: the most that one read asks for.
pub(crate) const PIECE_BYTES_MAX: usize = 64 << 10;

/// The most memory that one batch takes for what is on its way, unless a single item is longer.
pub(crate) const BUFFER_BYTES_MAX: usize = 16 << 20;

/// How many reads are started before the kernel is told of them, unless somebody waits.
const UNTOLD_MAX: usize = 32;

/// Whoever has many more reads waits for one in so many of those that are under way. As many are
/// started then, and the kernel is entered, and the device told, once for all of them.
const SHARE: usize = 8;

/// What does reads, in any order.
trait Engine: Debug + Send + Sync {
    /// Takes a read on. There are never more at a time than the engine was made for.
    fn start(&mut self, file: &sys::File, read: Read);

    /// Makes sure that everything that was started is under way.
    fn tell(&mut self);

    /// Returns a read that is finished. If there is none and `wait` is not 0, it makes sure that
    /// everything is under way, and waits for so many, or for fewer.
    fn finished(&mut self, wait: usize) -> Option<Finished>;

    /// Returns for how many reads at a time it could serve somebody else as if it were new; 0 if it
    /// could not.
    fn depth_for_others(&self) -> usize;
}

/// Reads that are under way, and room for more.
#[derive(Debug)]
pub(crate) struct Reads {
    engine: Box<dyn Engine>,
    free: Vec<Buffer>,
    running: usize,
    /// Reads that were started and may not be under way.
    untold: usize,
    is_direct: bool,
    depth: usize,
    owner: u64,
}

/// A read that came back.
#[derive(Debug)]
pub(crate) struct Done(Finished);

impl Reads {
    /// Makes room for the reads that `options` allow, with the engine that is `idle` if it will do.
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
            untold: 0,
            is_direct,
            depth,
            owner: sys::process(),
        })
    }

    /// Leaves the engine to others, if it is of use to them.
    pub(crate) fn leave(self, idle: &Idle) {
        if self.check_owner().is_ok() {
            idle.keep(self.engine);
        }
    }

    /// Returns whether a read can be started: never in a forked child, where threads, queues and
    /// some of the buffers are missing.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty() && sys::process() == self.owner
    }

    /// Refuses to go on in a forked child.
    pub(crate) fn check_owner(&self) -> Result<()> {
        if sys::process() == self.owner {
            return Ok(());
        }
        let reason = "they were started by the process that this one was forked from";
        Err(Error::refused(ErrorKind::Forked, "finish reads", reason))
    }

    /// Returns whether a read was started that did not come back.
    pub(crate) fn is_running(&self) -> bool {
        self.running > 0
    }

    /// Starts to read a part of a file, at most [`PIECE_BYTES_MAX`] bytes of it. There is room for it.
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
        self.running = add(self.running, 1);
        self.untold = add(self.untold, 1);
        if self.untold >= UNTOLD_MAX {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.engine.tell();
        self.untold = 0;
    }

    /// Returns how many reads to wait for where many are to be started.
    pub(crate) fn share(&self) -> usize {
        (self.depth / SHARE).max(1)
    }

    /// Returns a read that came back. If there is none, waits for about `wait` of those that are
    /// under way; not if that is 0.
    ///
    /// # Errors
    ///
    /// [`Forked`](ErrorKind::Forked): what is under way is under way in the parent.
    pub(crate) fn finished(&mut self, wait: usize) -> Result<Option<Done>> {
        if self.running == 0 {
            return Ok(None);
        }
        self.check_owner()?;
        let mut finished = self.engine.finished(0);
        if finished.is_none() && wait > 0 {
            // One call for both: what was started gets under way, and we wait.
            self.untold = 0;
            finished = self.engine.finished(wait);
        }
        let Some(finished) = finished else {
            // Whoever does not wait goes on to something else, and may come back late.
            // What the kernel did not take the last time is told once more; else this is no call.
            self.tell();
            return Ok(None);
        };
        let running = self.running.checked_sub(1);
        self.running = running.unwrap_or_else(|| bug!("a read came back that was not started"));
        Ok(Some(Done(finished)))
    }

    /// Takes a buffer back, so that there is room for another read.
    pub(crate) fn give_back(&mut self, done: Done) {
        self.free.push(done.0.read.buffer);
    }
}

/// [`Reads`] that are made when the first of them is needed.
#[derive(Debug, Default)]
pub(crate) enum LazyReads {
    #[default]
    NotNeeded,
    /// There was no memory for them.
    Refused,
    Made(Reads),
}

impl LazyReads {
    /// Makes them unless they were made; `None` where there is no memory for them.
    pub(crate) fn make(&mut self, options: &ReadOptions, idle: &Idle) -> Option<&mut Reads> {
        if matches!(self, Self::NotNeeded) {
            *self = Reads::new(options, idle).map_or(Self::Refused, Self::Made);
        }
        self.made()
    }

    /// Returns them if they were made.
    pub(crate) fn made(&mut self) -> Option<&mut Reads> {
        match self {
            Self::Made(reads) => Some(reads),
            Self::NotNeeded | Self::Refused => None,
        }
    }
}

impl Done {
    /// Returns what the caller calls the read.
    pub(crate) fn token(&self) -> usize {
        self.0.read.token
    }

    /// Returns the bytes of `file` that were asked for by `start`. Where the engine brought fewer or
    /// failed, the rest is read the plain way.
    pub(crate) fn complete(&mut self, file: &OwnedFile, span: Span) -> Result<&[u8]> {
        let read = &mut self.0.read;
        // Direct reads start before what was asked for.
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

fn add(count: usize, more: usize) -> usize {
    let sum = count.checked_add(more);
    sum.unwrap_or_else(|| bug!("{count} reads and {more} more"))
}

/// Returns the bytes of a buffer where pages have so many.
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

/// Returns how many buffers of so many bytes there may be, beside one for what is in memory and
/// what is put together of several reads.
fn depth_max(buffer_len: usize) -> usize {
    const LEFT: usize = BUFFER_BYTES_MAX - PIECE_BYTES_MAX - LONG_BYTES_MAX;
    let count = LEFT.checked_div(buffer_len);
    count
        .unwrap_or_else(|| bug!("buffers without bytes"))
        .max(1)
}

/// Returns the engine that the system lets us have.
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

/// Returns the whole blocks around a piece of a file, for a direct read; `None` where the file
/// cannot be read so.
fn around(file: &OwnedFile, span: Span) -> Option<(&sys::File, u64, usize)> {
    let (direct, block) = file.direct()?;
    let start = span.start().checked_div(block)?.checked_mul(block)?;
    let end = span.end().checked_next_multiple_of(block)?;
    let len = usize::try_from(end.checked_sub(start)?).ok()?;
    Some((direct, start, len))
}
