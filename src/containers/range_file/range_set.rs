//! A set of byte numbers, as spans that neither touch nor overlap.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of byte numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RangeSet {
    /// The end of each span by its start. Between two spans there is at least one number.
    ends: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// Adds all of `range`; numbers that are in the set already stay.
    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        // All ranges that touch the new one are merged into it, from the last to the first.
        while let Some((before, its_end)) = self.last_from(end) {
            if its_end < start {
                break;
            }
            self.ends.remove(&before);
            (start, end) = (start.min(before), end.max(its_end));
        }
        self.ends.insert(start, end);
    }

    /// Removes all numbers of `range`.
    pub(super) fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let last = range.end.saturating_sub(1);
        while let Some((start, end)) = self.last_from(last) {
            if end <= range.start {
                break;
            }
            self.ends.remove(&start);
            if start < range.start {
                self.ends.insert(start, range.start);
            }
            if range.end < end {
                self.ends.insert(range.end, end);
            }
        }
    }

    /// Returns whether all of `range` is in the set.
    pub(super) fn contains(&self, range: &Range<u64>) -> bool {
        range.is_empty()
            || self
                .last_from(range.start)
                .is_some_and(|(_start, end)| range.end <= end)
    }

    /// Returns the spans in ascending order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + Clone + '_ {
        self.ends.iter().map(|(start, end)| *start..*end)
    }

    /// Returns the number of elements below `limit`.
    pub(super) fn count_below(&self, limit: u64) -> u64 {
        let inside = self.ends.range(..limit);
        inside
            .map(|(start, end)| limit.min(*end).saturating_sub(*start))
            .fold(0, u64::saturating_add)
    }

    /// Returns the last span that starts at `at` or before.
    fn last_from(&self, at: u64) -> Option<(u64, u64)> {
        let (start, end) = self.ends.range(..=at).next_back()?;
        Some((*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A small generator with a seed, so that each run is the same.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        move |bound| {
            state = state.wrapping_mul(6_364_136_223_846_793_005);
            state = state.wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        }
    }

    #[test]
    fn spans_are_the_set_that_they_stand_for() {
        for seed in 0..50 {
            let mut next = numbers(seed);
            let mut spans = RangeSet::default();
            let mut model = BTreeSet::new();
            for _ in 0..200 {
                let start = next(60);
                let range = start..start + next(12);
                if next(3) == 0 {
                    spans.remove(&range);
                    model.retain(|number| !range.contains(number));
                } else {
                    spans.insert(range.clone());
                    model.extend(range.clone());
                }
                let found: BTreeSet<u64> = spans.iter().flatten().collect();
                assert_eq!(found, model, "seed {seed}");
                let is_empty = spans.iter().any(|span| span.is_empty());
                assert!(!is_empty, "seed {seed}: a span of nothing");
                let pairs = spans.iter().zip(spans.iter().skip(1));
                for (span, following) in pairs {
                    assert!(span.end < following.start, "seed {seed}: they touch");
                }
                let asked = next(60)..next(72);
                let all = asked.clone().all(|number| model.contains(&number));
                assert_eq!(spans.contains(&asked), all, "seed {seed}: {asked:?}");
                let below = model.range(..asked.end).count() as u64;
                assert_eq!(spans.count_below(asked.end), below, "seed {seed}");
            }
        }
    }
}
