//! What is measured together: candidates that do the same work, and what is asked of them.

use std::fmt;

use crate::failure::Result;
use crate::goal::Goal;
use crate::measure::{Candidate, Sample};

/// Candidates that do the same work on the same bytes.
#[derive(Debug)]
pub struct Workload {
    /// The name: action, size, state of the cache, limit.
    pub name: String,
    /// What is done and what is timed, in a sentence or two.
    pub title: &'static str,
    /// The number that the ratios are made of.
    pub headline: Headline,
    /// Other numbers for the table.
    pub columns: Vec<Column>,
    /// The candidates that have a column of ratios.
    pub baselines: Vec<&'static str>,
    /// What is asked for.
    pub goals: Vec<Goal>,
    /// The rounds that count.
    pub rounds: u32,
    /// The checksum that each run has to come back with, computed when it is needed.
    pub expected: Deferred<u64>,
    /// The candidates.
    pub kind: Kind,
}

/// The number that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headline {
    /// The metric.
    pub metric: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Whether more is better (a rate) or less (a time).
    pub higher_is_better: bool,
}

/// Bytes that were pushed per second.
pub const RATE: Headline = Headline {
    metric: "rate",
    unit: "GiB/s",
    higher_is_better: true,
};

/// Time for one read.
pub const TIME_PER_READ: Headline = Headline {
    metric: "time_per_read",
    unit: "ns",
    higher_is_better: false,
};

/// A further number of each candidate in the table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The title, with the unit.
    pub title: &'static str,
    /// The metric.
    pub metric: &'static str,
    /// What one unit of the title is, in units of the metric.
    pub scale: f64,
    /// Digits behind the point.
    pub digits: usize,
    /// The largest value instead of the median.
    pub is_peak: bool,
}

/// Bytes of a MiB, as a scale.
pub const MIB: f64 = 1_048_576.0;

impl Column {
    /// Makes a column of medians.
    pub const fn new(title: &'static str, metric: &'static str, scale: f64, digits: usize) -> Self {
        Self {
            title,
            metric,
            scale,
            digits,
            is_peak: false,
        }
    }

    /// Shows the largest value of all runs instead.
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

/// Pages that were mapped one by one.
pub const FAULTS: Column = Column::new("faults", "minor_faults", 1.0, 0);

/// Time of the processor in the program, and in the kernel for it.
pub const CPU: [Column; 2] = [
    Column::new("user s", "cpu_user", 1.0, 2),
    Column::new("system s", "cpu_system", 1.0, 2),
];

/// Time to drop everything.
pub const DROP: Column = Column::new("drop s", "drop", 1.0, 3);

/// How the runs of a workload relate to processes.
#[derive(Debug)]
pub enum Kind {
    /// Each run is a process of its own: for memory, and for clean starts.
    Isolated(Vec<Isolated>),
    /// All runs share a process and what it prepares, such as warm files.
    Shared(Shared),
}

/// A candidate whose runs are processes.
pub struct Isolated {
    /// The name in tables and records.
    pub name: &'static str,
    /// What is not equal to the other candidates; empty if nothing.
    pub note: &'static str,
    /// The cap on the memory of the process.
    pub memory_limit: Option<u64>,
    /// Does one run, in the child.
    pub run: Box<dyn Fn() -> Result<Sample>>,
}

impl Isolated {
    /// Makes a candidate that does the job which `job` describes, in the child.
    pub fn of_job<J: 'static>(
        (name, note): (&'static str, &'static str),
        memory_limit: Option<u64>,
        job: impl Fn() -> J + 'static,
        run: fn(&J) -> Result<Sample>,
    ) -> Self {
        Self {
            name,
            note,
            memory_limit,
            run: Box::new(move || run(&job())),
        }
    }
}

/// Candidates that share a process.
#[derive(Debug)]
pub struct Shared {
    /// The cap on the memory of the process.
    pub memory_limit: Option<u64>,
    /// The read-ahead of the device while the process runs, if not that which is set.
    pub read_ahead_kb: Option<u32>,
    /// Makes the candidates, in the child.
    pub prepare: Deferred<Result<Vec<Candidate<'static>>>>,
}

/// A value that is made when it is needed.
pub struct Deferred<T>(Box<dyn Fn() -> T>);

impl<T> Deferred<T> {
    /// Keeps the function for later.
    pub fn new(make: impl Fn() -> T + 'static) -> Self {
        Self(Box::new(make))
    }

    /// Makes the value.
    pub fn make(&self) -> T {
        (self.0)()
    }
}

impl<T> fmt::Debug for Deferred<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deferred")
    }
}

impl fmt::Debug for Isolated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Isolated");
        fields.field("name", &self.name).finish_non_exhaustive()
    }
}
