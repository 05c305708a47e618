//! Comma separated values as RFC 4180 has them: written, and read again.

use crate::failure::{Failure, Result};

/// Appends a line to `text`, with quotes where a field needs them.
pub fn write_line(text: &mut String, fields: &[&str]) {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        if field.contains(['"', ',', '\n', '\r']) {
            text.push('"');
            text.push_str(&field.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(field);
        }
    }
    text.push('\n');
}

/// Splits `text` into lines of fields.
///
/// # Errors
///
/// A quote that opens and does not close, or stands in the middle of a field.
pub fn parse(text: &str) -> Result<Vec<Vec<String>>> {
    let mut lines = Vec::new();
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut letters = text.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        match (quoted, letter) {
            (true, '"') if letters.peek() == Some(&'"') => {
                field.push('"');
                letters.next();
            }
            (true, '"') => quoted = false,
            (false, '"') if field.is_empty() => quoted = true,
            (false, '"') => {
                let line = lines.len() + 1;
                return Err(Failure::new(format!("line {line}: a quote inside a field")));
            }
            (false, ',') => fields.push(std::mem::take(&mut field)),
            (false, '\n') => {
                fields.push(std::mem::take(&mut field));
                lines.push(std::mem::take(&mut fields));
            }
            (false, '\r') => {}
            (_, other) => field.push(other),
        }
    }
    if quoted {
        return Err(Failure::new("a quote that does not close"));
    }
    if !field.is_empty() || !fields.is_empty() {
        fields.push(field);
        lines.push(fields);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fields_that_need_quotes_get_them() {
        let mut text = String::new();
        write_line(&mut text, &["plain", "", "a,b", "say \"hi\"", "two\nlines"]);
        assert_eq!(text, "plain,,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\n");
    }

    #[test]
    fn what_was_written_is_read() {
        let lines = [
            vec!["a", "b,c", "d\"e\"", ""],
            vec!["", "\"", ",", "x\r\ny"],
            vec!["last", "1", "2", "3"],
        ];
        let mut text = String::new();
        for line in &lines {
            write_line(&mut text, line);
        }
        assert_eq!(parse(&text).unwrap(), lines);
    }

    #[test]
    fn broken_quotes_are_errors() {
        assert!(parse("\"open").is_err());
        assert!(parse("mid\"dle\n").is_err());
    }
}
