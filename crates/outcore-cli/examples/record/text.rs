//! The tables of `sort`, `count` and `shuf`.

use crate::rows::{Record, median};
use crate::tables::{DISK, memory, mib, sorted, spread};

/// The parts of a record, and what they are called.
const PARTS: [(&str, &str); 8] = [
    ("sort", "Lines, memory to spare, a warm page cache"),
    ("numbers", "Lines that begin with a number, by it, warm"),
    (
        "unique",
        "One of each distinct line, warm (`dedup` keeps the order of the input)",
    ),
    (
        "count",
        "How often each line occurs, most frequent first, warm",
    ),
    ("shuf", "A shuffle, warm"),
    ("sort-tight", "Lines, in a memory group, a cold page cache"),
    (
        "count-tight",
        "How often each line occurs, in a memory group, cold",
    ),
    ("shuf-tight", "A shuffle, in a memory group, cold"),
];

/// Returns all tables of a record.
pub(crate) fn all(name: &str, record: &Record) -> String {
    let mut text = format!("\n[Record]({name}): {}.\n", record.head.join("; "));
    text += "Of several rounds the median, with the least and the most.\n";
    for (part, words) in PARTS {
        let Some(first) = record.rows.iter().find(|row| row.part == part) else {
            continue;
        };
        let group = first.group_bytes.map_or(String::new(), |bytes| {
            format!("; the group has {}", mib(bytes))
        });
        text += &format!("\n{words}; {}{group}:\n\n", mib(first.input_bytes));
        text += "| | seconds | | resident memory |\n|---|--:|---|--:|\n";
        for program in sorted(record, part) {
            text += &line(record, part, program);
        }
        text += &ratios(record, part);
    }
    if record.rows.iter().any(|row| row.part == "memory") {
        text += &memory(record, words);
    }
    text.push('\n');
    text
}

fn line(record: &Record, part: &str, program: &str) -> String {
    let seconds = record.seconds(part, program);
    let seconds: Vec<_> = seconds.iter().map(|(_, seconds)| *seconds).collect();
    let outcome = record.runs(part, program).find(|row| !row.is_ok());
    let outcome = outcome.map_or("", |row| row.outcome.as_str());
    let most = record.runs(part, program);
    let most = most.filter_map(|row| row.resident_kib).max();
    let spread = spread(&seconds);
    let shown = match median(seconds) {
        Some(seconds) => format!("{seconds:.1}"),
        None => outcome.to_owned(),
    };
    format!(
        "| {} | {shown} | {spread} | {} |\n",
        words(program),
        most.map_or(String::new(), |kib| mib(kib * 1024))
    )
}

/// How often ours fits into the time of the fastest other program, or the other way round.
fn ratios(record: &Record, part: &str) -> String {
    let programs = sorted(record, part);
    let is_ours = |name: &&&str| name.starts_with("outcore") && !name.contains("-j1");
    let Some(ours) = programs.iter().find(is_ours) else {
        return String::new();
    };
    let mut text = String::new();
    let ratio = |a: &str, b: &str| record.ratio(part, &[a, b], |seconds| seconds[0] / seconds[1]);
    let others = programs
        .iter()
        .filter(|name| !name.starts_with("outcore") && !DISK.contains(*name));
    for other in others {
        let Some(times) = ratio(other, ours) else {
            continue;
        };
        let (fast, slow, times) = if times >= 1.0 {
            (ours, other, times)
        } else {
            (other, ours, 1.0 / times)
        };
        text += &format!(
            "{}{} is {times:.1} times as fast as {}",
            if text.is_empty() { "\n" } else { ";\n" },
            words(fast),
            words(slow)
        );
    }
    let disk = |seconds: &[f64]| seconds[0] / (2.0 * seconds[1] + 2.0 * seconds[2]);
    if let Some(times) = record.ratio(part, &[*ours, DISK[0], DISK[1]], disk) {
        text += &format!(
            "{}{} takes {times:.1} times as long as the disk takes for two reads and two writes",
            if text.is_empty() { "\n" } else { ";\n" },
            words(ours)
        );
    }
    if !text.is_empty() {
        text += ".\n";
    }
    text
}

/// Returns a program as it stands in a table.
fn words(program: &str) -> String {
    match program {
        "read once" => "the disk: reading the input once".to_owned(),
        "write once" => "the disk: writing as much once".to_owned(),
        "terashuf" | "DuckDB" => program.to_owned(),
        _ => format!("`{}`", program.replace('|', "\\|")),
    }
}
