//! What was asked for, and whether it was reached.

use crate::measure::{self, Run};
use crate::stats::{self, Rounded, Spread};
use crate::workload::Headline;

/// A number that a candidate has to reach.
#[derive(Clone, Debug)]
pub struct Goal {
    /// Who has to reach it.
    pub candidate: &'static str,
    /// What it is.
    pub asked: Asked,
    /// When it counts; always, if there is none.
    pub provided: Option<Provided>,
}

/// What a candidate has to reach.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// At least `factor` times as fast as `baseline`.
    Faster {
        /// The candidate to compare with.
        baseline: &'static str,
        /// How many times as fast.
        factor: f64,
    },
    /// At least `factor` times as fast as the fastest of `baselines`, by their medians.
    FasterThanBest {
        /// The candidates, of which one is compared with.
        baselines: &'static [&'static str],
        /// What they are together, for the tables.
        text: &'static str,
        /// How many times as fast.
        factor: f64,
    },
    /// At most `factor` times the time of `baseline`.
    TimeWithin {
        /// The candidate to compare with.
        baseline: &'static str,
        /// How many times the time.
        factor: f64,
    },
    /// In no run more than `limit` of `metric`.
    AtMost {
        /// The metric.
        metric: &'static str,
        /// The most.
        limit: f64,
        /// How the limit is written, such as `8 MiB`.
        text: &'static str,
        /// What one of the unit in `text` is, in units of the metric.
        scale: f64,
    },
}

/// A goal counts if one of these pairs is at least `factor` times as fast.
#[derive(Clone, Copy, Debug)]
pub struct Provided {
    /// Candidate and baseline.
    pub pairs: &'static [(&'static str, &'static str)],
    /// How many times as fast.
    pub factor: f64,
}

/// A goal beside what was measured, as cells of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The number asked for.
    pub asked: String,
    /// The number measured.
    pub measured: String,
    /// The smallest and the largest.
    pub spread: String,
    /// `yes`, `no`, or why neither.
    pub reached: String,
}

impl Goal {
    /// Makes a goal that always counts.
    pub fn new(candidate: &'static str, asked: Asked) -> Self {
        Self {
            candidate,
            asked,
            provided: None,
        }
    }

    /// Compares the goal with the runs.
    pub fn judge(&self, runs: &[Run], headline: Headline) -> Verdict {
        let asked = self.text();
        let unknown = |why: &str| Verdict {
            asked: asked.clone(),
            measured: "-".to_owned(),
            spread: "-".to_owned(),
            reached: why.to_owned(),
        };
        let Some(spread) = self.spread(runs, headline) else {
            return unknown("not measured");
        };
        let (limit, scale, is_minimum, digits) = match self.asked {
            Asked::Faster { factor, .. } | Asked::FasterThanBest { factor, .. } => {
                (factor, 1.0, true, 2)
            }
            Asked::TimeWithin { factor, .. } => (factor, 1.0, false, 3),
            Asked::AtMost { limit, scale, .. } => (limit, scale, false, 1),
        };
        // A peak is a peak: its largest value counts. Of ratios the median does.
        let absolute = matches!(self.asked, Asked::AtMost { .. });
        let value = if absolute { spread.max } else { spread.median };
        let reached = if is_minimum {
            value >= limit
        } else {
            value <= limit
        };
        let mut words = if reached { "yes" } else { "NO" }.to_owned();
        if !absolute && spread.min < limit && limit < spread.max {
            words.push_str(", within the spread");
        }
        if let Some(why) = self.provided.and_then(|one| one.fails(runs, headline)) {
            words = format!("not asked: {why}");
        }
        Verdict {
            asked,
            measured: format!("{:.digits$}", value / scale),
            spread: format!(
                "{:.digits$}..{:.digits$}",
                spread.min / scale,
                spread.max / scale
            ),
            reached: words,
        }
    }

    fn spread(&self, runs: &[Run], headline: Headline) -> Option<Spread> {
        match self.asked {
            Asked::Faster { baseline, .. } => speed(runs, headline, self.candidate, baseline),
            Asked::FasterThanBest { baselines, .. } => {
                let best = fastest(runs, headline, baselines)?;
                speed(runs, headline, self.candidate, best)
            }
            // The time of one over the time of the other is the speed of the other.
            Asked::TimeWithin { baseline, .. } => speed(runs, headline, baseline, self.candidate),
            Asked::AtMost { metric, .. } => {
                let values = measure::values(runs, self.candidate, metric);
                Spread::of(&without_rounds(&values))
            }
        }
    }

    fn text(&self) -> String {
        match self.asked {
            Asked::Faster { baseline, factor } => format!(">= {factor} x speed of {baseline}"),
            Asked::FasterThanBest { text, factor, .. } => format!(">= {factor} x speed of {text}"),
            Asked::TimeWithin { baseline, factor } => format!("<= {factor} x time of {baseline}"),
            Asked::AtMost { metric, text, .. } => format!("{metric} <= {text}"),
        }
    }
}

impl Provided {
    /// Returns why the goal does not count.
    fn fails(self, runs: &[Run], headline: Headline) -> Option<String> {
        let ratio = |(candidate, baseline): &(&str, &str)| {
            speed(runs, headline, candidate, baseline).map(|spread| spread.median)
        };
        let best = self.pairs.iter().filter_map(ratio).reduce(f64::max);
        match best {
            Some(best) if best >= self.factor => None,
            Some(best) => Some(format!("the raw loop reaches {best:.2}")),
            None => Some("the raw loop was not measured".to_owned()),
        }
    }
}

/// Returns how many times as fast as `baseline` the candidate was, round by round.
pub fn speed(runs: &[Run], headline: Headline, candidate: &str, baseline: &str) -> Option<Spread> {
    let own = measure::values(runs, candidate, headline.metric);
    let other = measure::values(runs, baseline, headline.metric);
    let ratios = if headline.higher_is_better {
        stats::ratios(&own, &other)
    } else {
        stats::ratios(&other, &own)
    };
    Spread::of(&ratios)
}

/// Returns the fastest of some candidates, by their medians.
pub fn fastest<'a>(runs: &[Run], headline: Headline, candidates: &[&'a str]) -> Option<&'a str> {
    let medians = candidates.iter().filter_map(|candidate| {
        let values = measure::values(runs, candidate, headline.metric);
        let median = Spread::of(&without_rounds(&values))?.median;
        Some((*candidate, median))
    });
    let best = medians.reduce(|best, other| {
        let is_better = (other.1 > best.1) == headline.higher_is_better;
        if is_better { other } else { best }
    });
    best.map(|(candidate, _)| candidate)
}

/// Drops the numbers of the rounds.
pub fn without_rounds(values: &[Rounded]) -> Vec<f64> {
    values.iter().map(|(_, value)| *value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Outcome, Sample};

    const HEADLINE: Headline = Headline {
        metric: "rate",
        unit: "GiB/s",
        higher_is_better: true,
    };

    fn run(candidate: &str, round: u32, rate: f64) -> Run {
        let mut sample = Sample::new();
        sample.add("rate", rate, "GiB/s");
        Run {
            candidate: candidate.to_owned(),
            round,
            outcome: Outcome::Measured(sample),
        }
    }

    fn judge(asked: Asked, runs: &[Run]) -> Verdict {
        Goal::new("ours", asked).judge(runs, HEADLINE)
    }

    #[test]
    fn speed_and_time_are_two_sides_of_one_ratio() {
        // Round 0 would say 100 times.
        let runs = [
            run("ours", 0, 100.0),
            run("raw", 0, 1.0),
            run("ours", 1, 4.0),
            run("raw", 1, 2.0),
        ];
        let (baseline, factor) = ("raw", 2.0);
        let faster = judge(Asked::Faster { baseline, factor }, &runs);
        assert_eq!(
            (faster.measured.as_str(), faster.reached.as_str()),
            ("2.00", "yes")
        );
        let factor = 0.4;
        let within = judge(Asked::TimeWithin { baseline, factor }, &runs);
        assert_eq!(
            (within.measured.as_str(), within.reached.as_str()),
            ("0.500", "NO")
        );
    }

    #[test]
    fn of_several_baselines_the_fastest_counts() {
        let runs = [
            run("ours", 1, 6.0),
            run("raw_1", 1, 2.0),
            run("raw_2", 1, 4.0),
        ];
        let asked = |baselines| Asked::FasterThanBest {
            baselines,
            text: "raw",
            factor: 2.0,
        };
        let verdict = judge(asked(&["raw_1", "raw_2", "raw_3"]), &runs);
        assert_eq!(
            (verdict.measured.as_str(), verdict.reached.as_str()),
            ("1.50", "NO")
        );
        assert_eq!(judge(asked(&["raw_1"]), &runs).reached, "yes");
        assert_eq!(judge(asked(&["raw_3"]), &runs).reached, "not measured");
    }

    #[test]
    fn a_limit_between_the_runs_is_said_to_be() {
        let runs = [
            run("ours", 1, 1.0),
            run("raw", 1, 1.0),
            run("ours", 2, 3.0),
            run("raw", 2, 1.0),
        ];
        let (baseline, factor) = ("raw", 1.5);
        let verdict = judge(Asked::Faster { baseline, factor }, &runs);
        assert_eq!(verdict.reached, "yes, within the spread");
        assert_eq!(verdict.spread, "1.00..3.00");
    }

    #[test]
    fn of_an_absolute_limit_the_worst_run_counts() {
        let runs = [run("ours", 1, 1.0), run("ours", 2, 9.0)];
        let asked = Asked::AtMost {
            metric: "rate",
            limit: 8.0,
            text: "8",
            scale: 1.0,
        };
        assert_eq!(judge(asked, &runs).reached, "NO");
    }

    #[test]
    fn a_goal_does_not_count_where_the_raw_loop_fails_it() {
        let runs = [
            run("ours", 1, 1.0),
            run("raw", 1, 1.0),
            run("raw_two", 1, 1.2),
        ];
        let mut goal = Goal::new(
            "ours",
            Asked::Faster {
                baseline: "raw",
                factor: 1.5,
            },
        );
        goal.provided = Some(Provided {
            pairs: &[("raw_two", "raw")],
            factor: 1.5,
        });
        let reached = goal.judge(&runs, HEADLINE).reached;
        assert_eq!(reached, "not asked: the raw loop reaches 1.20");
    }

    #[test]
    fn what_was_not_measured_is_not_reached() {
        let (baseline, factor) = ("raw", 1.0);
        let verdict = judge(Asked::Faster { baseline, factor }, &[run("raw", 1, 1.0)]);
        assert_eq!(verdict.reached, "not measured");
    }
}
