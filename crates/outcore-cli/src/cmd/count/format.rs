//! How a group is written.

use crate::cmd::count::args::Format;
use crate::cmd::count::keys::Keys;
use crate::cmd::count::tally;
use crate::record::order::csv;

/// Writes groups.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) format: Format,
    pub(crate) keys: &'a Keys,
    pub(crate) has_sum: bool,
    /// Between the parts of a key, in text.
    pub(crate) tab: u8,
    pub(crate) end: u8,
}

impl Writer<'_> {
    /// Appends what comes before all groups.
    pub(crate) fn header(&self, text: &mut Vec<u8>) {
        if self.format != Format::Csv {
            return;
        }
        text.extend_from_slice(b"count");
        if self.has_sum {
            text.extend_from_slice(b",sum");
        }
        for name in &self.keys.names {
            text.push(b',');
            csv::push_field(name.as_bytes(), b',', text);
        }
        text.push(b'\n');
    }

    /// Appends what comes before the key of a group.
    pub(crate) fn begin(&self, count: u64, sum: Option<i128>, text: &mut Vec<u8>) {
        match self.format {
            Format::Text => {
                push_count(count, text);
                if let Some(sum) = sum {
                    text.extend_from_slice(tally::format(sum).as_bytes());
                    text.push(b' ');
                }
            }
            Format::Csv => {
                text.extend_from_slice(count.to_string().as_bytes());
                if let Some(sum) = sum {
                    text.push(b',');
                    text.extend_from_slice(tally::format(sum).as_bytes());
                }
            }
            Format::Json => {
                text.extend_from_slice(b"{\"count\":");
                text.extend_from_slice(count.to_string().as_bytes());
                if let Some(sum) = sum {
                    text.extend_from_slice(b",\"sum\":");
                    text.extend_from_slice(tally::format(sum).as_bytes());
                }
            }
        }
    }

    /// Appends a group.
    pub(crate) fn group(&self, count: u64, sum: Option<i128>, key: &[u8], text: &mut Vec<u8>) {
        self.begin(count, sum, text);
        if self.format == Format::Text && self.keys.names.len() == 1 {
            text.extend_from_slice(key);
            text.push(self.end);
            return;
        }
        let parts = self.keys.parts(key);
        for (number, (part, name)) in parts.iter().zip(&self.keys.names).enumerate() {
            match self.format {
                Format::Text => {
                    if number > 0 {
                        text.push(self.tab);
                    }
                    text.extend_from_slice(part);
                }
                Format::Csv => {
                    text.push(b',');
                    csv::push_field(part, b',', text);
                }
                Format::Json => {
                    let value = String::from_utf8_lossy(part);
                    text.push(b',');
                    push_json(name, text);
                    text.push(b':');
                    push_json(&value, text);
                }
            }
        }
        if self.format == Format::Json {
            text.push(b'}');
        }
        text.push(self.end);
    }
}

/// Appends a count as `uniq -c` does.
fn push_count(mut count: u64, text: &mut Vec<u8>) {
    let mut digits = [b' '; 21];
    let mut at = digits.len() - 1;
    while at == digits.len() - 1 || count > 0 {
        at -= 1;
        digits[at] = b'0' + u8::try_from(count % 10).unwrap_or(0);
        count /= 10;
    }
    // Seven columns, and a blank.
    text.extend_from_slice(&digits[at.min(digits.len() - 8)..]);
}

/// Appends text as JSON has it.
fn push_json(value: &str, text: &mut Vec<u8>) {
    // Writing text to memory cannot fail.
    serde_json::to_writer(text, value).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stand_as_uniq_writes_them() {
        for count in [
            0,
            1,
            9,
            10,
            999_999,
            1_000_000,
            9_999_999,
            10_000_000,
            u64::MAX,
        ] {
            let mut text = Vec::new();
            push_count(count, &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), format!("{count:>7} "));
        }
    }
}
