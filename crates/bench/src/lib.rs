//! Measuring core and workloads of outcore.
//!
//! The core takes fairness out of the hands of the workloads: [`interleave`] runs all candidates of
//! a workload in turns, in a new order each round, throws the first round away and fails a
//! candidate whose checksum is wrong; [`process`] gives each run a process, a memory group and a
//! known state of memory; [`sample`] compares within a round only; [`record`] keeps every run
//! together with the machine it ran on.
//!
//! The crate compiles no competitor: `bench-compare` adds those. Linux only.
#![expect(
    missing_docs,
    missing_debug_implementations,
    clippy::missing_errors_doc,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a measuring program in two crates: it counts seconds and bytes, prints them, and may die \
              of a mistake"
)]

pub mod alloc;
pub mod budget;
pub mod environment;
pub mod error;
pub mod histogram;
pub mod interleave;
pub mod machine;
pub mod options;
pub mod ordinary;
pub mod pool;
pub mod prelude;
pub mod process;
pub mod program;
pub mod random;
pub mod raw;
pub mod record;
pub mod report;
mod ring;
pub mod sample;
pub mod scenario;
pub mod stage;
pub mod workload;
