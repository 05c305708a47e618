//! How the time of a whole call is shared among its workloads.
//!
//! Each workload gets an equal part of the time that is left; what it does not use is left to those
//! after it. One round of each counts even if it takes longer, and when no time is left, workloads
//! are left out by name. The most important ones come first.

use std::time::{Duration, Instant};

/// The time of a call, and how many workloads are to share what is left of it.
pub struct Budget {
    until: Option<Instant>,
    left: u32,
}

/// What a workload gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All its rounds, however long they take.
    Unlimited,
    /// As many rounds as end within this time, and at least one.
    Within(Duration),
    /// It is left out.
    Nothing,
}

impl Budget {
    pub fn new(time: Option<Duration>, workloads: usize, now: Instant) -> Self {
        Self {
            until: time.map(|time| now + time),
            left: u32::try_from(workloads).unwrap_or(u32::MAX),
        }
    }

    /// Returns the share of the next workload.
    pub fn next(&mut self, now: Instant) -> Share {
        let count = self.left.max(1);
        self.left = count - 1;
        let Some(until) = self.until else {
            return Share::Unlimited;
        };
        let left = until.saturating_duration_since(now);
        if left.is_zero() {
            Share::Nothing
        } else {
            Share::Within(left / count)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_one_does_not_use_is_left_to_the_others_and_late_ones_are_left_out() {
        let start = Instant::now();
        let mut budget = Budget::new(Some(10 * SECOND), 5, start);
        assert_eq!(budget.next(start), Share::Within(2 * SECOND));
        // The first took nothing, the second more than its part.
        assert_eq!(budget.next(start), Share::Within(10 * SECOND / 4));
        let late = start + 7 * SECOND;
        assert_eq!(budget.next(late), Share::Within(SECOND));
        assert_eq!(budget.next(late), Share::Within(3 * SECOND / 2));
        assert_eq!(budget.next(start + 11 * SECOND), Share::Nothing);
    }

    #[test]
    fn without_a_limit_each_has_all_its_rounds() {
        let now = Instant::now();
        let mut budget = Budget::new(None, 1, now);
        assert_eq!(budget.next(now), Share::Unlimited);
    }
}
