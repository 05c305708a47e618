//! The records of the repository.

use std::fs;
use std::path::{Path, PathBuf};

use outcore_bench::error::{Context, Result};
use outcore_bench::record::{Record, Row};

/// The folders of all records, from the root of the repository.
const FOLDERS: [&str; 2] = ["crates/bench-compare/record", "crates/outcore-cli/record"];

/// A record and its file, from the root of the repository.
pub(crate) struct Kept {
    pub(crate) file: String,
    pub(crate) record: Record,
}

impl Kept {
    /// Returns a link to the record, with its date as the text. `up` leads to the root of the
    /// repository.
    pub(crate) fn link(&self, up: &str) -> String {
        let name = self.file.rsplit('/').next().unwrap_or_default();
        let date = name.get(..10).unwrap_or("record");
        format!("[{date}]({up}{})", self.file)
    }
}

/// Reads all records, the newest first.
pub(crate) fn all(root: &Path) -> Result<Vec<Kept>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = FOLDERS.map(PathBuf::from).into();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(root.join(&folder)).context("list the records")?;
        for entry in entries {
            let path = folder.join(entry?.file_name());
            if root.join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "csv") {
                let record = Record::read(&root.join(&path));
                let record = record.or_else(|_other| of_dedup(&root.join(&path)));
                let file = path.display().to_string();
                found.push(Kept {
                    record: record.with_context(|| file.clone())?,
                    file,
                });
            }
        }
    }
    let newest = |kept: &Kept| {
        let name = kept.file.rsplit('/').next().unwrap_or_default();
        let day = name.get(..10).unwrap_or_default().to_owned();
        std::cmp::Reverse((day, kept.record.fact("date").to_owned(), kept.file.clone()))
    };
    found.sort_by_cached_key(newest);
    Ok(found)
}

/// Reads a record of `outcore dedup`, which a script beside it makes: the programs that it compares
/// are no crates. Each of its parts becomes a workload such as `dedup/tight/8GiB`.
fn of_dedup(path: &Path) -> Result<Record> {
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_path(path)?;
    let titles = reader.headers()?.clone();
    let mut record = Record::default();
    for line in reader.records() {
        let line = line?;
        let cell = |name: &str| {
            let place = titles.iter().position(|title| title == name);
            let place = place.with_context(|| format!("no column {name}"))?;
            Ok::<_, outcore_bench::error::Error>(&line[place])
        };
        let gib = cell("input_bytes")?.parse::<u64>()? >> 30;
        let (metric, value, unit) = match cell("outcome")? {
            "ok" => ("seconds", cell("seconds")?, "s"),
            other => ("failed", other, "text"),
        };
        record.rows.push(Row {
            workload: format!("dedup/{}/{gib}GiB", cell("part")?),
            candidate: cell("program")?.to_owned(),
            round: cell("round")?.parse()?,
            metric: metric.to_owned(),
            value: value.to_owned(),
            unit: unit.to_owned(),
        });
    }
    Ok(record)
}
