//! The measuring harness of outcore, and outcore's own scenarios.
//!
//! How to measure fairly is the whole subject, so the harness takes it out of the
//! hands of the scenarios: [`measure`] runs all candidates of a workload in turns, in a
//! new order each round, throws the first round away and fails a candidate whose
//! checksum is wrong; [`report`] compares within a round only; [`record`] keeps every
//! run together with the machine it ran on.
//!
//! The crate compiles no competitor: `bench-compare` adds those. Linux only.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a measuring program: it counts seconds and bytes, prints them, and may die of a mistake"
)]

pub mod alloc;
pub mod cache;
pub mod child;
pub mod cli;
pub mod csv;
pub mod documents;
pub mod environment;
pub mod failure;
pub mod full_cache;
pub mod goal;
pub mod goals;
pub mod guard;
pub mod helpers;
pub mod histogram;
pub mod limit;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod ordinary;
pub mod page;
pub mod pool;
pub mod protocol;
pub mod random;
pub mod reasons;
pub mod record;
pub mod report;
pub mod runs;
pub mod scenario;
pub mod schedule;
pub mod series;
pub mod settings;
pub mod stage;
pub mod stats;
pub mod table;
pub mod workload;
