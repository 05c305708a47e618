//! Items in the order of the requests, read ahead of the caller.

use std::collections::VecDeque;
use std::fmt;
use std::iter::{Fuse, FusedIterator};
use std::ops::Deref;
use std::sync::Arc;
use std::task::Poll;

use crate::containers::arena::shard::Shard;
use crate::containers::arena::{Arena, Location, span};
use crate::error::Result;
use crate::io::file::OwnedFile;
use crate::read::ReadOptions;
use crate::read::ahead::{AHEAD_BYTES_MAX, Ahead};

/// The items of an [`Arena`] at given locations, in their order; made by [`Arena::stream`].
///
/// While the caller works on one item, the next ones are being read: up to 128 reads, and up to 2
/// MiB that wait to be taken. A stream holds the arena, and can go to another thread.
///
/// # Without blocking
///
/// [`next`](Iterator::next) waits for the device. [`try_next`](Self::try_next) does not, so any
/// loop that has other work can drive the stream. In a program with an asynchronous runtime, the
/// simplest way is a thread that may block and a channel of a few items, which slows the reads down
/// when the receiver is slow; with tokio:
///
/// ```
/// # async fn work_on(_item: Vec<u8>) {}
/// # let arena = outcore::Arena::new()?;
/// # let mut writer = arena.writer()?;
/// # let locations = [writer.push("item")?; 3];
/// # writer.finish()?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
/// tokio::task::spawn_blocking(move || {
///     for item in arena.stream(locations) {
///         if sender.blocking_send(item).is_err() {
///             break; // the receiver is gone
///         }
///     }
/// });
/// while let Some(item) = receiver.recv().await {
///     work_on(item?).await;
/// }
/// # Ok::<(), outcore::Error>(())
/// # })?;
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// `examples/async_reads.rs` is a complete program.
///
/// # Fork
///
/// In a forked child, items in flight are errors of the kind [`Forked`](crate::ErrorKind::Forked);
/// later requests are read.
pub struct ArenaStream<I> {
    arena: Arena,
    locations: Fuse<I>,
    ahead: Ahead<File>,
    options: ReadOptions,
    /// Items of an arena that was opened from a file, which are read in batches.
    batch: VecDeque<Result<Vec<u8>>>,
}

/// The items of a batch, and the bytes that end it.
const BATCH_ITEMS_MAX: usize = 1024;
const BATCH_BYTES_MAX: u64 = AHEAD_BYTES_MAX;

/// A file of an arena.
#[derive(Clone, Debug)]
struct File(Arc<Shard>);

impl Deref for File {
    type Target = OwnedFile;

    fn deref(&self) -> &OwnedFile {
        &self.0.file
    }
}

impl Arena {
    /// Returns an iterator over the items at `locations`, in their order, that reads ahead.
    ///
    /// For work in a given order that takes time itself: the device is kept busy meanwhile. If the
    /// order is free, [`get_many`](Self::get_many) reads less, since it sorts.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = outcore::Arena::new()?;
    /// let mut writer = arena.writer()?;
    /// let locations = ["a", "b", "c"].map(|text| writer.push(text));
    /// let locations: Vec<_> = locations.into_iter().collect::<outcore::Result<_>>()?;
    /// writer.flush()?;
    /// let mut text = Vec::new();
    /// for item in arena.stream(locations.into_iter().rev()) {
    ///     text.extend(item?);
    /// }
    /// assert_eq!(text, b"cba");
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Each item is a result, with the errors of [`get`](Self::get); the stream continues after an
    /// error. Locations are looked up when they are read ahead, which can be thousands of items
    /// early for small items, so an item that is flushed only later is
    /// [`NotFlushed`](crate::ErrorKind::NotFlushed).
    ///
    /// # Cost
    ///
    /// An allocation for each item, and the costs of [`get_many`](Self::get_many); only neighbours
    /// that are requested one after the other are joined. An arena that was opened from a file reads a
    /// batch of up to 1024 items, or 2 MiB, at a time.
    pub fn stream<I>(&self, locations: I) -> ArenaStream<I::IntoIter>
    where
        I: IntoIterator<Item = Location>,
    {
        self.stream_with(&ReadOptions::new(), locations)
    }

    /// Returns an iterator like [`stream`](Self::stream), which reads in the way that `options`
    /// say.
    pub fn stream_with<I>(&self, options: &ReadOptions, locations: I) -> ArenaStream<I::IntoIter>
    where
        I: IntoIterator<Item = Location>,
    {
        ArenaStream {
            arena: self.clone(),
            locations: locations.into_iter().fuse(),
            ahead: Ahead::new(options, Arc::clone(&self.inner.idle)),
            options: options.clone(),
            batch: VecDeque::new(),
        }
    }
}

impl<I: Iterator<Item = Location>> ArenaStream<I> {
    /// Returns the next item if it has arrived, `Ready(None)` at the end, and `Pending` while it is
    /// being read.
    ///
    /// No task is woken when an item arrives: ask again later, or call [`next`](Iterator::next).
    ///
    /// It waits for the device nevertheless if an item of more than 64 KiB finds too few free
    /// buffers, if a read has to be repeated, if threads read and none could be started, if the kernel
    /// accepts no more reads because the device is busy, and if the arena was opened from a file. So it suits a loop that has other
    /// work, but not the worker of an asynchronous runtime, nor a loop with deadlines.
    pub fn try_next(&mut self) -> Poll<Option<Result<Vec<u8>>>> {
        self.read_batch();
        if let Some(item) = self.batch.pop_front() {
            return Poll::Ready(Some(item));
        }
        self.ask();
        if self.ahead.is_empty() {
            return Poll::Ready(None);
        }
        match self.ahead.pop(false) {
            Some(item) => Poll::Ready(Some(item.map_err(|refused| self.arena.error(refused)))),
            None => Poll::Pending,
        }
    }

    /// Reads the next items of an arena that was opened from a file, if all others were taken.
    fn read_batch(&mut self) {
        let Some(archive) = self.arena.inner.archive() else {
            return;
        };
        if !self.batch.is_empty() {
            return;
        }
        let mut locations = Vec::new();
        let mut bytes = 0_u64;
        while locations.len() < BATCH_ITEMS_MAX && bytes < BATCH_BYTES_MAX {
            let Some(location) = self.locations.next() else {
                break;
            };
            bytes = bytes.saturating_add(u64::from(location.len()));
            locations.push(location);
        }
        self.batch
            .extend(archive.get_each(&self.options, &locations));
    }

    /// Requests as many items as are useful.
    fn ask(&mut self) {
        while self.ahead.wants_more() {
            let Some(location) = self.locations.next() else {
                return;
            };
            match self.arena.find(location) {
                Ok(Some(shard)) => {
                    let file = File(Arc::clone(shard));
                    self.ahead.push(file, span(location));
                }
                Ok(None) => self.ahead.push_ready(Ok(Vec::new())),
                Err(refused) => self.ahead.push_ready(Err(refused)),
            }
        }
    }
}

impl<I: Iterator<Item = Location>> Iterator for ArenaStream<I> {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_batch();
        if let Some(item) = self.batch.pop_front() {
            return Some(item);
        }
        self.ask();
        let item = self.ahead.pop(true)?;
        Some(item.map_err(|refused| self.arena.error(refused)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.locations.size_hint();
        let waiting = self.ahead.len().saturating_add(self.batch.len());
        let most = most.and_then(|most| most.checked_add(waiting));
        (least.saturating_add(waiting), most)
    }
}

impl<I: Iterator<Item = Location>> FusedIterator for ArenaStream<I> {}

impl<I> fmt::Debug for ArenaStream<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaStream")
            .field("arena", &self.arena)
            .finish_non_exhaustive()
    }
}
