//! Medians and spreads. No means: one bad run must not move a number.

/// The middle and the ends of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle value; of an even count the mean of the two in the middle.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// How many values there were.
    pub count: usize,
}

impl Spread {
    /// Summarises `values`; `None` if there are none, or one is not a number.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| value.is_nan()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self {
            median,
            min: sorted[0],
            max: sorted[sorted.len() - 1],
            count: sorted.len(),
        })
    }

    /// Tells whether `value` lies inside the spread, ends included.
    pub fn contains(&self, value: f64) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

/// A value and the round that it comes from.
pub type Rounded = (u32, f64);

/// Returns `over / under` for every round that both have.
///
/// On a machine that others use too, absolute values of two rounds cannot be
/// compared; ratios within a round can.
pub fn ratios(over: &[Rounded], under: &[Rounded]) -> Vec<f64> {
    let partner = |round: u32| under.iter().find(|(other, _)| *other == round);
    over.iter()
        .filter_map(|(round, value)| partner(*round).map(|(_, other)| value / other))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_odd_count_is_the_middle_one() {
        let spread = Spread::of(&[9.0, 1.0, 2.0]).unwrap();
        assert_eq!(
            (spread.median, spread.min, spread.max, spread.count),
            (2.0, 1.0, 9.0, 3)
        );
    }

    #[test]
    fn the_median_of_an_even_count_is_between_the_middle_two() {
        let spread = Spread::of(&[4.0, 1.0, 2.0, 100.0]).unwrap();
        assert!((spread.median - 3.0).abs() < 1e-12);
        assert!(spread.contains(100.0) && !spread.contains(0.5));
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine became ten times slower in round 2: the ratio does not notice.
        let over = [(1, 2.0), (2, 20.0), (3, 2.0)];
        let under = [(2, 10.0), (1, 1.0)];
        assert_eq!(ratios(&over, &under), [2.0, 2.0]);
    }
}
