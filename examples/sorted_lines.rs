//! Writes the lines of a text of any length in order and without repeats, as `sort -u` does, within
//! the memory that `$OUTCORE_MEMORY` sets; then finds a line by its beginning.
//!
//! `OUTCORE_MEMORY=64M cargo run --release --example sorted_lines -- text.txt begin`

use std::io::{BufRead, BufReader, BufWriter, Write};

use outcore::{MemoryBudget, StrVec};

/// The text that is used without an argument.
const TEXT: &str = "pear\napple\nplum\napple\nfig\npeach\n";

/// Returns the lines of a text in order, each once.
fn sorted(text: impl BufRead, budget: &MemoryBudget) -> outcore::Result<StrVec> {
    // As long as the budget has memory for them, the lines are in memory, and there is no file.
    let mut lines = StrVec::with_budget(budget);
    for line in text.lines() {
        lines.push(line?)?;
    }
    lines.sort_external_unique(budget)?;
    Ok(lines)
}

/// Runs the example.
pub(crate) fn main() -> outcore::Result<()> {
    let budget = MemoryBudget::from_env()?;
    let mut arguments = std::env::args_os().skip(1);
    let path = arguments
        .next()
        .filter(|path| std::path::Path::new(path).is_file());
    let lines = match path {
        Some(path) => {
            let file = std::fs::OpenOptions::new().read(true).open(path)?;
            sorted(BufReader::new(file), &budget)?
        }
        None => sorted(TEXT.as_bytes(), &budget)?,
    };
    let mut out = BufWriter::new(std::io::stdout());
    for line in lines.scan() {
        writeln!(out, "{line}")?;
    }
    let begin = arguments.next().unwrap_or_else(|| "pe".into());
    let begin = begin.to_string_lossy();
    let first = lines.partition_point(|line| line < &*begin);
    let found = lines
        .range(first..)
        .take_while(|line| line.starts_with(&*begin));
    writeln!(out, "{} lines begin with {begin}", found.count())?;
    out.flush()?;
    Ok(())
}
