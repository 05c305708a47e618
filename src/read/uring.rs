//! Reads by the kernel: an `io_uring`, and what to do when it stops working.

use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::Duration;

use crate::read::Engine;
use crate::sys;
use crate::sys::{Finished, Read, Ring};

/// The time to wait before looking again if the kernel does not permit waiting.
const PAUSE: Duration = Duration::from_micros(50);

/// A ring, and the reads that it did not accept.
#[derive(Debug)]
pub(super) struct Uring {
    ring: Ring,
    refused: VecDeque<Finished>,
    depth: usize,
}

impl Uring {
    pub(super) fn new(depth: usize) -> io::Result<Self> {
        Ok(Self {
            ring: Ring::new(depth)?,
            refused: VecDeque::new(),
            depth,
        })
    }

    /// Records a read that the ring does not do.
    fn refuse(&mut self, read: Read) {
        let result = Err(io::ErrorKind::Unsupported.into());
        self.refused.push_back(Finished { read, result });
    }

    /// Enters the kernel until it has accepted everything; returns whether it permitted to wait.
    fn enter(&mut self, wait: usize) -> bool {
        match sys::retry(|| self.ring.enter(wait)) {
            Ok(()) => true,
            Err(_refused) => {
                // There is no memory for more, or a filter came into force meanwhile. What the
                // kernel has not accepted is read plainly, and so is everything from now on.
                while let Some(read) = self.ring.take_back() {
                    self.refuse(read);
                }
                false
            }
        }
    }
}

impl Engine for Uring {
    fn start(&mut self, file: &sys::File, read: Read) {
        if let Err(read) = self.ring.push(file, read) {
            self.refuse(read);
        }
    }

    fn submit(&mut self) {
        self.enter(0);
    }

    fn finished(&mut self, wait: usize) -> Option<Finished> {
        loop {
            let finished = self.refused.pop_front().or_else(|| self.ring.take());
            if finished.is_some() || wait == 0 {
                return finished;
            }
            if !self.enter(wait) && self.refused.is_empty() {
                thread::sleep(PAUSE);
            }
        }
    }

    fn depth_for_others(&self) -> usize {
        let is_idle = self.refused.is_empty() && self.ring.is_idle();
        if is_idle { self.depth } else { 0 }
    }
}
