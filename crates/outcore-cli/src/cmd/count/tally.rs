//! What is known of a group: how often it occurs, and what its numbers sum up to.

use outcore::external::GroupValue;

/// Digits after the point that sums keep.
const DIGITS: u32 = 9;

/// A group's value.
pub(crate) trait Tally: GroupValue + Send + Sync + 'static {
    /// Returns that of one record with this number.
    fn of(number: i128) -> Self;

    /// Takes that of more records in.
    fn add(&mut self, more: Self);

    fn count(&self) -> u64;

    fn set_count(&mut self, count: u64);

    /// Returns the sum, if there is one.
    fn sum(&self) -> Option<i128>;
}

impl Tally for u64 {
    fn of(_number: i128) -> Self {
        1
    }

    fn add(&mut self, more: Self) {
        *self += more;
    }

    fn count(&self) -> u64 {
        *self
    }

    fn set_count(&mut self, count: u64) {
        *self = count;
    }

    fn sum(&self) -> Option<i128> {
        None
    }
}

impl Tally for (u64, i128) {
    fn of(number: i128) -> Self {
        (1, number)
    }

    fn add(&mut self, (count, sum): Self) {
        self.0 += count;
        // Of 2^64 numbers below 10^18, no sum is too large.
        self.1 += sum;
    }

    fn count(&self) -> u64 {
        self.0
    }

    fn set_count(&mut self, count: u64) {
        self.0 = count;
    }

    fn sum(&self) -> Option<i128> {
        Some(self.1)
    }
}

/// Reads a decimal number, in units of its last digit.
pub(crate) fn parse(text: &[u8]) -> Option<i128> {
    let text = text.trim_ascii();
    let (is_negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mut parts = digits.splitn(2, |&byte| byte == b'.');
    let (whole, fraction) = (parts.next()?, parts.next().unwrap_or_default());
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // More digits would not fit, unless they are zeros.
    let zeros = whole.iter().take_while(|&&byte| byte == b'0').count();
    let last = fraction.iter().rposition(|&byte| byte != b'0');
    let fraction = &fraction[..last.map_or(0, |at| at + 1)];
    if whole.len() - zeros > 18 || fraction.len() > DIGITS as usize {
        return None;
    }
    let mut number: i128 = 0;
    for &byte in whole.iter().chain(fraction) {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i128::from(byte - b'0');
    }
    let missing = DIGITS - u32::try_from(fraction.len()).unwrap_or(0);
    number *= 10_i128.pow(missing);
    Some(if is_negative { -number } else { number })
}

/// Writes a sum as a decimal number.
pub(crate) fn format(sum: i128) -> String {
    let unit = 10_u128.pow(DIGITS);
    let (whole, rest) = (sum.unsigned_abs() / unit, sum.unsigned_abs() % unit);
    let sign = if sum < 0 { "-" } else { "" };
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let text = format!("{sign}{whole}.{rest:09}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact() {
        for (numbers, sum) in [
            (&["1", "2"][..], "3"),
            (&["0.1", "0.2"], "0.3"),
            (&["-0.5", "0.25"], "-0.25"),
            (
                &["0.000000001", "999999999999999999"],
                "999999999999999999.000000001",
            ),
            (&[" 7 ", "+1.50", ".5", "3."], "12"),
            (&["007.1000000000000"], "7.1"),
        ] {
            let numbers = numbers.iter().map(|text| parse(text.as_bytes()).unwrap());
            assert_eq!(format(numbers.sum()), sum);
        }
        for text in [
            "",
            "-",
            ".",
            "1e3",
            "1,5",
            "0x1",
            "0.0000000001",
            "1234567890123456789",
            "nan",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
