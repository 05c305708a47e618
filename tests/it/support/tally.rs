//! The events of a comparison with a model: they show that a tier of many small cases does not
//! consist of trivial ones.

use std::collections::BTreeMap;

use crate::support::random::Case;

/// The events of one case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    met: BTreeMap<String, u64>,
    reached: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Records an event.
    pub(crate) fn met(&mut self, what: &str) {
        if let Some(times) = self.met.get_mut(what) {
            *times += 1;
        } else {
            self.met.insert(what.to_owned(), 1);
        }
    }

    /// Records a size: the maximum is kept.
    pub(crate) fn reached(&mut self, what: &'static str, size: u64) {
        let most = self.reached.entry(what).or_default();
        *most = size.max(*most);
    }

    /// Adds the events of another tally, such as that of a thread of the same case.
    pub(crate) fn add(&mut self, other: &Self) {
        for (what, times) in &other.met {
            *self.met.entry(what.clone()).or_default() += times;
        }
        for (what, size) in &other.reached {
            self.reached(what, *size);
        }
    }
}

/// The events of all cases of a test, for large and small ones.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    large: (u64, Tally),
    small: (u64, Tally),
}

impl Tallies {
    pub(crate) fn add(&mut self, case: Case, tally: &Tally) {
        let (cases, sum) = if case.small {
            &mut self.small
        } else {
            &mut self.large
        };
        assert!(!tally.met.is_empty(), "{case:?} did nothing");
        *cases += 1;
        sum.add(tally);
    }

    /// Prints the events, and panics if one of `expected` is missing, also if only in the small
    /// cases. A single case need not have all of them.
    #[expect(clippy::print_stdout, reason = "shown with --nocapture")]
    pub(crate) fn end(self, test: &str, expected: &[&str]) {
        println!("{test}:");
        let sizes = [("large", self.large), ("small", self.small)];
        for (size, (cases, tally)) in &sizes {
            if *cases > 0 {
                println!("  {cases} {size} cases, met {:?}", tally.met);
                println!("    at most {:?}", tally.reached);
            }
        }
        // If each step is slow, there are few, and if addresses are scarce, no block moves.
        if cfg!(any(miri, memory_backend)) {
            return;
        }
        for (size, (cases, tally)) in &sizes {
            let never = |what: &&&str| !tally.met.contains_key(**what);
            let missing: Vec<_> = expected.iter().filter(never).collect();
            let enough = *cases < 4 || missing.is_empty();
            assert!(enough, "{test}: {size} cases never met {missing:?}");
        }
    }
}

#[test]
#[should_panic(expected = "small cases never met [\"pop\"]")]
#[cfg_attr(any(miri, memory_backend), ignore = "nothing is asserted here")]
fn cases_that_leave_something_out_are_found() {
    let mut tallies = Tallies::default();
    for seed in 0..8 {
        let small = seed >= 4;
        let mut tally = Tally::default();
        tally.met("push");
        if !small {
            tally.met("pop");
        }
        tallies.add(Case { seed, small }, &tally);
    }
    tallies.end("planted", &["push", "pop"]);
}
