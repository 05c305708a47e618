//! How the time of a whole call is shared out among its workloads.
//!
//! What a workload takes stands in the records of earlier calls: each says how long preparing took,
//! and how long a round. Rounds are what time is saved with: those of workloads without goals first,
//! and of each kind all alike. Where one round of everything is too much already, the least
//! important workloads are left out by name.

use std::time::Duration;

use crate::goals::Kept;
use crate::record::Record;

/// How facts about time begin in a record; the name of the workload follows.
const PREPARING: &str = "seconds_preparing ";
const ROUND: &str = "seconds_a_round ";

/// What preparing and a round are thought to take where nobody knows it: quick, and full.
const GUESSES: [f64; 2] = [1.5, 10.0];

/// A round is cheap if it takes at most one part in so many of the whole time.
const CHEAP: f64 = 1000.0;

/// So many rounds of what is cheap are not saved.
const ROUNDS_OF_CHEAP: u32 = 5;

/// How much longer than expected a workload may take before its rounds are cut.
const SLACK: f64 = 1.25;

/// The shortest time that rounds are cut after.
const LEAST: f64 = 1.0;

/// What a workload takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Seconds before the first round, once.
    pub preparing: f64,
    /// Seconds of a round of all its candidates.
    pub round: f64,
    /// Whether no record says so.
    pub is_guess: bool,
}

/// What is thought to be the cost of the workloads whose names begin so, for `--full`.
#[derive(Clone, Copy, Debug)]
pub struct Guess {
    /// How their names begin.
    pub prefix: &'static str,
    /// Seconds before the first round.
    pub preparing: f64,
    /// Seconds of a round.
    pub round: f64,
}

/// What a workload wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// What it takes.
    pub cost: Cost,
    /// The rounds that count.
    pub rounds: u32,
    /// Whether something is asked of it.
    pub has_goals: bool,
}

/// What a workload gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The rounds that count; 0 for a workload that is left out.
    pub rounds: u32,
    /// Seconds that all of it is expected to take.
    pub seconds: f64,
    /// Seconds of these for rounds, the one that is thrown away too.
    pub round_seconds: f64,
}

impl Cost {
    /// Finds in the newest record of the same kind of call what a workload took; guesses
    /// otherwise.
    pub fn of(workload: &str, kept: &[Kept], guesses: &[Guess], full: bool) -> Self {
        let alike = kept.iter().filter(|one| is_full(&one.record) == full);
        let mut found = alike.filter_map(|one| {
            let seconds = |kind: &str| -> Option<f64> {
                let fact = one.record.fact(&format!("{kind}{workload}"))?;
                fact.parse().ok()
            };
            Some((seconds(PREPARING)?, seconds(ROUND)?))
        });
        let known = found.next();
        let mut guesses = guesses.iter();
        let guess = guesses.find(|guess| full && workload.starts_with(guess.prefix));
        let any = GUESSES[usize::from(full)];
        let guess = guess.map_or((any, any), |guess| (guess.preparing, guess.round));
        let (preparing, round) = known.unwrap_or(guess);
        Self {
            preparing,
            round,
            is_guess: known.is_none(),
        }
    }

    /// Writes it down for later calls.
    pub fn note(&self, workload: &str, record: &mut Record) {
        for (kind, seconds) in [(PREPARING, self.preparing), (ROUND, self.round)] {
            record.add_fact(&format!("{kind}{workload}"), &format!("{seconds:.3}"));
        }
    }
}

impl Wish {
    fn share(&self, rounds: u32) -> Share {
        let rounds = rounds.min(self.rounds);
        let thrown_away = u32::from(self.rounds > 1);
        let round_seconds = f64::from(rounds + thrown_away) * self.cost.round;
        Share {
            rounds,
            seconds: self.cost.preparing + round_seconds,
            round_seconds,
        }
    }
}

impl Share {
    /// Returns how long the rounds may take before they are cut.
    pub fn rounds_until(&self) -> Duration {
        Duration::from_secs_f64((SLACK * self.round_seconds).max(LEAST))
    }
}

/// A share of a workload that is left out.
const NOTHING: Share = Share {
    rounds: 0,
    seconds: 0.0,
    round_seconds: 0.0,
};

fn is_full(record: &Record) -> bool {
    let command = record.fact("command").unwrap_or_default();
    command.split_whitespace().any(|word| word == "--full")
}

/// Shares `seconds` out among workloads, the most important first.
pub fn shares(wishes: &[Wish], seconds: Option<f64>) -> Vec<Share> {
    let cheap = seconds.map_or(0.0, |seconds| seconds / CHEAP);
    let all = |with_goals: u32, others: u32, kept: usize| -> Vec<Share> {
        let shares = wishes.iter().enumerate().map(|(index, wish)| {
            let rounds = if wish.has_goals { with_goals } else { others };
            let is_cheap = wish.cost.round <= cheap;
            let least = if is_cheap { ROUNDS_OF_CHEAP } else { 1 };
            if index < kept {
                wish.share(rounds.max(least))
            } else {
                NOTHING
            }
        });
        shares.collect()
    };
    let most = wishes.iter().map(|wish| wish.rounds).max().unwrap_or(0);
    let Some(seconds) = seconds else {
        return all(most, most, wishes.len());
    };
    let fits = |shares: &[Share]| total(shares) <= seconds;
    let mut counts = (0..=wishes.len()).rev();
    let kept = counts.find(|kept| fits(&all(1, 1, *kept))).unwrap_or(0);
    let largest = |shares: &dyn Fn(u32) -> Vec<Share>| {
        let mut rounds = (1..=most).rev();
        rounds.find(|rounds| fits(&shares(*rounds))).unwrap_or(1)
    };
    let with_goals = largest(&|rounds| all(rounds, 1, kept));
    let others = largest(&|rounds| all(with_goals, rounds, kept));
    let mut shares = all(with_goals, others, kept);
    // What is left is enough for another round of some.
    for (index, wish) in wishes.iter().enumerate().take(kept) {
        let more = wish.share(shares[index].rounds + 1);
        if total(&shares) - shares[index].seconds + more.seconds <= seconds {
            shares[index] = more;
        }
    }
    shares
}

/// Returns the seconds of all shares together.
pub fn total(shares: &[Share]) -> f64 {
    shares.iter().map(|share| share.seconds).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn cost(preparing: f64, round: f64) -> Cost {
        Cost {
            preparing,
            round,
            is_guess: false,
        }
    }

    fn wish(preparing: f64, round: f64, rounds: u32, has_goals: bool) -> Wish {
        Wish {
            cost: cost(preparing, round),
            rounds,
            has_goals,
        }
    }

    fn rounds(wishes: &[Wish], seconds: f64) -> Vec<u32> {
        let shares = shares(wishes, Some(seconds));
        assert!(total(&shares) <= seconds);
        shares.iter().map(|share| share.rounds).collect()
    }

    #[test]
    fn all_save_rounds_alike_and_the_rest_goes_to_the_important() {
        // The last one wants one round, and throws none away.
        let wishes = [
            wish(1.0, 2.0, 5, true),
            wish(0.0, 1.0, 5, true),
            wish(0.0, 2.0, 1, true),
        ];
        assert_eq!(rounds(&wishes, 100.0), [5, 5, 1]);
        // Three rounds of all are 1 + 8, 4 and 2 seconds.
        assert_eq!(rounds(&wishes, 15.0), [3, 3, 1]);
        assert_eq!(rounds(&wishes, 17.0), [4, 3, 1]);
        assert_eq!(rounds(&wishes, 9.0), [1, 1, 1]);
    }

    #[test]
    fn what_has_no_goals_saves_first() {
        let wishes = [wish(0.0, 1.0, 5, false), wish(0.0, 1.0, 5, true)];
        assert_eq!(rounds(&wishes, 4.0), [1, 1]);
        assert_eq!(rounds(&wishes, 8.0), [1, 5]);
        assert_eq!(rounds(&wishes, 9.0), [2, 5]);
    }

    #[test]
    fn cheap_rounds_are_not_saved() {
        // Of both, a round and one that is thrown away are 1000 and 1 seconds.
        let wishes = [wish(0.0, 500.0, 5, true), wish(0.0, 0.5, 5, false)];
        assert_eq!(rounds(&wishes, 1002.0), [1, 0]);
        assert_eq!(rounds(&wishes, 1003.0), [1, 5]);
        assert_eq!(rounds(&wishes, 1503.0), [2, 5]);
    }

    #[test]
    fn the_least_important_are_left_out_first() {
        let wishes = [wish(1.0, 2.0, 5, true), wish(0.0, 1.0, 5, true)];
        assert_eq!(rounds(&wishes, 6.0), [1, 0]);
        assert_eq!(rounds(&wishes, 4.0), [0, 0]);
        assert_eq!(shares(&wishes, None)[1].rounds, 5);
    }

    #[test]
    fn a_record_says_what_a_workload_takes() {
        let facts = [("command".to_owned(), "--full --only x".to_owned())];
        let mut record = Record::new(&facts);
        cost(1.5, 0.25).note("push/1GiB", &mut record);
        let record = Record::from_csv(&record.to_csv()).unwrap();
        let kept = [Kept {
            path: PathBuf::new(),
            record,
        }];
        let thought = [Guess {
            prefix: "push/",
            preparing: 7.0,
            round: 8.0,
        }];
        let of = |name: &str, full| Cost::of(name, &kept, &thought, full);
        assert_eq!(of("push/1GiB", true), cost(1.5, 0.25));
        assert!(of("push/1GiB", false).is_guess);
        let guessed = of("push/4GiB", true);
        assert!(guessed.is_guess);
        assert_eq!(
            Cost {
                is_guess: false,
                ..guessed
            },
            cost(7.0, 8.0)
        );
    }
}
