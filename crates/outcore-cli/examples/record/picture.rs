//! The picture: a bar for each program, as long as it took.

use crate::rows::{Record, median};

/// Where the picture goes.
pub(crate) const PATH: &str = "record/dedup.svg";

const WIDTH: usize = 760;
const LEFT: usize = 230;
const RIGHT: usize = 90;
const ROW: usize = 26;
const BAR: usize = 16;
const HEAD: usize = 40;

const OURS: &str = "#2b6cb0";
const DISK: &str = "#a0aec0";
const OTHERS: &str = "#dd6b20";

/// Draws the parts of a record that compare programs.
pub(crate) fn draw(record: &Record) -> String {
    let mut body = String::new();
    let mut y = 10;
    for part in ["roomy", "tight"] {
        let bars = bars(record, part);
        let Some(first) = record.rows.iter().find(|row| row.part == part) else {
            continue;
        };
        let input = crate::tables::mib(first.input_bytes);
        let title = match first.group_bytes {
            Some(bytes) => format!(
                "{input} in a memory group of {}, cold: seconds",
                crate::tables::mib(bytes)
            ),
            None => format!("{input}, memory to spare, warm: seconds"),
        };
        body += &format!(
            "<text x=\"10\" y=\"{}\" font-size=\"16\">{title}</text>\n",
            y + 18
        );
        y += HEAD;
        let most = bars.iter().filter_map(|bar| bar.seconds);
        let most = most.fold(0.001, f64::max);
        for bar in &bars {
            body += &bar.draw(y, most);
            y += ROW;
        }
        y += 14;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" \
         viewBox=\"0 0 {WIDTH} {y}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

struct Bar {
    name: String,
    color: &'static str,
    /// Unless it was killed, or is missing.
    seconds: Option<f64>,
    outcome: String,
}

impl Bar {
    fn draw(&self, y: usize, most: f64) -> String {
        let room = f64::from(u32::try_from(WIDTH - LEFT - RIGHT).unwrap_or(0));
        let middle = y + BAR - 3;
        let name = format!(
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 8,
            self.name
        );
        let Some(seconds) = self.seconds else {
            return format!(
                "{name}<text x=\"{LEFT}\" y=\"{middle}\" fill=\"#c53030\">{}</text>\n",
                self.outcome
            );
        };
        let long = seconds / most * room;
        let left = f64::from(u32::try_from(LEFT).unwrap_or(0));
        format!(
            "{name}<rect x=\"{LEFT}\" y=\"{y}\" width=\"{long:.1}\" height=\"{BAR}\" \
             fill=\"{}\"/><text x=\"{:.1}\" y=\"{middle}\">{seconds:.1}</text>\n",
            self.color,
            left + long + 6.0
        )
    }
}

/// Returns the bars of a part: the disk, ours, the others; what came to no end is last.
fn bars(record: &Record, part: &str) -> Vec<Bar> {
    let mut bars = Vec::new();
    for program in record.programs(part) {
        let seconds = record.seconds(part, program);
        let seconds = median(seconds.iter().map(|(_, seconds)| *seconds).collect());
        let outcome = record.runs(part, program).map(|row| row.outcome.clone());
        let outcome = outcome.last().unwrap_or_default();
        if outcome.starts_with("skipped") {
            continue;
        }
        bars.push(Bar {
            name: match program {
                "read once" => "disk: read once".to_owned(),
                "write once" => "disk: write once".to_owned(),
                other => other.replace("outcore", "outcore dedup"),
            },
            color: if program.starts_with("outcore") {
                OURS
            } else if program.ends_with("once") {
                DISK
            } else {
                OTHERS
            },
            seconds,
            outcome,
        });
    }
    bars.sort_by(|a, b| {
        let place = |bar: &Bar| (bar.color != DISK, bar.seconds.unwrap_or(f64::INFINITY));
        let (a, b) = (place(a), place(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    bars
}
