//! Numbers with a mantissa of 64 bits and an exponent of 15, to which the letter `g` rounds: C's `long
//! double` on x86.
//!
//! Sums and products of digits are exact, and rounded once, to the nearest and of two to the even one.

use std::cmp::Ordering;

/// A number that is not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Float {
    /// Zero for numbers that are less than the least with a full mantissa.
    exponent: u16,
    /// From the highest bit on, unless the exponent is zero.
    mantissa: u64,
}

/// The exponent of a mantissa whose highest bit stands for one.
const BIAS: i64 = 0x3fff;
const EXPONENT_MAX: i64 = 0x7ffe;

/// Digits that count; all others together are as good as one that is not zero.
const DIGITS_MAX: usize = 12_000;

impl Float {
    pub(crate) const ZERO: Self = Self {
        exponent: 0,
        mantissa: 0,
    };

    pub(crate) const INFINITE: Self = Self {
        exponent: 0x7fff,
        mantissa: 1 << 63,
    };

    pub(crate) fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// Returns it as bytes in the order of numbers.
    pub(crate) fn to_bytes(self, is_negative: bool) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&(self.exponent | 0x8000).to_be_bytes());
        bytes[2..].copy_from_slice(&self.mantissa.to_be_bytes());
        if is_negative {
            bytes = bytes.map(|byte| !byte);
        }
        bytes
    }

    /// Rounds `bits * 2^exponent`; `is_more` says that a little more is meant.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what does not fit the mantissa is what is rounded away"
    )]
    fn round(bits: u128, exponent: i64, is_more: bool) -> Self {
        if bits == 0 {
            return Self::ZERO;
        }
        let zeros = bits.leading_zeros();
        let bits = bits << zeros;
        // The highest bit stands for 2^scale.
        let scale = exponent + 127 - i64::from(zeros);
        let mut biased = scale + BIAS;
        // Bits below the mantissa: more of them where the exponent cannot be any less.
        let mut below = 64;
        if biased < 1 {
            below += 1 - biased;
            biased = 0;
        }
        let Some(below) = u32::try_from(below).ok().filter(|&below| below <= 128) else {
            return Self::ZERO;
        };
        let mantissa = bits.checked_shr(below).unwrap_or(0) as u64;
        let rest = if below == 128 {
            bits
        } else {
            bits & ((1 << below) - 1)
        };
        let half = 1 << (below - 1);
        let is_up = match rest.cmp(&half) {
            Ordering::Less => false,
            Ordering::Equal => is_more || mantissa % 2 == 1,
            Ordering::Greater => true,
        };
        let mut mantissa = mantissa;
        if is_up {
            let (sum, carries) = mantissa.overflowing_add(1);
            mantissa = sum;
            if carries {
                mantissa = 1 << 63;
                biased += 1;
            } else if biased == 0 && mantissa >> 63 == 1 {
                biased = 1;
            }
        }
        match u16::try_from(biased) {
            Ok(exponent) if biased <= EXPONENT_MAX => Self { exponent, mantissa },
            _ => Self::INFINITE,
        }
    }

    /// Rounds the number of decimal `digits` (their values, not their letters) times `10^exponent`.
    pub(crate) fn from_decimal(digits: impl Iterator<Item = u8>, mut exponent: i64) -> Self {
        let mut number = Vec::new();
        let mut first = 0_u64;
        let mut count = 0;
        let mut is_more = false;
        for digit in digits {
            if count == 0 && digit == 0 {
                continue;
            }
            if count == DIGITS_MAX {
                is_more |= digit != 0;
                exponent = exponent.saturating_add(1);
                continue;
            }
            count += 1;
            if count <= 19 {
                first = first * 10 + u64::from(digit);
            } else {
                if count == 20 {
                    number.push(first);
                }
                multiply(&mut number, 10, u64::from(digit));
            }
        }
        if count == 0 {
            return Self::ZERO;
        }
        let magnitude = exponent.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        if magnitude > 4_940 {
            return Self::INFINITE;
        }
        if magnitude < -4_970 {
            return Self::ZERO;
        }
        if count <= 19 {
            if let Some(exact) = Self::from_short(first, exponent) {
                return exact;
            }
            number.push(first);
        }
        if is_more {
            // Digits that were left out: one that is not zero stands for them.
            multiply(&mut number, 10, 1);
            exponent -= 1;
        }
        Self::from_long(number, exponent)
    }

    /// Does the same for a number that fits a word, and a power of five that does.
    fn from_short(number: u64, exponent: i64) -> Option<Self> {
        let power = u32::try_from(exponent.unsigned_abs()).ok()?;
        let five = 5_u64.checked_pow(power)?;
        if exponent >= 0 {
            let product = u128::from(number) * u128::from(five);
            return Some(Self::round(product, exponent, false));
        }
        let shift = number.leading_zeros() + 64;
        let number = u128::from(number) << shift;
        let five = u128::from(five);
        // More than 64 bits are left, since five has no more than 64.
        let quotient = number / five;
        if quotient >> 65 == 0 {
            return None;
        }
        let is_more = number % five != 0;
        Some(Self::round(quotient, exponent - i64::from(shift), is_more))
    }

    /// Does the same for any number.
    fn from_long(mut number: Vec<u64>, exponent: i64) -> Self {
        let mut power = exponent.unsigned_abs();
        let mut five = vec![1];
        let target = if exponent >= 0 {
            &mut number
        } else {
            &mut five
        };
        while power > 0 {
            let step = power.min(27);
            multiply(target, 5_u64.pow(u32::try_from(step).unwrap_or(0)), 0);
            power -= step;
        }
        if exponent >= 0 {
            let (bits, dropped, is_more) = top(&number);
            return Self::round(bits, exponent + dropped, is_more);
        }
        // A quotient of 127 bits, the first of which is set, by subtraction.
        let shift = bit_len(&five) - bit_len(&number);
        if shift > 0 {
            shift_left(&mut number, shift.unsigned_abs());
        } else {
            shift_left(&mut five, shift.unsigned_abs());
        }
        let mut quotient = 0_u128;
        for _ in 0..127 {
            quotient <<= 1;
            if compare(&number, &five).is_ge() {
                subtract(&mut number, &five);
                quotient |= 1;
            }
            shift_left(&mut number, 1);
        }
        let is_more = number.iter().any(|&word| word != 0);
        Self::round(quotient, exponent - shift - 126, is_more)
    }

    /// Rounds the number of hexadecimal `digits` (their values) times `2^exponent`.
    pub(crate) fn from_hexadecimal(digits: impl Iterator<Item = u8>, mut exponent: i64) -> Self {
        let mut bits = 0_u128;
        let mut is_more = false;
        for digit in digits {
            if bits >> 124 == 0 {
                bits = bits << 4 | u128::from(digit);
            } else {
                is_more |= digit != 0;
                exponent = exponent.saturating_add(4);
            }
        }
        // Far from both ends of what there is, and far from overflow.
        Self::round(bits, exponent.clamp(-1 << 40, 1 << 40), is_more)
    }

    /// Returns a whole number.
    pub(crate) fn from_whole(number: u64) -> Self {
        Self::round(u128::from(number), 0, false)
    }

    /// Returns the magnitude of a number of 64 bits that is no NaN.
    pub(crate) fn from_double(number: f64) -> Self {
        let bits = number.to_bits();
        let exponent = i64::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
        let mantissa = bits & ((1 << 52) - 1);
        match exponent {
            0x7ff => Self::INFINITE,
            0 => Self::round(u128::from(mantissa), -1074, false),
            _ => Self::round(u128::from(mantissa | 1 << 52), exponent - 1075, false),
        }
    }
}

/// Multiplies a number, lowest word first, and adds to it.
fn multiply(number: &mut Vec<u64>, factor: u64, more: u64) {
    let mut carry = more;
    for word in number.iter_mut() {
        let product = u128::from(*word) * u128::from(factor) + u128::from(carry);
        [*word, carry] = words(product);
    }
    if carry > 0 {
        number.push(carry);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn words(number: u128) -> [u64; 2] {
    [number as u64, (number >> 64) as u64]
}

fn bit_len(number: &[u64]) -> i64 {
    let used = number.iter().rposition(|&word| word != 0);
    used.map_or(0, |last| {
        let bits = (last + 1) * 64 - number[last].leading_zeros() as usize;
        i64::try_from(bits).unwrap_or(i64::MAX)
    })
}

/// Returns the highest 128 bits, how many are below, and whether one of those is set.
fn top(number: &[u64]) -> (u128, i64, bool) {
    let used = number.iter().rposition(|&word| word != 0).unwrap_or(0);
    let word = |at: Option<usize>| at.and_then(|at| number.get(at)).map_or(0, |&word| word);
    let three = [Some(used), used.checked_sub(1), used.checked_sub(2)].map(word);
    let zeros = three[0].leading_zeros();
    let high = u128::from(three[0]) << 64 | u128::from(three[1]);
    let low = three[2].checked_shr(64 - zeros).unwrap_or(0);
    let bits = high << zeros | u128::from(low);
    let lost = three[2] << zeros != 0;
    let below = number.iter().take(used.saturating_sub(2));
    let is_more = lost || below.into_iter().any(|&word| word != 0);
    let dropped = i64::try_from(used).unwrap_or(i64::MAX) * 64 - 64 - i64::from(zeros);
    (bits, dropped, is_more)
}

fn shift_left(number: &mut Vec<u64>, bits: u64) {
    let words = usize::try_from(bits / 64).unwrap_or(usize::MAX);
    number.splice(0..0, std::iter::repeat_n(0, words));
    let bits = u32::try_from(bits % 64).unwrap_or(0);
    if bits == 0 {
        return;
    }
    let mut carry = 0;
    for word in number.iter_mut() {
        let next = *word >> (64 - bits);
        *word = *word << bits | carry;
        carry = next;
    }
    if carry > 0 {
        number.push(carry);
    }
}

fn compare(number: &[u64], other: &[u64]) -> Ordering {
    let word = |number: &[u64], at: usize| number.get(at).map_or(0, |&word| word);
    let words = (0..number.len().max(other.len())).rev();
    let mut unequal = words.map(|at| word(number, at).cmp(&word(other, at)));
    unequal
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Subtracts a number that is not greater.
fn subtract(number: &mut [u64], other: &[u64]) {
    let mut borrow = false;
    for (at, word) in number.iter_mut().enumerate() {
        let (less, first) = word.overflowing_sub(other.get(at).map_or(0, |&word| word));
        let (less, second) = less.overflowing_sub(u64::from(borrow));
        *word = less;
        borrow = first || second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn decimal(text: &str, exponent: i64) -> Float {
        Float::from_decimal(text.bytes().map(|digit| digit - b'0'), exponent)
    }

    #[test]
    fn a_number_that_was_rounded_once_is_rounded_to_itself() {
        // A double has a mantissa that fits, and its shortest form is nearer to it than to any
        // other double, but not exact: so its exact digits are taken.
        let mut random = Random::new(5);
        for _ in 0..300 {
            let number = f64::from_bits(random.next() & (u64::MAX >> 1));
            if !number.is_finite() {
                continue;
            }
            let text = format!("{number:.1100}");
            let (whole, fraction) = text.split_once('.').unwrap();
            let exponent = -i64::try_from(fraction.len()).unwrap();
            let digits = format!("{whole}{fraction}");
            assert_eq!(
                decimal(&digits, exponent),
                Float::from_double(number),
                "{number:e}"
            );
        }
    }

    #[test]
    fn short_and_long_ways_agree() {
        let mut random = Random::new(6);
        for _ in 0..2000 {
            let number = random.next() >> random.below(64);
            let exponent = i64::try_from(random.below(55)).unwrap() - 27;
            if number == 0 {
                continue;
            }
            let short = Float::from_short(number, exponent);
            let long = Float::from_long(vec![number], exponent);
            assert!(
                short.is_none_or(|short| short == long),
                "{number}e{exponent}"
            );
            // The same number with zeros at its end is too long for the short way.
            let digits = format!("{number}{}", "0".repeat(20));
            assert_eq!(decimal(&digits, exponent - 20), long, "{number}e{exponent}");
        }
    }

    #[test]
    fn halves_are_rounded_to_even_and_a_little_more_upwards() {
        let one = |text: &str| decimal(text, 0);
        // 2^64 + 1 lies between 2^64 and 2^64 + 2.
        assert_eq!(one("18446744073709551617"), one("18446744073709551616"));
        assert_eq!(one("18446744073709551619"), one("18446744073709551620"));
        assert!(one("18446744073709551617") < one("18446744073709551618"));
        let more = format!("18446744073709551617{}1", "0".repeat(DIGITS_MAX));
        let exponent = -i64::try_from(DIGITS_MAX + 1).unwrap();
        assert_eq!(decimal(&more, exponent), one("18446744073709551618"));
    }

    #[test]
    fn both_ends_are_where_x86_has_them() {
        assert_eq!(decimal("1", 4933), Float::INFINITE);
        assert!(decimal("118973149535723176502", 4912) < Float::INFINITE);
        assert_eq!(decimal("118973149535723176509", 4912), Float::INFINITE);
        assert_eq!(decimal("1", -4950).mantissa, 3);
        assert_eq!(decimal("2", -4951).mantissa, 1);
        assert_eq!(decimal("1", -4951), Float::ZERO);
        assert!(decimal("1", -4940) > decimal("9", -4941));
        let hexadecimal = |exponent| Float::from_hexadecimal([1].into_iter(), exponent);
        assert_eq!(hexadecimal(-16_445).mantissa, 1);
        assert_eq!(hexadecimal(-16_446), Float::ZERO);
        assert_eq!(
            hexadecimal(-16_382),
            Float {
                exponent: 1,
                mantissa: 1 << 63
            }
        );
        assert_eq!(hexadecimal(16_384), Float::INFINITE);
        assert_eq!(hexadecimal(i64::MAX), Float::INFINITE);
        assert_eq!(hexadecimal(i64::MIN), Float::ZERO);
    }

    #[test]
    fn whole_numbers_and_digits_are_one() {
        for number in [0, 1, 9, 10, 12_345_678_901_234_567_890, u64::MAX] {
            assert_eq!(Float::from_whole(number), decimal(&number.to_string(), 0));
        }
        let digits = || [15, 15, 0, 1].into_iter();
        assert_eq!(
            Float::from_hexadecimal(digits(), 0),
            Float::from_whole(0xff01)
        );
        assert_eq!(
            Float::from_hexadecimal(digits(), -4),
            decimal("40800625", -4),
            "0xff01 / 16"
        );
    }
}
