//! The obvious way to read one field of a JSON object (RFC 8259): from left to right, without
//! backtracking.

/// Returns the text of a field, if `json` is an object that has it once, as a string. All other
/// values are only checked for their syntax.
pub(crate) fn field(json: &[u8], name: &str) -> Option<String> {
    let mut text = Text(json);
    let mut found = None;
    text.open(b'{')?;
    let mut is_first = true;
    while !text.close(b'}', &mut is_first)? {
        let key = String::from_utf8(text.string(true)?).ok()?;
        text.open(b':')?;
        if key != name {
            text.value()?;
            continue;
        }
        text.space();
        let value = String::from_utf8(text.string(true)?).ok()?;
        if found.replace(value).is_some() {
            return None;
        }
    }
    text.space();
    found.filter(|_| text.0.is_empty())
}

/// The unread text.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn takes(&mut self, wanted: &[u8]) -> bool {
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn open(&mut self, wanted: u8) -> Option<()> {
        self.space();
        (self.next()? == wanted).then_some(())
    }

    /// Returns whether a list ends here; otherwise consumes the comma.
    fn close(&mut self, end: u8, is_first: &mut bool) -> Option<bool> {
        self.space();
        if self.takes(&[end]) {
            return Some(true);
        }
        if !std::mem::take(is_first) {
            self.open(b',')?;
            self.space();
        }
        Some(false)
    }

    /// Reads a string; returns its text if `counts`, otherwise only checks the syntax.
    fn string(&mut self, counts: bool) -> Option<Vec<u8>> {
        self.open(b'"')?;
        let mut bytes = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Some(bytes),
                b'\\' => {
                    let character = self.escape(counts)?;
                    bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..0x20 => return None,
                byte => bytes.push(byte),
            }
        }
    }

    fn escape(&mut self, counts: bool) -> Option<char> {
        Some(match self.next()? {
            character @ (b'"' | b'\\' | b'/') => char::from(character),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                if !counts {
                    return Some(' ');
                }
                let mut units = vec![unit];
                if (0xD800..0xDC00).contains(&unit) {
                    if !self.takes(b"\\u") {
                        return None;
                    }
                    units.push(self.unit()?);
                }
                char::decode_utf16(units).next()?.ok()?
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u16> {
        let (digits, rest) = self.0.split_at_checked(4)?;
        self.0 = rest;
        digits.iter().try_fold(0, |unit, digit| {
            let value = char::from(*digit).to_digit(16)?;
            Some(unit << 4 | u16::try_from(value).ok()?)
        })
    }

    /// Reads a value of any depth without recursion.
    fn value(&mut self) -> Option<()> {
        let mut open = Vec::new();
        loop {
            self.space();
            let mut is_first = false;
            match *self.0.first()? {
                b'"' => drop(self.string(false)?),
                bracket @ (b'{' | b'[') => {
                    self.next();
                    open.push(bracket + 2);
                    is_first = true;
                }
                b'-' | b'0'..=b'9' => self.number()?,
                _ => {
                    let words: [&[u8]; 3] = [b"true", b"false", b"null"];
                    if !words.iter().any(|word| self.takes(word)) {
                        return None;
                    }
                }
            }
            // Go to the next value, past the ends of open lists and objects.
            loop {
                let Some(end) = open.last() else {
                    return Some(());
                };
                if self.close(*end, &mut is_first)? {
                    open.pop();
                    is_first = false;
                    continue;
                }
                if *end == b'}' {
                    self.string(false)?;
                    self.open(b':')?;
                }
                break;
            }
        }
    }

    fn digits(&mut self) -> Option<()> {
        let count = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.0 = &self.0[count..];
        (count > 0).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        self.takes(b"-");
        if !self.takes(b"0") {
            self.digits()?;
        } else if self.0.first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        if self.takes(b".") {
            self.digits()?;
        }
        if self.takes(b"e") || self.takes(b"E") {
            let _sign = self.takes(b"+") || self.takes(b"-");
            self.digits()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_reads_what_the_standard_says() {
        let read = |json: &str| field(json.as_bytes(), "a");
        for (json, expected) in [
            (r#"{"a":"x"}"#, "x"),
            (
                " { \"b\" : [1, -0.5e+3, {\"a\":[]}] , \"a\":\"\\u0041\\ud83d\\ude00\" } ",
                "A\u{1f600}",
            ),
            (r#"{"\u0061":"\n\/","b":{}}"#, "\n/"),
        ] {
            assert_eq!(read(json).as_deref(), Some(expected), "{json}");
        }
        for json in [
            "",
            "{}",
            r#"{"a":1}"#,
            r#"{"a":"x",}"#,
            r#"{"a":"x","a":"x"}"#,
            r#"["a"]"#,
            r#"{"a":"x"}{"#,
            r#"{"b":01,"a":"x"}"#,
            r#"{"b":[,],"a":"x"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"b":tru,"a":"x"}"#,
            r#"{"b":[1 2],"a":"x"}"#,
            "{\"a\":\"\u{1}\"}",
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
