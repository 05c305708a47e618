//! Reads by the kernel in the background: an `io_uring`.
#![expect(
    unsafe_code,
    reason = "hands addresses to the kernel; see docs/safety.md"
)]

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use io_uring::{EnterFlags, IoUring, Probe, opcode, types};

use crate::sys::contract::{FileCalls, RingCalls};
use crate::sys::linux::file::File;
use crate::sys::posix::process::process;
use crate::sys::{Finished, Read};

/// The time to wait before looking again if the kernel does not permit waiting.
const PAUSE: Duration = Duration::from_micros(100);

/// A ring, and the reads in flight in it.
pub(crate) struct Ring {
    /// # Invariants
    ///
    /// 1. From `push` until its completion was taken, or it was taken back before the kernel saw
    ///    it, a read is in `slots`, at the index that is its `user_data`. It has the file and the
    ///    buffer of the read, so that the file stays open and the buffer mapped and unused.
    /// 2. `queued` are the slots that the kernel has not seen, in the order of the submission
    ///    queue; `running` is the number of those that it has seen.
    /// 3. Once `is_broken`, nothing is submitted any more: entries left in the submission queue
    ///    name slots that may be free.
    queues: ManuallyDrop<IoUring>,
    slots: Vec<Option<(File, Read)>>,
    free: Vec<usize>,
    queued: VecDeque<usize>,
    running: usize,
    is_broken: bool,
    owner: u64,
}

impl RingCalls for Ring {
    type File = File;

    fn new(depth: usize) -> io::Result<Self> {
        let entries = u32::try_from(depth.max(1)).map_err(|_huge| io::ErrorKind::InvalidInput)?;
        // A child must not change the queues, which it would share with its parent.
        let ring: IoUring = IoUring::builder().dontfork().build(entries)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::Read::CODE) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self {
            queues: ManuallyDrop::new(ring),
            slots: (0..depth).map(|_| None).collect(),
            free: (0..depth).rev().collect(),
            queued: VecDeque::with_capacity(depth),
            running: 0,
            is_broken: false,
            owner: process(),
        })
    }

    fn push(&mut self, file: &File, read: Read) -> Result<(), Read> {
        if process() != self.owner || self.is_broken {
            return Err(read);
        }
        let Ok(file) = FileCalls::share(file) else {
            return Err(read);
        };
        let Some(index) = self.free.pop() else {
            return Err(read);
        };
        let Some(slot) = self.slots.get_mut(index) else {
            return Err(read);
        };
        let (file, read) = slot.insert((file, read));
        let len = u32::try_from(read.len.min(read.buffer.len())).unwrap_or(u32::MAX);
        let address = read.buffer.address().as_ptr();
        let fd = types::Fd(file.as_fd().as_raw_fd());
        let entry = opcode::Read::new(fd, address, len).offset(read.offset);
        let entry = entry.build().user_data(index as u64);
        // SAFETY: file and buffer stay valid and unused until the read is complete (invariant 1),
        // and `len` bytes of the buffer may be written.
        let pushed = unsafe { self.queues.submission().push(&entry) };
        match pushed {
            Ok(()) => {
                self.queued.push_back(index);
                Ok(())
            }
            Err(_full) => {
                self.free.push(index);
                slot.take().map_or(Ok(()), |(_file, read)| Err(read))
            }
        }
    }

    fn enter(&mut self, wait: usize) -> io::Result<()> {
        self.check_owner()?;
        let count = if self.is_broken { 0 } else { self.queued.len() };
        let wait = wait.min(self.running.saturating_add(count));
        if count == 0 && wait == 0 {
            return Ok(());
        }
        let flags = if wait > 0 {
            EnterFlags::GETEVENTS
        } else {
            EnterFlags::empty()
        };
        let counted = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let submitter = self.queues.submitter();
        // SAFETY: the numbers are those of the queue, and there is no argument.
        let answer =
            unsafe { submitter.enter::<u64>(counted(count), counted(wait), flags.bits(), None) };
        // The kernel may have seen a part of them, whatever it returns.
        let left = self.queues.submission().len();
        while !self.is_broken && self.queued.len() > left {
            self.queued.pop_front();
            self.running = self.running.saturating_add(1);
        }
        answer.map(|_seen| ())
    }

    fn take_back(&mut self) -> Option<Read> {
        self.is_broken = true;
        let index = self.queued.pop_front()?;
        let (_file, read) = self.slots.get_mut(index)?.take()?;
        Some(read)
    }

    fn take(&mut self) -> Option<Finished> {
        if process() != self.owner {
            return None;
        }
        loop {
            let entry = self.queues.completion().next()?;
            let index = usize::try_from(entry.user_data()).unwrap_or(usize::MAX);
            let slot = self.slots.get_mut(index).and_then(Option::take);
            debug_assert!(slot.is_some(), "a completion of nothing");
            // Kernels complete each read once, so this is never skipped.
            let Some((_file, read)) = slot else { continue };
            self.free.push(index);
            self.running = self.running.saturating_sub(1);
            let result = usize::try_from(entry.result())
                .map_err(|_negative| io::Error::from_raw_os_error(entry.result().saturating_neg()));
            return Some(Finished { read, result });
        }
    }

    fn is_idle(&self) -> bool {
        self.running == 0 && self.queued.is_empty() && !self.is_broken
    }
}

impl Ring {
    fn check_owner(&self) -> io::Result<()> {
        if process() == self.owner {
            return Ok(());
        }
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if process() != self.owner {
            // The mapped queues are missing here, and the reads belong to the parent. The inherited
            // part stays as it is, buffers included.
            for slot in self.slots.drain(..) {
                let _kept = ManuallyDrop::new(slot);
            }
            return;
        }
        while self.take_back().is_some() {}
        // The kernel writes to the buffers until the last read is complete, so waiting is the only
        // way. Completions also arrive if a filter forbids waiting for them.
        while self.running > 0 {
            if self.take().is_none() && self.enter(1).is_err() {
                thread::sleep(PAUSE);
            }
        }
        // SAFETY: this is the end of the value, so the ring is not used again.
        unsafe { ManuallyDrop::drop(&mut self.queues) };
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("queued", &self.queued.len())
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}
