//! The campaigns, and the jobs of their children.

mod crash;
mod external;
mod floor;
mod fork;
mod full;
mod inject;
mod kill;
mod leaks;
pub(crate) mod limits;
mod names;
mod ops;
mod shared;
mod shutdown;
mod soak;
mod strings;
mod tables;
mod vectors;

use crate::job::{Job, SECONDS_MAX};
use crate::runner::Campaign;
use crate::{sys, work};

/// All campaigns, in the order in which they run.
pub(crate) const ALL: &[Campaign] = &[
    ops::CAMPAIGN,
    full::CAMPAIGN,
    external::CAMPAIGN,
    strings::CAMPAIGN,
    shared::CAMPAIGN,
    limits::CAMPAIGN,
    vectors::CAMPAIGN,
    floor::CAMPAIGN,
    inject::CAMPAIGN,
    kill::CAMPAIGN,
    crash::CAMPAIGN,
    shutdown::CAMPAIGN,
    fork::CAMPAIGN,
    tables::CAMPAIGN,
    names::CAMPAIGN,
    leaks::CAMPAIGN,
    soak::CAMPAIGN,
];

/// Runs a job in this process, which was started for it.
pub(crate) fn child(job: &Job) {
    if !job.has("no-alarm") {
        sys::alarm(SECONDS_MAX);
    }
    match job.text("do") {
        "work" => work::run(job),
        "bug-full" => full::bug(job),
        "bug-limits" => limits::bug(job),
        "floor" => floor::child(job),
        "kill-scratch" => kill::scratch_child(job),
        "kill-publish" => kill::publish_child(job),
        "kill-hold" => kill::hold_child(job),
        "fork" => fork::child(job),
        "fork-strings" => strings::fork_child(job),
        "names" => names::child(job),
        "names-bytes" => names::bytes_child(job),
        "crash" => crash::child(job),
        "shutdown" => shutdown::child(job),
        "leaks" => leaks::child(job),
        "shared" => shared::child(job),
        "bug-shared" => shared::bug(job),
        "tables" => tables::child(job),
        "bug-tables" => tables::bug(job),
        "soak" => soak::child(job),
        other => panic!("{other}: no such job"),
    }
}
