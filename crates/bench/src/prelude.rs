//! What workloads and peers are written with.

pub use std::fs::File;
pub use std::hint::black_box;
pub use std::ops::Range;
pub use std::path::{Path, PathBuf};
pub use std::rc::Rc;
pub use std::time::{Duration, Instant};

pub use rustix::fs::OFlags;

pub use crate::error::{Context, Error, Result, anyhow, bail, ensure, skip};
pub use crate::histogram::Histogram;
pub use crate::interleave::Candidate;
pub use crate::machine::memory::Memory;
pub use crate::machine::{cache, on_threads};
pub use crate::options::{Options, limit_for, sized, text_of_bytes};
pub use crate::pool::{self, CHUNK, Pool, fingerprint, index, sum_words};
pub use crate::process;
pub use crate::random::{Random, mix};
pub use crate::raw::{self, BLOCK, OpenFiles};
pub use crate::sample::{Headline, Sample};
pub use crate::scenario::physical;
pub use crate::stage::{Stage, timed, timed_drop};
pub use crate::workload::{
    ALLOCATIONS, CPU, Column, DROP, FAULTS, GROUP_PEAK, MIB, PEAK, Prepare, RATE, Row,
    TIME_PER_READ, USAGE, Work, Workload,
};
