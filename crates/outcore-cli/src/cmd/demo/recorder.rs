//! What is in memory and what is stored, looked at again and again.

use std::time::Instant;

use indicatif::ProgressBar;

use crate::memory;

/// Looks at a stage, at least.
const LOOKS: u64 = 64;

/// A moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Since the demo began.
    pub(crate) seconds: f64,
    pub(crate) stored_bytes: u64,
    /// Private memory that is resident.
    pub(crate) own_bytes: u64,
    /// Mapped files that are resident.
    pub(crate) file_bytes: u64,
}

/// What happened to one container.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) samples: Vec<Sample>,
    pub(crate) outcome: String,
    /// Whether all was stored that should be.
    pub(crate) is_done: bool,
}

impl Stage {
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.most(|sample| sample.stored_bytes)
    }

    pub(crate) fn peak_own_bytes(&self) -> u64 {
        self.most(|sample| sample.own_bytes)
    }

    pub(crate) fn peak_file_bytes(&self) -> u64 {
        self.most(|sample| sample.file_bytes)
    }

    pub(crate) fn seconds(&self) -> f64 {
        match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) => last.seconds - first.seconds,
            _ => 0.0,
        }
    }

    fn most(&self, value: impl Fn(&Sample) -> u64) -> u64 {
        self.samples.iter().map(value).max().unwrap_or(0)
    }
}

/// Takes samples.
#[derive(Debug)]
pub(crate) struct Recorder<'a> {
    begin: Instant,
    bar: &'a ProgressBar,
    samples: Vec<Sample>,
    next_bytes: u64,
    step_bytes: u64,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(bar: &'a ProgressBar) -> Self {
        Self {
            begin: Instant::now(),
            bar,
            samples: Vec::new(),
            next_bytes: 0,
            step_bytes: 1,
        }
    }

    /// Starts a stage in which that many bytes are to be stored.
    pub(crate) fn begin(&mut self, wanted_bytes: u64) {
        // Room beforehand: a container at the limit leaves none.
        self.samples = Vec::with_capacity(2 * usize::try_from(LOOKS).unwrap_or(0) + 2);
        self.step_bytes = (wanted_bytes / LOOKS).max(1);
        self.next_bytes = 0;
        self.look(0);
    }

    /// Takes note of how much is stored; looks now and then.
    pub(crate) fn stored(&mut self, stored_bytes: u64) {
        if stored_bytes >= self.next_bytes {
            self.look(stored_bytes);
            self.next_bytes = stored_bytes + self.step_bytes;
        }
    }

    /// Takes note of what another process has read and has in memory.
    pub(crate) fn look_at(&mut self, process: u32, most_bytes: u64) {
        // One that has ended has nothing left.
        if let (Some(kinds), Some(bytes)) = (
            memory::resident_kinds_of(process),
            memory::read_bytes_of(process),
        ) {
            self.note(bytes.min(most_bytes), kinds);
        }
    }

    fn look(&mut self, stored_bytes: u64) {
        self.note(stored_bytes, memory::resident_kinds().unwrap_or_default());
    }

    fn note(&mut self, stored_bytes: u64, (own_bytes, file_bytes): (u64, u64)) {
        let last = self.samples.last().map_or(0, |sample| sample.stored_bytes);
        self.bar.inc(stored_bytes.saturating_sub(last));
        self.samples.push(Sample {
            seconds: self.begin.elapsed().as_secs_f64(),
            stored_bytes,
            own_bytes,
            file_bytes,
        });
    }

    /// Ends the stage; `failed` says why, if not all is stored.
    pub(crate) fn end(&mut self, name: &'static str, stored: u64, failed: Option<String>) -> Stage {
        self.look(stored);
        Stage {
            name,
            samples: std::mem::take(&mut self.samples),
            is_done: failed.is_none(),
            outcome: failed.unwrap_or_else(|| "done".to_owned()),
        }
    }
}
