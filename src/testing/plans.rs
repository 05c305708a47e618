//! Which faults the lives of a campaign meet.

use std::env;

use testkit::Random;

use crate::sys::fault::{Fault, Outcome};

pub(crate) const EINTR: i32 = 4;
pub(crate) const EIO: i32 = 5;
pub(crate) const ENOMEM: i32 = 12;
pub(crate) const EFBIG: i32 = 27;
pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EOPNOTSUPP: i32 = 95;
pub(crate) const EDQUOT: i32 = 122;

/// The outcomes that a call can have.
const OUTCOMES: [Outcome; 10] = [
    Outcome::Errno(ENOSPC),
    Outcome::Errno(EIO),
    Outcome::Errno(EDQUOT),
    Outcome::Errno(EFBIG),
    Outcome::Errno(EINTR),
    Outcome::Errno(ENOMEM),
    Outcome::Errno(EOPNOTSUPP),
    Outcome::HalfThenErrno(ENOSPC),
    Outcome::Short,
    Outcome::Zero,
];

/// The minimum number of fault pairs for each call, in the long tier.
const PAIRS: usize = 8;

/// The minimum number of lives of a campaign in the long tier: a life with few calls gets more
/// pairs, of which there are thousands for each call.
const LIVES_MIN: usize = 3600;

/// Returns all faults of the long tier, or a sample of them; `more` adds errors.
pub(super) fn plans(calls: usize, sample: usize, more: &[i32]) -> Vec<(Fault, Option<Fault>)> {
    let seed = env::var("OUTCORE_SEED").map_or(0, |seed| seed.parse().unwrap());
    let mut random = Random::new(seed);
    let mut ways = Vec::new();
    for sticky in [false, true] {
        let more = more.iter().map(|errno| Outcome::Errno(*errno));
        let outcomes = OUTCOMES.into_iter().chain(more);
        // The library would retry for ever on a signal that interrupts every attempt.
        let lasts = |outcome: &Outcome| *outcome != Outcome::Errno(EINTR);
        let outcomes = outcomes.filter(|outcome| !sticky || lasts(outcome));
        ways.extend(outcomes.map(|outcome| (outcome, sticky)));
    }
    let fault = |after, (outcome, sticky)| Fault {
        after,
        sticky,
        outcome,
    };
    let mut pair = |after, way| {
        let second = fault(random.below(12), ways[random.below(ways.len())]);
        let (outcome, _sticky): (Outcome, bool) = way;
        (fault(after, (outcome, false)), Some(second))
    };
    if env::var("OUTCORE_CAMPAIGN").is_ok_and(|tier| tier == "long") {
        let mut all = Vec::new();
        let pairs = (LIVES_MIN / calls + 1).saturating_sub(ways.len());
        let pairs = pairs.max(PAIRS);
        for after in 0..calls {
            all.extend(ways.iter().map(|way| (fault(after, *way), None)));
            all.extend((0..pairs).map(|n| pair(after, ways[(after + 7 * n) % ways.len()])));
        }
        return all;
    }
    // On the heap backend a mapping is a copy, and a sanitizer or an interpreter checks every byte.
    let slow = if cfg!(miri) {
        40
    } else if cfg!(memory_backend) {
        6
    } else {
        1
    };
    let sample = (sample / slow).max(5);
    // All calls are equally likely, and all outcomes; every fifth plan has two faults.
    let mut order = Random::new(seed);
    let mut queue: Vec<usize> = Vec::new();
    (0..sample)
        .map(|number| {
            if queue.is_empty() {
                queue.extend(0..calls);
            }
            let after = queue.swap_remove(order.below(queue.len()));
            let way = ways[(number + number / ways.len()) % ways.len()];
            if number % 5 == 4 {
                pair(after, way)
            } else {
                (fault(after, way), None)
            }
        })
        .collect()
}
