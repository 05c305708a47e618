//! The value of `$OUTCORE_SPILL`: parsing only.

/// Returns the threshold in a value of `$OUTCORE_SPILL`, or `None` if it is invalid.
pub(super) fn parse_threshold(value: &[u8]) -> Option<usize> {
    let value = value.trim_ascii();
    if value.eq_ignore_ascii_case(b"off") {
        return Some(usize::MAX);
    }
    let digits = value
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (number, unit) = value.split_at_checked(digits)?;
    let number = std::str::from_utf8(number).ok()?.parse::<usize>().ok()?;
    let shift = match unit.trim_ascii() {
        b"" | b"B" => 0,
        b"K" | b"KiB" => 10,
        b"M" | b"MiB" => 20,
        b"G" | b"GiB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_have_units_or_are_off() {
        assert_eq!(parse_threshold(b"64MiB"), Some(64 << 20));
        assert_eq!(parse_threshold(b" 5 K "), Some(5 << 10));
        assert_eq!(parse_threshold(b"4096"), Some(4096));
        assert_eq!(parse_threshold(b"1G"), Some(1 << 30));
        assert_eq!(parse_threshold(b"OFF"), Some(usize::MAX));
        for nonsense in [
            &b""[..],
            b"MiB",
            b"-1",
            b"12 parsecs",
            b"99999999999999999999",
        ] {
            assert_eq!(parse_threshold(nonsense), None, "{nonsense:?}");
        }
    }
}
