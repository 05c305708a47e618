//! Counts the words of a text of any length, as `tr | sort | uniq -c` does, within the memory that
//! `$OUTCORE_MEMORY` sets.
//!
//! `OUTCORE_MEMORY=64M cargo run --release --example word_count -- text.txt`

use std::io::{BufRead, BufReader, BufWriter, Write};

use outcore::MemoryBudget;
use outcore::external::BytesAggregator;

/// The text that is used without an argument.
const TEXT: &str = "so many words, and so few of them\nthat so many are the same";

/// Counts the words of a text, and writes each word with its count, in the order of the words.
fn count(mut text: impl BufRead, budget: &MemoryBudget, out: impl Write) -> outcore::Result<()> {
    let mut counts = BytesAggregator::new(budget, |count: &mut u64, more: u64| {
        *count = count.saturating_add(more);
    });
    let mut line = Vec::new();
    while text.read_until(b'\n', &mut line)? > 0 {
        let words = line.split(|byte| !byte.is_ascii_alphanumeric() && byte.is_ascii());
        for word in words.filter(|word| !word.is_empty()) {
            counts.add(word, 1)?;
        }
        line.clear();
    }
    let (mut words, mut out) = (counts.finish()?, BufWriter::new(out));
    while let Some((word, count)) = words.next()? {
        write!(out, "{count:7} ")?;
        out.write_all(word)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// Runs the example.
pub(crate) fn main() -> outcore::Result<()> {
    let budget = MemoryBudget::from_env()?;
    let out = std::io::stdout();
    match std::env::args_os()
        .nth(1)
        .filter(|path| std::path::Path::new(path).is_file())
    {
        Some(path) => {
            let file = std::fs::OpenOptions::new().read(true).open(path)?;
            count(BufReader::new(file), &budget, out)
        }
        None => count(TEXT.as_bytes(), &budget, out),
    }
}
