//! The results of the lives of campaigns, and the sums for each container.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// The results of the lives of a campaign.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Lives with a failed call.
    pub(super) failures: usize,
    /// Lives with a second failed call.
    pub(super) seconds: usize,
    /// Calls that failed.
    pub(super) calls: usize,
    /// Errors that reached the caller.
    pub(super) errors: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} injected failures, {} followed by a second one; {} calls failed, {} errors reached \
             the caller",
            self.failures, self.seconds, self.calls, self.errors
        )
    }
}

/// Adds the results of a campaign to the sums, and returns a line with the number of failures for
/// each container. The campaign's name begins with the container's, up to a comma.
pub(super) fn sum(campaign: &str, tally: Tally) -> String {
    static FAILURES: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());
    let container = campaign.split(',').next().unwrap_or(campaign);
    let mut failures = FAILURES.lock().unwrap_or_else(PoisonError::into_inner);
    *failures.entry(container.to_owned()).or_default() += tally.failures;
    let all: usize = failures.values().sum();
    let each = failures
        .iter()
        .map(|(name, count)| format!("{name} {count}"));
    let each = each.collect::<Vec<_>>().join(", ");
    format!("injected failures so far: {each}; {all} in all")
}
