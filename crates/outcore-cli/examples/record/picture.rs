//! The picture: a bar for each program, as long as it took.

use crate::rows::{Record, median};
use crate::svg::{AT_END, Picture};

/// Where the picture goes, and how the name of its record ends.
pub(crate) const PATH: &str = "record/dedup.svg";
pub(crate) const OF: &str = "-dedup.csv";

const WIDTH: f64 = 760.0;
const LEFT: f64 = 230.0;
const RIGHT: f64 = 90.0;
const ROW: f64 = 26.0;
const BAR: f64 = 16.0;
const HEAD: f64 = 40.0;

const OURS: &str = "#2b6cb0";
const DISK: &str = "#a0aec0";
const FAILED: &str = "#c53030";
const OTHERS: &str = "#dd6b20";

/// Draws the parts of a record that compare programs.
pub(crate) fn draw(record: &Record) -> String {
    let mut picture = Picture::default();
    let mut y = 10.0;
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
        picture.text(10.0, y + 18.0, r#" font-size="16""#, &title);
        y += HEAD;
        let most = bars.iter().filter_map(|bar| bar.seconds);
        let most = most.fold(0.001, f64::max);
        for bar in &bars {
            bar.draw(&mut picture, y, most);
            y += ROW;
        }
        y += 14.0;
    }
    picture.finish(WIDTH, y)
}

struct Bar {
    name: String,
    color: &'static str,
    /// Unless it was killed, or is missing.
    seconds: Option<f64>,
    outcome: String,
}

impl Bar {
    fn draw(&self, picture: &mut Picture, y: f64, most: f64) {
        let middle = y + BAR - 3.0;
        picture.text(LEFT - 8.0, middle, AT_END, &self.name);
        let Some(seconds) = self.seconds else {
            let red = format!(r#" fill="{FAILED}""#);
            picture.text(LEFT, middle, &red, &self.outcome);
            return;
        };
        let long = seconds / most * (WIDTH - LEFT - RIGHT);
        picture.rect((LEFT, y), (long, BAR), self.color);
        picture.text(LEFT + long + 6.0, middle, "", &format!("{seconds:.1}"));
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
