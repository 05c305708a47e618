//! Where outcore is not the first, and why.

use crate::goal;
use crate::measure;
use crate::report::Results;
use crate::stats::Spread;
use crate::workload::Headline;

/// How the rows of outcore begin.
const OWN: &str = "outcore";

/// Why outcore is not the first of a workload, or misses what was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Reason {
    /// How the names of its workloads begin.
    pub workload: &'static str,
    /// How the names of its rows begin.
    pub who: &'static str,
    /// The reason, as a sentence without its full stop.
    pub why: &'static str,
}

/// Finds the first reason that is about a row of a workload.
pub fn why(reasons: &[Reason], workload: &str, who: &str) -> Option<&'static str> {
    let mut about = reasons.iter();
    let found = about.find(|one| workload.starts_with(one.workload) && who.starts_with(one.who));
    found.map(|one| one.why)
}

/// The first of a workload, where that is not outcore.
#[derive(Clone, Debug, PartialEq)]
pub struct Behind {
    /// The fastest row of outcore.
    pub own: String,
    /// The row that is faster.
    pub first: String,
    /// How many times as fast as that outcore is, within the rounds.
    pub speed: Spread,
}

/// Finds who is faster than every row of outcore, in all rounds: a difference smaller than the
/// spread is none.
pub fn behind(headline: Headline, results: &Results) -> Option<Behind> {
    let names = results.candidates.iter().map(|(name, _)| name.as_str());
    let (own, others): (Vec<&str>, Vec<&str>) = names.partition(|name| name.starts_with(OWN));
    let own = goal::fastest(&results.runs, headline, &own)?;
    let first = goal::fastest(&results.runs, headline, &others)?;
    let speed = goal::speed(&results.runs, headline, own, first)?;
    (speed.count > 1 && speed.max < 1.0).then(|| Behind {
        own: own.to_owned(),
        first: first.to_owned(),
        speed,
    })
}

/// Says in a sentence who is ahead of outcore, if anybody is.
pub fn sentence(
    workload: &str,
    headline: Headline,
    results: &Results,
    reasons: &[Reason],
) -> Option<String> {
    let behind = behind(headline, results)?;
    let Behind { own, first, speed } = &behind;
    let why = why(reasons, workload, own);
    let why = why.unwrap_or("the reason has not been looked for yet");
    let ratio = speed.median;
    Some(format!(
        "`{own}` is behind `{first}`, at {ratio:.2} of its speed: {why}."
    ))
}

/// Tells whether outcore takes part at all.
pub fn takes_part(results: &Results) -> bool {
    let mut names = results.candidates.iter().map(|(name, _)| name);
    names.any(|name| name.starts_with(OWN) && measure::ended(&results.runs, name).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Outcome, Run, Sample};
    use crate::workload::RATE;

    const REASONS: &[Reason] = &[
        Reason {
            workload: "push/",
            who: "outcore_slow",
            why: "it is slow",
        },
        Reason {
            workload: "push/",
            who: "",
            why: "it has to claim space",
        },
    ];

    fn results(rows: &[(&str, [f64; 2])]) -> Results {
        let mut runs = Vec::new();
        for (candidate, rates) in rows {
            for (round, rate) in (1..).zip(rates) {
                let mut sample = Sample::new();
                sample.add("rate", *rate, "GiB/s");
                runs.push(Run {
                    candidate: (*candidate).to_owned(),
                    round,
                    outcome: Outcome::Measured(sample),
                });
            }
        }
        let names = rows
            .iter()
            .map(|(name, _)| ((*name).to_owned(), String::new()));
        Results {
            runs,
            candidates: names.collect(),
        }
    }

    #[test]
    fn who_is_ahead_in_every_round_is_named_with_the_reason() {
        let rows = [("outcore", [1.0, 2.0]), ("raw", [2.0, 3.0])];
        let text = sentence("push/1GiB", RATE, &results(&rows), REASONS).unwrap();
        assert!(
            text.contains("`raw`") && text.contains("claim space"),
            "{text}"
        );
        let text = sentence("get/1GiB", RATE, &results(&rows), REASONS).unwrap();
        assert!(text.contains("not been looked for"), "{text}");
        let slow = [("outcore_slow", [1.0, 2.0]), ("raw", [2.0, 3.0])];
        let text = sentence("push/1GiB", RATE, &results(&slow), REASONS).unwrap();
        assert!(text.contains("it is slow"), "{text}");
    }

    #[test]
    fn a_difference_within_the_spread_is_none() {
        let rows = [("outcore", [1.0, 3.1]), ("raw", [2.0, 3.0])];
        assert_eq!(behind(RATE, &results(&rows)), None);
        let alone = [("raw", [2.0, 3.0])];
        assert_eq!(behind(RATE, &results(&alone)), None);
        assert!(!takes_part(&results(&alone)) && takes_part(&results(&rows)));
    }
}
