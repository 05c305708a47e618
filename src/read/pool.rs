//! Reads by threads, which are started when there is work and end with the pool.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::read::Engine;
use crate::sys;
use crate::sys::{Finished, Hint, Read};

/// The largest number of threads, each with one read in flight.
const THREADS_MAX: usize = 32;

/// The same if the kernel was given a hint for each read: then a thread only waits for the read,
/// and more threads contend with each other.
const HINTED_THREADS_MAX: usize = 8;

/// Bytes of a thread's stack; it makes one system call.
const STACK_BYTES: usize = 64 << 10;

/// A few threads that read. Each pool has its own, so that none is left after the pool is dropped,
/// and a forked child has none.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    threads_max: usize,
    /// Whether the kernel gets a hint for each read at once, which starts it.
    hints: bool,
    owner: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is work, or there will be no more.
    work: Condvar,
    /// A read is complete.
    ready: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(sys::File, Read)>,
    finished: VecDeque<Finished>,
    idle: usize,
    is_over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does until the pool is dropped.
    fn work(&self) {
        let mut state = self.lock();
        while !state.is_over {
            if let Some((file, read)) = state.waiting.pop_front() {
                drop(state);
                let finished = do_it(&file, read);
                drop(file);
                state = self.lock();
                state.finished.push_back(finished);
                self.ready.notify_one();
            } else {
                state.idle = state.idle.saturating_add(1);
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.idle = state.idle.saturating_sub(1);
            }
        }
    }
}

fn do_it(file: &sys::File, mut read: Read) -> Finished {
    let buffer = read.buffer.get_mut(..read.len).unwrap_or_default();
    let result = sys::retry(|| file.read_over(buffer, read.offset));
    Finished { read, result }
}

impl Pool {
    pub(super) fn new(hints: bool) -> Self {
        Self {
            shared: Arc::default(),
            threads: Vec::new(),
            threads_max: if hints {
                HINTED_THREADS_MAX
            } else {
                THREADS_MAX
            },
            hints,
            owner: sys::process(),
        }
    }

    /// Starts a thread, unless there are enough. If the system refuses, the existing threads do the
    /// work, and a caller that waits helps them.
    fn start_thread(&mut self) {
        if self.threads.len() >= self.threads_max {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let thread = Builder::new().name("outcore-read".to_owned());
        let thread = thread.stack_size(STACK_BYTES);
        match thread.spawn(move || shared.work()) {
            Ok(thread) => self.threads.push(thread),
            Err(_refused) => self.threads_max = self.threads.len(),
        }
    }
}

impl Engine for Pool {
    fn start(&mut self, file: &sys::File, read: Read) {
        if self.hints {
            // The kernel starts to read at once, and a later read waits only for the rest.
            let _hint = file.advise(read.offset, read.len as u64, Hint::WillNeed);
        }
        let Ok(file) = file.share() else {
            // There is no descriptor for a file that was not shared before: read it here and now.
            let finished = do_it(file, read);
            self.shared.lock().finished.push_back(finished);
            return;
        };
        let mut state = self.shared.lock();
        state.waiting.push_back((file, read));
        let enough = state.idle >= state.waiting.len();
        drop(state);
        if enough {
            self.shared.work.notify_one();
        } else {
            self.start_thread();
        }
    }

    fn submit(&mut self) {}

    fn finished(&mut self, wait: usize) -> Option<Finished> {
        let mut state = self.shared.lock();
        loop {
            if let Some(finished) = state.finished.pop_front() {
                return Some(finished);
            }
            // Without threads, this thread has to read.
            if wait == 0 && !self.threads.is_empty() {
                return None;
            }
            if let Some((file, read)) = state.waiting.pop_front() {
                drop(state);
                return Some(do_it(&file, read));
            }
            if wait == 0 {
                return None;
            }
            let woken = self.shared.ready.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn depth_for_others(&self) -> usize {
        // Its threads would stay for as long as the process runs.
        0
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if sys::process() != self.owner {
            // The threads are the parent's: there is nothing to join.
            let _kept = ManuallyDrop::new(std::mem::take(&mut self.threads));
            return;
        }
        let mut state = self.shared.lock();
        state.is_over = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // The thread has no way to panic.
            let _ended = thread.join();
        }
    }
}
