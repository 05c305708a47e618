//! An object as the source of a sealed file.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};

use object_store::ObjectMeta;
use object_store::path::Path;
use outcore::sealed::ReadRanges;
use tokio::task::JoinHandle;

use crate::cache::{Cache, bytes_of, chunks_of};
use crate::fetch::{REPLACED, is_same};
use crate::pieces::Pieces;
use crate::plan::{Request, requests};
use crate::store::Store;
use crate::worker::receive;

/// An object of a [`Store`], for `open_from` of a sealed type; made by [`Store::object`].
pub struct Object {
    store: Store,
    path: Path,
    opened: OnceLock<Opened>,
}

/// What the store said when the object was opened.
struct Opened {
    meta: Arc<ObjectMeta>,
    /// The cache, and the id of the object in it.
    cache: Option<(Arc<Cache>, u64)>,
}

/// A range to fetch.
struct Wanted {
    /// Its place among the ranges of the read.
    place: usize,
    range: Range<u64>,
    /// The range, or the chunks of the cache around it.
    bytes: Range<u64>,
}

impl Object {
    pub(crate) fn new(store: Store, path: Path) -> Self {
        Self {
            store,
            path,
            opened: OnceLock::new(),
        }
    }

    /// Returns what the store said when the object was opened.
    fn opened(&self) -> io::Result<&Opened> {
        if self.opened.get().is_none() {
            self.read_tail(1)?;
        }
        self.opened
            .get()
            .ok_or_else(|| io::Error::other("the object is not open"))
    }

    /// Makes requests, some at a time, and passes the answer to each to `take`, in any order.
    fn fetch(
        &self,
        opened: &Arc<ObjectMeta>,
        requests: &[Request],
        take: &mut dyn FnMut(&Request, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel();
        let mut under_way = UnderWay(Vec::new());
        let mut next = requests.iter().enumerate();
        let mut start = |under_way: &mut UnderWay| {
            let Some((number, request)) = next.next() else {
                return Ok(());
            };
            let client = Arc::clone(&self.store.client);
            let (path, opened) = (self.path.clone(), Arc::clone(opened));
            let bytes = request.bytes.clone();
            let work = async move { client.range(&path, &opened, bytes).await };
            let task = self.store.worker.start_work(number, &sender, work)?;
            under_way.0.push(task);
            io::Result::Ok(())
        };
        let concurrency = self.store.client.options.concurrency;
        for _ in 0..concurrency.min(requests.len()) {
            start(&mut under_way)?;
        }
        for _ in requests {
            let (number, answer) = receive(&receiver)?;
            under_way.0.retain(|task| !task.is_finished());
            start(&mut under_way)?;
            if let Some(request) = requests.get(number) {
                take(request, &answer?)?;
            }
        }
        Ok(())
    }

    /// Passes the ranges that the cache has to `deliver`, and returns the others.
    fn from_cache(
        (cache, id): &(Arc<Cache>, u64),
        size: u64,
        ranges: &[Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> Vec<Wanted> {
        let mut missing = Vec::new();
        let mut found = Vec::new();
        for (place, range) in ranges.iter().enumerate() {
            found.clear();
            let chunks = chunks_of(range);
            let bytes = bytes_of(&chunks, size);
            let is_there = cache.read(*id, chunks, &mut found);
            match part(&found, bytes.start, range).filter(|_| is_there) {
                Some(found) => deliver(place, found),
                None => missing.push(Wanted {
                    place,
                    range: range.clone(),
                    bytes,
                }),
            }
        }
        missing
    }

    /// Keeps the chunks of a range that are whole in an answer.
    fn keep(
        (cache, id): &(Arc<Cache>, u64),
        size: u64,
        wanted: &Wanted,
        request: &Request,
        answer: &[u8],
    ) {
        for chunk in chunks_of(&wanted.bytes) {
            let bytes = bytes_of(&(chunk..chunk.saturating_add(1)), size);
            if let Some(bytes) = part(answer, request.bytes.start, &bytes) {
                cache.keep((*id, chunk), bytes);
            }
        }
    }
}

impl ReadRanges for Object {
    fn read_tail(&self, len: usize) -> io::Result<(u64, Vec<u8>)> {
        let client = Arc::clone(&self.store.client);
        let path = self.path.clone();
        let work = async move { client.tail(&path, len as u64).await };
        let (meta, tail) = self.store.worker.run(work)?;
        let size = meta.size;
        let meta = Arc::new(meta);
        // Of two threads at a time, the answer that one of them had decides what later reads ask for.
        let opened = self.opened.get_or_init(|| Opened {
            meta: Arc::clone(&meta),
            cache: self.store.cache.as_ref().map(|cache| {
                let id = cache.id_of(&meta);
                (Arc::clone(cache), id)
            }),
        });
        if !is_same(&opened.meta, &meta) {
            let replaced = io::ErrorKind::StaleNetworkFileHandle;
            let reason = format!("object {}: {REPLACED}", self.path);
            return Err(io::Error::new(replaced, reason));
        }
        Ok((size, tail))
    }

    fn read_ranges(
        &self,
        ranges: &[Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> io::Result<()> {
        // Before a lock is taken, which another thread may have held at the fork.
        self.store.worker.runtime()?;
        let Opened { meta, cache } = self.opened()?;
        let wanted = match cache {
            Some(cache) => Self::from_cache(cache, meta.size, ranges, deliver),
            None => (0..)
                .zip(ranges)
                .map(|(place, range)| Wanted {
                    place,
                    range: range.clone(),
                    bytes: range.clone(),
                })
                .collect(),
        };
        let bytes: Vec<_> = wanted.iter().map(|wanted| wanted.bytes.clone()).collect();
        let options = &self.store.client.options;
        let requests = requests(&bytes, options.gap_bytes, options.request_bytes_max);
        let mut pieces = Pieces::new();
        self.fetch(meta, &requests, &mut |request, answer| {
            for number in &request.ranges {
                let Some(wanted) = wanted.get(*number) else {
                    continue;
                };
                // First, so that what is wrong can be forgotten while it is delivered.
                if let Some(cache) = cache {
                    Self::keep(cache, meta.size, wanted, request, answer);
                }
                pieces.add(*number, &wanted.range, request, answer, &mut |whole| {
                    deliver(wanted.place, whole);
                })?;
            }
            Ok(())
        })
    }

    fn forget(&self, range: Range<u64>) {
        let cache = self.opened.get().and_then(|opened| opened.cache.as_ref());
        if let Some((cache, id)) = cache {
            cache.forget(*id, &range);
        }
    }
}

/// Returns a range of bytes that begin at `start`.
fn part<'a>(bytes: &'a [u8], start: u64, range: &Range<u64>) -> Option<&'a [u8]> {
    let place = |byte: u64| usize::try_from(byte.checked_sub(start)?).ok();
    bytes.get(place(range.start)?..place(range.end)?)
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("path", &self.path)
            .field("meta", &self.opened.get().map(|opened| &opened.meta))
            .finish_non_exhaustive()
    }
}

/// Requests that are given up when the read fails.
struct UnderWay(Vec<JoinHandle<()>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}
