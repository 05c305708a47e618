//! A record: the lines that `measure.sh` wrote, and medians of them.

/// A line of a record.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) part: String,
    pub(crate) input_bytes: u64,
    pub(crate) group_bytes: Option<u64>,
    pub(crate) program: String,
    pub(crate) round: u64,
    pub(crate) seconds: Option<f64>,
    pub(crate) resident_kib: Option<u64>,
    pub(crate) group_peak_kib: Option<u64>,
    pub(crate) output_sum: Option<u64>,
    pub(crate) outcome: String,
}

impl Row {
    pub(crate) fn is_ok(&self) -> bool {
        self.outcome == "ok"
    }
}

/// What was measured, and on what.
#[derive(Debug)]
pub(crate) struct Record {
    /// Lines about the machine.
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

const FIELDS: [&str; 13] = [
    "part",
    "input_bytes",
    "group_bytes",
    "program",
    "round",
    "seconds",
    "user_seconds",
    "system_seconds",
    "resident_kib",
    "group_peak_kib",
    "output_bytes",
    "output_sum",
    "outcome",
];

impl Record {
    /// Reads a record; the error is the line that is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut record = Self {
            head: Vec::new(),
            rows: Vec::new(),
        };
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# ") {
                record.head.push(head.to_owned());
            } else if line != FIELDS.join(",") {
                record.rows.push(parse(line).ok_or(line)?);
            }
        }
        Ok(record)
    }

    /// Returns the programs of a part, each once, in the order in which they were run first.
    pub(crate) fn programs(&self, part: &str) -> Vec<&str> {
        let mut programs = Vec::new();
        for row in self.rows.iter().filter(|row| row.part == part) {
            if !programs.contains(&row.program.as_str()) {
                programs.push(&row.program);
            }
        }
        programs
    }

    /// Returns the runs of a program.
    pub(crate) fn runs<'a>(
        &'a self,
        part: &'a str,
        program: &'a str,
    ) -> impl Iterator<Item = &'a Row> {
        let is_asked = move |row: &&Row| row.part == part && row.program == program;
        self.rows.iter().filter(is_asked)
    }

    /// Returns the seconds of the runs that came to their end, in order of rounds.
    pub(crate) fn seconds(&self, part: &str, program: &str) -> Vec<(u64, f64)> {
        let done = self.runs(part, program).filter(|row| row.is_ok());
        done.filter_map(|row| Some((row.round, row.seconds?)))
            .collect()
    }

    /// Returns the median of what `of` makes of the seconds of some programs within a round; of
    /// rounds in which all of them came to their end.
    pub(crate) fn ratio(
        &self,
        part: &str,
        programs: &[&str],
        of: impl Fn(&[f64]) -> f64,
    ) -> Option<f64> {
        let all: Vec<_> = programs
            .iter()
            .map(|program| self.seconds(part, program))
            .collect();
        let rounds = all.first()?.iter().map(|(round, _)| *round);
        let ratios = rounds.filter_map(|round| {
            let in_round = |runs: &Vec<(u64, f64)>| {
                let run = runs.iter().find(|(number, _)| *number == round);
                run.map(|(_, seconds)| *seconds)
            };
            let seconds: Option<Vec<_>> = all.iter().map(in_round).collect();
            seconds.map(|seconds| of(&seconds))
        });
        median(ratios.collect())
    }
}

fn parse(line: &str) -> Option<Row> {
    let fields: Vec<_> = line.split(',').collect();
    let field = |name: &str| {
        let at = FIELDS.iter().position(|field| *field == name)?;
        fields.get(at).copied()
    };
    if fields.len() != FIELDS.len() {
        return None;
    }
    Some(Row {
        part: field("part")?.to_owned(),
        input_bytes: field("input_bytes")?.parse().ok()?,
        group_bytes: field("group_bytes")?.parse().ok(),
        program: field("program")?.to_owned(),
        round: field("round")?.parse().ok()?,
        seconds: field("seconds")?.parse().ok(),
        resident_kib: field("resident_kib")?.parse().ok(),
        group_peak_kib: field("group_peak_kib")?.parse().ok(),
        output_sum: field("output_sum")?.parse().ok(),
        outcome: field("outcome")?.to_owned(),
    })
}

/// Returns the median; of two in the middle, what lies between them.
pub(crate) fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_unstable_by(f64::total_cmp);
    let upper = *numbers.get(numbers.len() / 2)?;
    let lower = *numbers.get(numbers.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}
