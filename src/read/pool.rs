//! Reads by threads, which are started when there is work for them and end with the pool.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::read::Engine;
use crate::sys;
use crate::sys::{Finished, Hint, Read};

/// The most threads, each of which has a read under way.
const THREADS_MAX: usize = 32;

/// The same where the kernel was told of all reads before: then a thread only waits for what is on
/// its way, and more of them get into each other's way.
const HINTED_THREADS_MAX: usize = 8;

/// Bytes of a thread's stack; it makes one system call.
const STACK_BYTES: usize = 64 << 10;

/// A few threads that read. Each pool has its own, so that none is left when it is dropped, and a
/// forked child has none.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    threads_max: usize,
    /// Whether the kernel is told of each read at once, which starts it.
    hints: bool,
    owner: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is work, or no more ever.
    work: Condvar,
    /// Something is finished.
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

    /// Starts a thread, unless there are enough. Where the system has none to give, those that
    /// there are do the work, and whoever waits helps them.
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
            // The kernel starts to read at once, and whoever reads then waits for the rest only.
            let _hint = file.advise(read.offset, read.len as u64, Hint::WillNeed);
        }
        let Ok(file) = file.share() else {
            // Out of descriptors, for a file that nobody shared before: here and now, then.
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

    fn tell(&mut self) {}

    fn finished(&mut self, wait: usize) -> Option<Finished> {
        let mut state = self.shared.lock();
        loop {
            if let Some(finished) = state.finished.pop_front() {
                return Some(finished);
            }
            // Without a thread nobody else would do it.
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
        // Its threads would be there all the time.
        0
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if sys::process() != self.owner {
            // The threads are the parent's, so there is nothing to wait for, or to let go of.
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
            // It has no way to panic.
            let _ended = thread.join();
        }
    }
}
