//! What is measured together: candidates that do the same work on the same bytes.

use std::rc::Rc;
use std::time::Duration;

use crate::error::Result;
use crate::interleave::Candidate;
use crate::machine::memory::Memory;
use crate::options::text_of_bytes;
use crate::sample::{Headline, Sample};
use crate::stage::timed;

/// Bytes that were moved per second.
pub const RATE: Headline = Headline::more("rate", "GiB/s");

/// Time of one read.
pub const TIME_PER_READ: Headline = Headline::less("time_per_read", "ns");

/// Bytes of a MiB, as a scale.
pub const MIB: f64 = 1_048_576.0;

/// A further number of each candidate in the table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The title, with the unit.
    pub title: &'static str,
    pub metric: &'static str,
    /// What one unit of the title is, in units of the metric.
    pub scale: f64,
    /// Digits behind the point.
    pub digits: usize,
    /// The largest value instead of the median.
    pub is_peak: bool,
}

impl Column {
    pub const fn new(title: &'static str, metric: &'static str, scale: f64, digits: usize) -> Self {
        Self {
            title,
            metric,
            scale,
            digits,
            is_peak: false,
        }
    }

    #[must_use]
    pub const fn peak(self) -> Self {
        Self {
            is_peak: true,
            ..self
        }
    }
}

/// Resident memory.
pub const PEAK: Column = Column::new("peak MiB", "peak_above_start", MIB, 1).peak();
/// Memory of the group, page cache included.
pub const GROUP_PEAK: Column = Column::new("group peak MiB", "group_peak", MIB, 0).peak();
/// Pages that were mapped one by one.
pub const FAULTS: Column = Column::new("faults", "minor_faults", 1.0, 0);
/// Time of the processor in the program, and in the kernel for it.
pub const CPU: [Column; 2] = [
    Column::new("user s", "cpu_user", 1.0, 2),
    Column::new("system s", "cpu_system", 1.0, 2),
];
/// Time to drop everything.
pub const DROP: Column = Column::new("drop s", "drop", 1.0, 3);
pub const ALLOCATIONS: Column = Column::new("allocations", "allocations", 1.0, 0).peak();
/// What a run in a process of its own costs the machine.
pub const USAGE: [Column; 5] = [PEAK, CPU[0], CPU[1], FAULTS, DROP];

/// One run of the work that a `J` describes.
type Run<J> = Rc<dyn Fn(&J) -> Result<Sample>>;

/// A way to do the work that a `J` describes; in which workloads it takes part say its tags.
pub struct Row<J> {
    /// The name in tables and records.
    pub name: &'static str,
    /// What is not equal to the other candidates; empty if nothing.
    pub note: &'static str,
    /// Does one run.
    run: Run<J>,
    tags: u16,
}

impl<J> Clone for Row<J> {
    fn clone(&self) -> Self {
        let run = Rc::clone(&self.run);
        Self { run, ..*self }
    }
}

/// Work that is timed from its first byte to its last.
pub trait Work {
    /// Adds the number that the workload is about, if that is not the time.
    fn add_to(&self, sample: &mut Sample);
}

impl<J> Row<J> {
    pub fn new(
        name: &'static str,
        note: &'static str,
        run: impl Fn(&J) -> Result<Sample> + 'static,
    ) -> Self {
        let run = Rc::new(run);
        Self {
            name,
            note,
            run,
            tags: 0,
        }
    }

    /// Makes a row that does all of the work while the clock runs, and returns its checksum.
    pub fn timed(
        name: &'static str,
        note: &'static str,
        work: impl Fn(&J) -> Result<u64> + 'static,
    ) -> Self
    where
        J: Work,
    {
        Self::new(name, note, move |job| {
            let mut sample = timed(|| work(job))?;
            job.add_to(&mut sample);
            Ok(sample)
        })
    }

    #[must_use]
    pub fn with(mut self, tag: u16) -> Self {
        self.tags |= tag;
        self
    }

    pub fn has(&self, tag: u16) -> bool {
        self.tags & tag != 0
    }
}

/// Prepares candidates that share a process, such as a store filled once and the ways to read it.
pub type Prepare<J> = fn(&J) -> Result<Vec<Candidate<'static>>>;

/// Candidates that do the same work on the same bytes.
pub struct Workload {
    /// The name: action, size, state of the cache, limit. What is timed is in the README of
    /// bench-compare.
    pub name: String,
    /// The number that the ratios are made of.
    pub headline: Headline,
    /// Other numbers for the table.
    pub columns: Vec<Column>,
    /// The candidates that have a column of ratios.
    pub baselines: Vec<&'static str>,
    /// The rounds that count.
    pub rounds: u32,
    /// The cap on the memory of its processes.
    pub memory_limit: Option<u64>,
    /// The state of the machine's memory before each process without a cap.
    pub memory: Memory,
    /// The read-ahead of the device meanwhile, if not that which is set.
    pub read_ahead_kb: Option<u32>,
    /// The limit of the machine: beginnings of the names of a workload and of its rows.
    pub physical: Option<(&'static str, &'static str)>,
    /// Whether `--quick` leaves it out: it differs little from another, or takes long.
    pub is_slow: bool,
    /// How long a run may take, if not as long as any other.
    pub time_max: Option<Duration>,
    /// Builds programs that the candidates start, before the first workload begins.
    pub build: Option<fn()>,
    /// Whether each run is a process of its own. Otherwise all share one, and what it prepares.
    pub is_isolated: bool,
    /// Makes the candidates. For isolated ones this is done in every process, and prepares nothing.
    pub(crate) candidates: Box<dyn Fn() -> Result<Vec<Candidate<'static>>>>,
    /// Returns the checksum that each run has to return.
    pub(crate) expected: Box<dyn Fn() -> u64>,
}

impl Workload {
    /// Makes a workload whose runs are processes: for memory, and for clean starts. Each makes its
    /// own job.
    pub fn isolated<J: 'static>(
        name: String,
        headline: Headline,
        rows: &[Row<J>],
        job: impl Fn() -> J + Clone + 'static,
        expected: fn(&J) -> u64,
    ) -> Self {
        let (rows, own) = (rows.to_vec(), job.clone());
        let candidates = move || {
            let candidate = |row: &Row<J>| {
                let (job, run) = (own.clone(), Rc::clone(&row.run));
                Candidate::new(row.name, row.note, move || run(&job()))
            };
            Ok(rows.iter().map(candidate).collect())
        };
        Self {
            is_isolated: true,
            ..Self::new(name, headline, candidates, move || expected(&job()))
        }
    }

    /// Makes a workload whose runs share a process and its job.
    pub fn shared<J: 'static>(
        name: String,
        headline: Headline,
        prepare: Vec<Prepare<J>>,
        job: impl Fn() -> J + Clone + 'static,
        expected: fn(&J) -> u64,
    ) -> Self {
        let own = job.clone();
        let candidates = move || {
            let job = own();
            let mut all = Vec::new();
            for prepare in &prepare {
                all.extend(prepare(&job)?);
            }
            Ok(all)
        };
        Self::new(name, headline, candidates, move || expected(&job()))
    }

    /// Measures it in a memory group of so many bytes; its name says so.
    #[must_use]
    pub fn in_group(mut self, bytes: u64) -> Self {
        self.name = format!("{}/limit_{}", self.name, text_of_bytes(bytes));
        self.memory_limit = Some(bytes);
        self
    }

    /// Measures it with another read-ahead and an empty cache; its name says so.
    #[must_use]
    pub fn with_read_ahead(mut self, kb: u32) -> Self {
        self.name = format!("{}/cold/read_ahead_{kb}", self.name);
        self.read_ahead_kb = Some(kb);
        self
    }

    /// Measures it in a state of memory; its name says so where that is not the usual one, and a
    /// quick call leaves it out then.
    #[must_use]
    pub fn in_state(mut self, memory: Memory) -> Self {
        self.name += memory.suffix();
        self.is_slow = memory != Memory::Reused;
        self.memory = memory;
        self
    }

    fn new(
        name: String,
        headline: Headline,
        candidates: impl Fn() -> Result<Vec<Candidate<'static>>> + 'static,
        expected: impl Fn() -> u64 + 'static,
    ) -> Self {
        Self {
            name,
            headline,
            columns: Vec::new(),
            baselines: Vec::new(),
            rounds: 5,
            memory_limit: None,
            memory: Memory::Reused,
            read_ahead_kb: None,
            physical: None,
            is_slow: false,
            time_max: None,
            build: None,
            is_isolated: false,
            candidates: Box::new(candidates),
            expected: Box::new(expected),
        }
    }
}
