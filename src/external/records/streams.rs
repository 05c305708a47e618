//! Threads that merge a share of the inputs each, and the streams of records that come from them.
//!
//! A thread copies records, each behind its code, into a batch, and sends the batch when it is full. The
//! batch comes back when its records are consumed. So the thread that reads the streams compares about
//! one pair of codes for each record. Reading blocks, their checksums, and most comparisons are the work
//! of the other threads.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder, JoinHandle};

use crate::budget::Array;
use crate::bug::bug;
use crate::error::{Error, ErrorKind, Result};
use crate::external::records::Shared;
use crate::external::records::chunk::Record;
use crate::external::records::code::{Code, ENDED};
use crate::external::records::merge::{Input, Merger};
use crate::sys;

/// Batches of a stream: one that is filled, one that is consumed, and one between them.
const BATCHES: usize = 3;

/// Bytes of a code.
const CODE_BYTES: usize = size_of::<Code>();

/// Returns how many bytes a batch has that any of some records fits into, the longest of which has
/// `longest` bytes.
pub(super) fn batch_bytes(usual: usize, longest: usize) -> usize {
    usual.max(longest.saturating_add(CODE_BYTES))
}

/// Returns the memory of a stream.
pub(super) fn stream_bytes(batch_bytes: usize) -> usize {
    batch_bytes.saturating_mul(BATCHES)
}

/// Records in order, each behind its code.
#[derive(Debug)]
struct Batch {
    bytes: Array<u8>,
    end: usize,
}

impl Batch {
    /// Adds a record as it is stored, if there is room.
    fn push(&mut self, code: Code, stored: &[u8]) -> Option<()> {
        let rest = self.bytes.get_mut(self.end..)?;
        let (code_target, rest) = rest.split_first_chunk_mut::<CODE_BYTES>()?;
        rest.get_mut(..stored.len())?.copy_from_slice(stored);
        *code_target = code.to_le_bytes();
        let len = CODE_BYTES.saturating_add(stored.len());
        self.end = self.end.saturating_add(len);
        Some(())
    }

    /// Returns the code at a position, and where the record behind it is.
    #[inline]
    fn parse(&self, at: usize) -> Option<(Code, Range<usize>)> {
        let rest = self.bytes.get(at..self.end)?;
        let (code, rest) = rest.split_first_chunk::<CODE_BYTES>()?;
        let (_record, len) = Record::parse(rest)?;
        let start = at.saturating_add(CODE_BYTES);
        let record = start..start.saturating_add(len);
        Some((Code::from_le_bytes(*code), record))
    }
}

/// What a thread sends.
enum Message {
    Batch(Batch),
    /// A joined record that is longer than a batch, and its code.
    Long(Code, Vec<u8>),
    End,
    Failed(Error),
    Panicked(Box<dyn Any + Send>),
}

/// What a thread and the reader of its stream share.
struct Lane {
    state: Mutex<State>,
    /// Only one of the two waits at a time: the batches cannot all be with the other one.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The share of the thread, until it starts.
    inputs: Option<Vec<Input>>,
    sent: VecDeque<Message>,
    /// Batches that are consumed.
    spare: Vec<Batch>,
    /// A long record that is consumed.
    long: Option<Vec<u8>>,
    /// Whether the thread is to end, since its stream is not read any more.
    is_over: bool,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes the other one.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    /// Waits for something, unless all is over.
    fn wait<R>(&self, mut take: impl FnMut(&mut State) -> Option<R>) -> Option<R> {
        let mut state = self.lock();
        while !state.is_over {
            if let Some(taken) = take(&mut state) {
                return Some(taken);
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// What a thread does, from begin to end.
    fn work(&self, shared: &Shared) {
        let inputs = self.lock().inputs.take().unwrap_or_default();
        let worked = catch_unwind(AssertUnwindSafe(|| self.merge(inputs, shared)));
        let last = match worked {
            Ok(Ok(())) => Message::End,
            Ok(Err(refused)) => Message::Failed(refused),
            Err(panic) => Message::Panicked(panic),
        };
        self.change(|state| state.sent.push_back(last));
    }

    fn merge(&self, inputs: Vec<Input>, shared: &Shared) -> Result<()> {
        let (budget, max) = (shared.budget(), shared.short_bytes_max);
        let mut merger = Merger::new(inputs, &shared.rules, budget, max, None)?;
        let Some(mut batch) = self.wait(|state| state.spare.pop()) else {
            return Ok(());
        };
        loop {
            merger.advance()?;
            let Some((_record, stored)) = merger.present() else {
                break;
            };
            let code = merger.code();
            if batch.push(code, stored).is_some() {
                continue;
            }
            if batch.end > 0 {
                self.change(|state| state.sent.push_back(Message::Batch(batch)));
                let Some(next) = self.wait(|state| state.spare.pop()) else {
                    return Ok(());
                };
                batch = next;
                if batch.push(code, stored).is_some() {
                    continue;
                }
            }
            let Some(joined) = merger.take_joined() else {
                bug!("a batch has {} bytes, too few", batch.bytes.len());
            };
            self.change(|state| state.sent.push_back(Message::Long(code, joined)));
            let Some(joined) = self.wait(|state| state.long.take()) else {
                return Ok(());
            };
            merger.put_back(joined);
        }
        // What the runs have of the disk is free before the end is known.
        drop(merger);
        self.change(|state| state.sent.push_back(Message::Batch(batch)));
        Ok(())
    }
}

/// The records that a thread merges, in order.
pub(super) struct Stream {
    /// Those of all streams, of which this is one.
    lanes: Arc<[Lane]>,
    number: usize,
    thread: Option<JoinHandle<()>>,
    /// The process that has the thread.
    process: u64,
    /// Bytes of all records, about.
    weight: u64,
    current: Current,
    /// The current record, and its code.
    record: Range<usize>,
    code: Code,
}

/// What a stream has of what its thread has sent.
enum Current {
    Nothing,
    Batch(Batch),
    Long(Vec<u8>),
    Ended,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("number", &self.number)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}

/// Starts a thread for each share, with batches of `batch_bytes` bytes. Where the system refuses one, or
/// the budget its batches, the share is returned as it was.
pub(super) fn start(
    shared: &Arc<Shared>,
    divided: Vec<(Vec<Input>, u64)>,
    batch_bytes: usize,
) -> Result<Vec<Input>> {
    let batch = |_number| -> Result<Batch> {
        let bytes = Array::new(shared.budget(), batch_bytes, "merge records")?;
        Ok(Batch { bytes, end: 0 })
    };
    let mut weights = Vec::new();
    let lanes = divided.into_iter().map(|(inputs, weight)| {
        weights.push(weight);
        // Other operations may have taken the memory since it was found to be free.
        let spare: Result<Vec<_>> = (0..BATCHES).map(batch).collect();
        let state = State {
            inputs: Some(inputs),
            spare: spare.unwrap_or_default(),
            ..State::default()
        };
        Lane {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    });
    let lanes: Arc<[Lane]> = lanes.collect();
    let mut streams = Vec::new();
    for (number, weight) in weights.into_iter().enumerate() {
        if let Some(thread) = start_thread(shared, &lanes, number) {
            streams.push(Input::Stream(Stream {
                lanes: Arc::clone(&lanes),
                number,
                thread: Some(thread),
                process: sys::process(),
                weight,
                current: Current::Nothing,
                record: 0..0,
                code: ENDED,
            }));
        } else {
            let lane = lanes.get(number);
            let share = lane.and_then(|lane| lane.lock().inputs.take());
            streams.extend(share.unwrap_or_default());
        }
    }
    for stream in &mut streams {
        if let Input::Stream(stream) = stream {
            stream.advance()?;
        }
    }
    Ok(streams)
}

fn start_thread(
    shared: &Arc<Shared>,
    lanes: &Arc<[Lane]>,
    number: usize,
) -> Option<JoinHandle<()>> {
    #[cfg(test)]
    if tests::IS_REFUSED.with_borrow_mut(|refused| refused.pop().unwrap_or(false)) {
        return None;
    }
    if lanes.get(number)?.lock().spare.is_empty() {
        return None;
    }
    let (shared, lanes) = (Arc::clone(shared), Arc::clone(lanes));
    #[cfg(test)]
    let plan = sys::plan::share();
    let work = move || {
        #[cfg(test)]
        sys::plan::join(plan);
        if let Some(lane) = lanes.get(number) {
            lane.work(&shared);
        }
    };
    let thread = Builder::new().name("outcore-external".to_owned());
    thread.spawn(work).ok()
}

impl Stream {
    /// Returns the current record, and its bytes as stored; `None` at the end.
    pub(super) fn get(&self) -> Option<(Record<'_>, &[u8])> {
        let stored = match &self.current {
            Current::Batch(batch) => batch.bytes.get(self.record.clone())?,
            Current::Long(stored) => stored,
            Current::Nothing | Current::Ended => return None,
        };
        let (record, _len) = Record::parse(stored)?;
        Some((record, stored))
    }

    /// Returns the code of the current record relative to the one before.
    pub(super) fn code(&self) -> Code {
        self.code
    }

    /// Returns how many bytes all records have, about.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// Advances to the next record.
    pub(super) fn advance(&mut self) -> Result<()> {
        loop {
            if let Current::Batch(batch) = &self.current {
                if let Some((code, record)) = batch.parse(self.record.end) {
                    (self.code, self.record) = (code, record);
                    return Ok(());
                }
            }
            self.receive()?;
            if !matches!(self.current, Current::Batch(_)) {
                return Ok(());
            }
        }
    }

    /// Gives back what is consumed, and waits for what the thread sends next.
    fn receive(&mut self) -> Result<()> {
        if matches!(self.current, Current::Ended) {
            return Ok(());
        }
        // In a copy of the process there is no thread, and a lock of it may be held for ever.
        if sys::process() != self.process {
            let reason = "threads of the process that this one was forked from merge them";
            return Err(Error::refused(ErrorKind::Forked, "read records", reason));
        }
        let Some(lane) = self.lanes.get(self.number) else {
            bug!("no lane {}", self.number);
        };
        let consumed = std::mem::replace(&mut self.current, Current::Nothing);
        (self.record, self.code) = (0..0, ENDED);
        lane.change(|state| match consumed {
            Current::Batch(mut batch) => {
                batch.end = 0;
                state.spare.push(batch);
            }
            Current::Long(stored) => state.long = Some(stored),
            Current::Nothing | Current::Ended => {}
        });
        match lane.wait(|state| state.sent.pop_front()) {
            Some(Message::Batch(batch)) => self.current = Current::Batch(batch),
            Some(Message::Long(code, stored)) => {
                #[cfg(test)]
                tests::LONGS.set(tests::LONGS.get().saturating_add(1));
                (self.code, self.current) = (code, Current::Long(stored));
            }
            Some(Message::End) => self.current = Current::Ended,
            Some(Message::Failed(refused)) => {
                self.stop();
                return Err(refused);
            }
            Some(Message::Panicked(panic)) => {
                self.stop();
                resume_unwind(panic);
            }
            None => {
                let reason = "a thread that merges has failed before";
                return Err(Error::refused(ErrorKind::Cancelled, "read records", reason));
            }
        }
        Ok(())
    }

    /// Returns whether its thread is not told to end.
    #[cfg(test)]
    pub(super) fn is_at_work(&self) -> bool {
        let lane = self.lanes.get(self.number);
        lane.is_some_and(|lane| !lane.lock().is_over)
    }

    /// Makes all threads of the merge end.
    fn stop(&self) {
        for lane in &*self.lanes {
            lane.change(|state| state.is_over = true);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        if sys::process() != self.process {
            // The thread is the parent's: there is nothing to join, and a lock may be held for ever.
            let _kept = ManuallyDrop::new(thread);
            return;
        }
        self.stop();
        // A function of the caller may drop the stream in the thread.
        if thread.thread().id() != thread::current().id() {
            // It catches panics, and sends them.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::cmp::Ordering;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::budget::{MIN, MemoryBudget};
    use crate::external::options::{Options, Progress};
    use crate::external::records::{Sorted, Sorter, SorterBuilder};

    thread_local! {
        /// Joined records longer than a batch that this thread got.
        pub(super) static LONGS: Cell<usize> = const { Cell::new(0) };
        /// Whether the system refuses the threads that are started next, the last one first.
        pub(super) static IS_REFUSED: RefCell<Vec<bool>> = const { RefCell::new(Vec::new()) };
    }

    type Pair = (Vec<u8>, Vec<u8>);

    const COUNT: u32 = if cfg!(miri) { 1500 } else { 12_000 };

    /// Records of few and of many keys, short and as long as a record can be without being put aside;
    /// each value begins with a number of its own.
    fn pairs(count: u32, keys: u32, longest: usize) -> Vec<Pair> {
        let mut state = u64::from(keys);
        let mut random = |below: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(state >> 33).unwrap() % below
        };
        let pairs = (0..count).map(|number| {
            let key = match random(keys) {
                0 => Vec::new(),
                key if key % 3 == 0 => format!("a long begin of many keys, {key}").into_bytes(),
                key => key.to_string().into_bytes(),
            };
            let len = if random(700) == 0 {
                longest
            } else {
                random(60) as usize
            };
            let mut value = number.to_le_bytes().to_vec();
            value.resize(len.max(4), 7);
            (key, value)
        });
        pairs.collect()
    }

    fn sorter(threads: usize, budget: &MemoryBudget) -> SorterBuilder {
        Sorter::builder(Options::from(budget).threads(threads))
    }

    /// Adds records by two writers, each with its half of them.
    fn fill(sorter: &Sorter, pairs: &[Pair]) {
        let halves = pairs.chunks(pairs.len().div_ceil(2));
        let writers = [(); 2].map(|()| sorter.writer().unwrap());
        for (half, mut writer) in halves.zip(writers) {
            for (key, value) in half {
                writer.push(key, value).unwrap();
            }
            writer.finish().unwrap();
        }
    }

    fn all(mut merged: Sorted) -> Vec<Pair> {
        let mut found = Vec::new();
        while let Some((key, value)) = merged.next().unwrap() {
            found.push((key.to_vec(), value.to_vec()));
        }
        assert!(merged.next().unwrap().is_none(), "the end is the end");
        found
    }

    /// The other way round, and equal where only the cases of letters differ.
    fn another_order(key: &[u8], other: &[u8]) -> Ordering {
        other.to_ascii_lowercase().cmp(&key.to_ascii_lowercase())
    }

    #[test]
    fn what_threads_merge_is_what_the_order_of_a_slice_is() {
        let mut divided = 0;
        for (threads, scale) in [(1, 1), (2, 1), (2, 4), (3, 2), (5, 3), (40, 8)] {
            for keys in [1, 50, 1 << 30] {
                let budget = MemoryBudget::new(MIN as u64 * scale);
                let longest = MIN / 32 - 200;
                let mut model = pairs(COUNT * 3, keys, longest);
                let plain = sorter(threads, &budget).build().unwrap();
                fill(&plain, &model);
                let merged = plain.sorted().unwrap();
                divided += merged.streams();
                assert!(threads > 1 || merged.streams() == 0);
                let found = all(merged);
                let name = format!("{threads} threads, {scale} times the least, {keys} keys");
                let mut expected = model.clone();
                expected.sort_by(|a, b| a.0.cmp(&b.0));
                assert!(found == expected, "{name}");
                let ordered = sorter(threads, &budget).compare(another_order);
                let ordered = ordered.build().unwrap();
                fill(&ordered, &model);
                let found = all(ordered.sorted().unwrap());
                model.sort_by(|a, b| another_order(&a.0, &b.0));
                assert!(found == model, "{name}, another order");
                let unique = sorter(threads, &budget).unique().build().unwrap();
                fill(&unique, &expected);
                let found = all(unique.sorted().unwrap());
                expected.dedup_by(|a, b| a.0 == b.0);
                assert!(found == expected, "{name}, unique");
                assert_eq!(budget.used_bytes(), 0);
                assert!(budget.peak_bytes() <= budget.limit_bytes());
            }
        }
        assert!(divided > 10, "{divided} streams are too few");
    }

    /// A joined record may be longer than a batch, and than all that it was joined from.
    #[cfg(not(miri))]
    #[test]
    fn joined_records_may_be_longer_than_batches() {
        for threads in [2, 3, 4] {
            let budget = MemoryBudget::new(2 * MIN as u64);
            let keys = COUNT / 200;
            LONGS.set(0);
            let mut model = BTreeMap::new();
            let sorter = sorter(threads, &budget).combine(|value, more| {
                value.extend_from_slice(more);
            });
            let sorter = sorter.build().unwrap();
            let mut writer = sorter.writer().unwrap();
            for number in 0..COUNT {
                let key = (number.wrapping_mul(2_654_435_761) % keys).to_be_bytes();
                let value = [&[b'-'; 30][..], &number.to_le_bytes()].concat();
                writer.push(key, &value).unwrap();
                let values: &mut Vec<u8> = model.entry(key.to_vec()).or_default();
                values.extend_from_slice(&value);
            }
            writer.finish().unwrap();
            let merged = sorter.sorted().unwrap();
            assert!(merged.streams() > 0, "threads take part");
            assert!(all(merged).into_iter().eq(model), "{threads} threads");
            assert!(LONGS.get() > 10, "{} records are long", LONGS.get());
            assert_eq!(budget.used_bytes(), 0);
        }
    }

    #[test]
    fn the_share_of_a_thread_that_the_system_refuses_is_merged_by_the_caller_s() {
        for refused in [vec![true, true], vec![true, false], vec![false, true]] {
            let budget = MemoryBudget::new(2 * MIN as u64);
            let mut model = pairs(COUNT, 5000, 100);
            let sorter = sorter(3, &budget).build().unwrap();
            fill(&sorter, &model);
            let streams = refused.iter().filter(|refused| !**refused).count();
            IS_REFUSED.set(refused);
            let merged = sorter.sorted().unwrap();
            assert_eq!(merged.streams(), streams);
            model.sort_by(|a, b| a.0.cmp(&b.0));
            assert!(all(merged) == model);
        }
        assert!(IS_REFUSED.take().is_empty());
    }

    /// A merge failed where another operation took the memory of the batches after it was found to be
    /// free.
    #[test]
    fn the_share_of_a_thread_without_memory_is_merged_by_the_caller_s() {
        let budget = MemoryBudget::new(2 * MIN as u64);
        let sorter = sorter(3, &budget).build().unwrap();
        let batch_bytes = 2 * MIN;
        let inputs = start(&sorter.shared, vec![(Vec::new(), 1)], batch_bytes);
        assert!(inputs.unwrap().is_empty());
        drop(sorter);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn little_data_starts_no_thread() {
        let budget = MemoryBudget::new(MIN as u64);
        let sorter = sorter(4, &budget).build().unwrap();
        fill(&sorter, &pairs(1000, 1000, 60));
        assert_eq!(sorter.sorted().unwrap().streams(), 0);
    }

    /// Returns a sorter whose comparison counts in what it returns, and panics at call number `at`
    /// of helping threads.
    fn panicking(budget: &MemoryBudget, at: usize) -> (Sorter, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let sorter = sorter(3, budget).compare(move |a, b| {
            if thread::current().name() == Some("outcore-external") {
                let call = counted.fetch_add(1, Relaxed);
                if call == at {
                    resume_unwind(Box::new(call));
                }
            }
            a.cmp(b)
        });
        (sorter.build().unwrap(), calls)
    }

    #[test]
    fn a_panic_in_a_thread_comes_out_of_the_caller_s_and_ends_all() {
        let model = pairs(COUNT, 5000, 100);
        for at in [0, 1, 70, 3000, COUNT as usize] {
            let budget = MemoryBudget::new(MIN as u64);
            let (sorter, calls) = panicking(&budget, at);
            fill(&sorter, &model);
            let mut merged = None;
            let panic = catch_unwind(AssertUnwindSafe(|| {
                let merged = merged.insert(sorter.sorted().unwrap());
                while merged.next().unwrap().is_some() {}
            }));
            let payload = panic.unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&at), "the same panic");
            if let Some(merged) = &mut merged {
                // What is left in the caller's thread may still be returned, and then it is no end.
                let refused = (0..=COUNT).find_map(|_| merged.next().err());
                assert_eq!(refused.unwrap().kind(), ErrorKind::Cancelled);
                assert_eq!(merged.streams_at_work(), 0, "they are told to end");
            }
            drop(merged);
            assert_eq!(budget.used_bytes(), 0);
            assert_eq!(Arc::strong_count(&calls), 1, "all threads have ended");
        }
    }

    #[test]
    fn what_is_dropped_half_way_leaves_no_thread_and_no_memory() {
        let model = pairs(COUNT, 5000, 100);
        for taken in [0, 1, 500, COUNT / 2, COUNT] {
            let budget = MemoryBudget::new(MIN as u64);
            let (sorter, calls) = panicking(&budget, usize::MAX);
            fill(&sorter, &model);
            let mut merged = sorter.sorted().unwrap();
            assert!(merged.streams() > 0);
            for _ in 0..taken {
                assert!(merged.next().unwrap().is_some());
            }
            drop(merged);
            assert_eq!(budget.used_bytes(), 0);
            assert_eq!(Arc::strong_count(&calls), 1, "all threads have ended");
        }
    }

    #[test]
    fn what_is_cancelled_ends() {
        let (budget, progress) = (MemoryBudget::new(MIN as u64), Progress::new());
        let options = Options::from(&budget).threads(3).progress(&progress);
        let sorter = Sorter::new(options).unwrap();
        fill(&sorter, &pairs(COUNT, 5000, 100));
        let mut merged = sorter.sorted().unwrap();
        progress.cancel();
        let refused = merged.next().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Cancelled);
        drop(merged);
        assert_eq!(budget.used_bytes(), 0);
    }
}
