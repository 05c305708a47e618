//! What workloads and peers are written with.

pub use crate::error::{Context, Error, Result, anyhow, bail, ensure, skip};
pub use crate::interleave::Candidate;
pub use crate::machine::cache;
pub use crate::machine::memory::Memory;
pub use crate::options::{Options, limit_for, text_of_bytes};
pub use crate::pool::{self, Pool, index, sum_words};
pub use crate::random::Random;
pub use crate::raw::{self, BLOCK, OpenFiles};
pub use crate::sample::{Headline, Sample};
pub use crate::stage::{Stage, timed, timed_drop};
pub use crate::workload::{
    ALLOCATIONS, CPU, Column, DROP, FAULTS, GROUP_PEAK, MIB, PEAK, Prepare, RATE, Row,
    TIME_PER_READ, USAGE, Workload,
};
