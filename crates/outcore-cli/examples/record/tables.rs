//! The tables of the README, each set of them between two marks.

use crate::rows::{Record, median};
use crate::text;

const BEGIN: &str = "<!-- made by examples/record from ";
const BEGIN_END: &str = " -->\n";
const END: &str = "<!-- end of what is made -->";

/// Programs whose output has the order of the input.
const KEEP_ORDER: [&str; 4] = ["outcore", "huniq", "mawk", "gawk"];

/// The rows of what the disk does.
pub(crate) const DISK: [&str; 2] = ["read once", "write once"];

/// Returns the records that a README is made from.
pub(crate) fn named_records(readme: &str) -> Vec<&str> {
    let begins = readme.split(BEGIN).skip(1);
    let names = begins.filter_map(|rest| rest.split_once(BEGIN_END));
    names.map(|(name, _)| name).collect()
}

/// Returns what a record is about: the last word of its name.
fn kind(name: &str) -> &str {
    name.rsplit(['-', '/']).next().unwrap_or(name)
}

/// Returns the README with the tables of a record in the place of those of an older one.
pub(crate) fn put(readme: &str, name: &str, record: &Record) -> Option<String> {
    let mut records = named_records(readme).into_iter();
    let old = records.find(|old| kind(old) == kind(name))?;
    let (before, rest) = readme.split_once(&format!("{BEGIN}{old}{BEGIN_END}"))?;
    let (_, after) = rest.split_once(END)?;
    let made = if kind(name).starts_with("text") {
        text::all(name, record)
    } else {
        all(name, record)
    };
    Some(format!(
        "{before}{BEGIN}{name}{BEGIN_END}{made}{END}{after}"
    ))
}

fn all(name: &str, record: &Record) -> String {
    let mut text = format!("\n[Record]({name}): {}.\n", record.head.join("; "));
    text += "Of several rounds the median, with the least and the most.\n";
    for (part, words) in [
        ("roomy", "Memory to spare, a warm page cache"),
        ("tree", "The text of a tree of documentation, warm"),
        ("tight", "In a memory group, a cold page cache"),
    ] {
        let Some(first) = record.rows.iter().find(|row| row.part == part) else {
            continue;
        };
        let group = first.group_bytes.map_or(String::new(), |bytes| {
            format!("; the group has {}", mib(bytes))
        });
        text += &format!("\n{words}; {}{group}:\n\n", mib(first.input_bytes));
        text += &speed(record, part);
        text += &goals(record, part);
    }
    if record.rows.iter().any(|row| row.part == "memory") {
        text += &memory(record, words);
    }
    text.push('\n');
    text
}

fn speed(record: &Record, part: &str) -> String {
    let mut text =
        "| | seconds | | resident memory | keeps the order |\n|---|--:|---|--:|---|\n".to_owned();
    for program in sorted(record, part) {
        let seconds: Vec<_> = record
            .seconds(part, program)
            .iter()
            .map(|(_, seconds)| *seconds)
            .collect();
        let outcome = record.runs(part, program).find(|row| !row.is_ok());
        let outcome = outcome.map_or("", |row| row.outcome.as_str());
        let spread = spread(&seconds);
        let order = if DISK.contains(&program) {
            ""
        } else if KEEP_ORDER.iter().any(|name| program.starts_with(name)) {
            "yes"
        } else {
            "no"
        };
        let most = record
            .runs(part, program)
            .filter_map(|row| row.resident_kib)
            .max();
        let shown = match median(seconds) {
            Some(seconds) => format!("{seconds:.1}"),
            None => outcome.to_owned(),
        };
        text += &format!(
            "| {} | {shown} | {spread} | {} | {order} |\n",
            words(program),
            most.map_or(String::new(), |kib| mib(kib * 1024))
        );
    }
    text
}

/// Returns the least and the most of several numbers.
pub(crate) fn spread(seconds: &[f64]) -> String {
    match (
        seconds.iter().copied().reduce(f64::min),
        seconds.iter().copied().reduce(f64::max),
    ) {
        (Some(least), Some(most)) if seconds.len() > 1 => format!("{least:.1} to {most:.1}"),
        _ => String::new(),
    }
}

/// Returns the programs of a part: those of the disk, then from fast to slow.
pub(crate) fn sorted<'a>(record: &'a Record, part: &'a str) -> Vec<&'a str> {
    let mut programs = record.programs(part);
    programs.sort_by(|a, b| {
        let place = |program: &str| {
            let seconds = record.seconds(part, program);
            let seconds = seconds.iter().map(|(_, seconds)| *seconds).collect();
            let is_disk = DISK.contains(&program);
            (!is_disk, median(seconds).unwrap_or(f64::INFINITY))
        };
        let (a, b) = (place(a), place(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    programs
}

/// What was asked for, in words.
fn goals(record: &Record, part: &str) -> String {
    let programs = record.programs(part);
    let ratio = |a: &str, b: &str| record.ratio(part, &[a, b], |seconds| seconds[0] / seconds[1]);
    let mut text = String::new();
    if part == "tight" {
        let Some(ours) = programs.iter().find(|name| name.starts_with("outcore")) else {
            return text;
        };
        let sort = programs.iter().find(|name| name.starts_with("sort"));
        if let Some(times) = sort.and_then(|sort| ratio(sort, ours)) {
            text += &format!("\n`sort -u` takes {times:.1} times as long as outcore");
        }
        let disk = |seconds: &[f64]| seconds[0] / (2.0 * seconds[1] + seconds[2]);
        let of = [*ours, DISK[0], DISK[1]];
        if let Some(times) = record.ratio(part, &of, disk) {
            text += &format!(
                "{}outcore takes {times:.1} times as long as reading the input twice and writing \
                 the output once",
                if text.is_empty() { "\n" } else { ",\nand " }
            );
        }
        if !text.is_empty() {
            text += ".\n";
        }
        return text;
    }
    let one = "sort -u -S 8G --parallel=1";
    let others = ["huniq", "mawk", "gawk", one];
    for ours in ["outcore -j1", "outcore"] {
        let ratios = others
            .iter()
            .filter_map(|other| Some((*other, ratio(other, ours)?)));
        let least = ratios.min_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((other, times)) = least {
            text += &format!(
                "{}{} is {times:.1} times as fast as the fastest of the others on one thread, {}",
                if text.is_empty() { "\n" } else { ";\n" },
                words(ours),
                words(other)
            );
        }
    }
    if !text.is_empty() {
        text += ".\n";
    }
    let sums = record.rows.iter().filter(|row| {
        row.part == part
            && row.program != "outcore -r"
            && KEEP_ORDER.iter().any(|name| row.program.starts_with(name))
    });
    let mut sums: Vec<_> = sums.filter_map(|row| row.output_sum).collect();
    let count = sums.len();
    sums.dedup();
    if sums.len() == 1 && count > 1 {
        text += "The outputs of those that keep the order are equal.\n";
    } else if sums.len() > 1 {
        text += "**The outputs of those that keep the order differ.**\n";
    }
    text
}

/// The table of what was kept to.
pub(crate) fn memory(record: &Record, words: fn(&str) -> String) -> String {
    let mut text = "\nThe promise of `--memory`, each in a memory group of 32 MiB more, which counts the page cache\n\
                    too; the most of all rounds:\n\n\
                    | | input | the group may have | it had | resident memory | seconds \
                    |\n|---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for program in record.programs("memory") {
        let Some(row) = record.runs("memory", program).next() else {
            continue;
        };
        let most = |of: fn(&crate::rows::Row) -> Option<u64>| {
            record.runs("memory", program).filter_map(of).max()
        };
        let seconds = record.seconds("memory", program);
        let seconds = median(seconds.iter().map(|(_, seconds)| *seconds).collect());
        text += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            words(program),
            mib(row.input_bytes),
            row.group_bytes.map_or(String::new(), mib),
            most(|row| row.group_peak_kib).map_or(String::new(), |kib| mib(kib * 1024)),
            most(|row| row.resident_kib).map_or(String::new(), |kib| mib(kib * 1024)),
            seconds.map_or(row.outcome.clone(), |seconds| format!("{seconds:.1}"))
        );
    }
    text
}

/// Returns a program as it stands in a table.
pub(crate) fn words(program: &str) -> String {
    match program {
        "read once" => "the disk: reading the input once".to_owned(),
        "write once" => "the disk: writing as much as the output once".to_owned(),
        "outcore -r" => "`outcore dedup -r`, on the tree itself".to_owned(),
        "mawk" | "gawk" => format!("`{program} '!seen[$0]++'`"),
        "huniq" => "huniq".to_owned(),
        _ => match program.strip_prefix("outcore") {
            Some(options) => format!("`outcore dedup{options}`"),
            None => format!("`{program}`"),
        },
    }
}

/// Returns bytes in MiB or, from 2 GiB on, GiB.
pub(crate) fn mib(bytes: u64) -> String {
    if bytes >= 2 << 30 {
        format!("{} GiB", bytes >> 30)
    } else {
        format!("{} MiB", bytes >> 20)
    }
}
