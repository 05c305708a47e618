//! Sizes and counts as people write and read them.

/// Digits after the point that count. The others are less than a byte.
const FRACTION_DIGITS_MAX: usize = 20;

/// Reads a size such as `64MiB`, `1.5G`, `2g` or `1048576`, in bytes.
///
/// Units are binary whatever their spelling: `K` and `KiB` are 1024 bytes. `KB` and
/// the like are refused, because many read them as powers of 1000.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, rest) = text.split_at(digits_len(text));
    let (fraction, unit) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits_len(rest)),
        None => ("", rest),
    };
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        "kb" | "mb" | "gb" | "tb" => {
            return Err("units are binary here: write M or MiB, not MB".to_owned());
        }
        _ => return Err("write a number with K, M, G, T or KiB, MiB, GiB, TiB".to_owned()),
    };
    if digits.is_empty() {
        return Err("a size starts with a number".to_owned());
    }
    let has_point = rest.starts_with('.');
    if has_point && (fraction.is_empty() || shift == 0) {
        return Err("write digits and a unit after the point, as in 1.5G".to_owned());
    }
    let too_large = || "larger than any memory or disk".to_owned();
    let count: u64 = digits.parse().map_err(|_overflow| too_large())?;
    let whole = count.checked_mul(1 << shift).ok_or_else(too_large)?;
    let rest = fraction_of(fraction, 1 << shift);
    whole.checked_add(rest).ok_or_else(too_large)
}

fn digits_len(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Returns that part of a unit of at most 2^40 bytes that the digits after the point stand for, cut
/// to whole bytes.
fn fraction_of(digits: &str, unit: u128) -> u64 {
    let mut numerator = 0;
    let mut denominator = 1;
    for digit in digits.bytes().take(FRACTION_DIGITS_MAX) {
        numerator = numerator * 10 + u128::from(digit - b'0');
        denominator *= 10;
    }
    u64::try_from(numerator * unit / denominator).unwrap_or(0)
}

/// Writes a number of bytes with the unit in which it has up to four digits.
pub(crate) fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes;
    let mut rest = 0;
    let mut unit = "bytes";
    for next in UNITS {
        if value < 1024 {
            break;
        }
        rest = value % 1024;
        value /= 1024;
        unit = next;
    }
    // Cut, not rounded: what is free or allowed is never shown as more than it is.
    match rest * 10 / 1024 {
        0 => format!("{value} {unit}"),
        tenths => format!("{value}.{tenths} {unit}"),
    }
}

/// Writes a number with a comma between groups of three digits.
pub(crate) fn format_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_binary_and_case_is_free() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("64MiB", 64 << 20),
            ("512M", 512 << 20),
            ("1GiB", 1 << 30),
            ("2g", 2 << 30),
            ("3 KiB", 3 << 10),
            ("1t", 1 << 40),
            // Was refused, although people write sizes so.
            ("1.5G", 3 << 29),
            ("0.25KiB", 256),
            ("2.0m", 2 << 20),
            // What is not a whole number of bytes is cut.
            ("1.1K", 1126),
            ("0.000000000000000001T", 0),
            ("1.000000000000000000000000000001K", 1024),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "", "M", "-1", "1.5", "1.5B", ".5G", "1.G", "1..5G", "1.5.0G", "1 0", "64MB", "1e9",
            "0x10", "64MiBs",
        ] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        assert!(parse_bytes("99999999999999999999").is_err());
        assert!(parse_bytes("99999999999T").is_err());
    }

    #[test]
    fn shown_sizes_are_short_and_never_too_large() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (64 << 20, "64 MiB"),
            (5 << 29, "2.5 GiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(format_bytes(bytes), text);
        }
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(format_count(count), text);
        }
    }
}
