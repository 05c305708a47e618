//! The picture of the demo, as SVG.

use crate::cmd::demo::recorder::{Sample, Stage};
use crate::cmd::demo::svg::{AT_END, Picture, place};
use crate::size::format_bytes;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 84.0;

/// Lines across, above the axis.
const STEPS: u32 = 4;

/// Marks on the axis of time, at most.
const MARKS: f64 = 12.0;

/// Colours that also people tell apart who see no red or no green, and that differ in brightness.
const STORED: &str = "#0072b2";
const OWN: &str = "#d55e00";
const CACHE: &str = "#a6cee3";
const LIMIT: &str = "black";
const GROUP: &str = "#7b3294";

/// Draws what is stored and what is resident over time, within a limit and perhaps a memory group.
pub(crate) fn draw(stages: &[Stage], limit_bytes: u64, group_bytes: Option<u64>) -> String {
    let samples = || stages.iter().flat_map(|stage| &stage.samples);
    let end = samples().map(|sample| sample.seconds).fold(0.001, f64::max);
    let most = samples()
        .map(|sample| sample.stored_bytes)
        .fold(limit_bytes, u64::max);
    let scale = Scale {
        seconds: end,
        bytes: most,
    };
    let mut picture = Picture::default();
    let limit = format_bytes(limit_bytes);
    let title = format!("outcore demo: bytes stored under a limit of {limit}");
    picture.text(LEFT, 24.0, r#" font-size="17""#, &title);
    legend(&mut picture);
    grid(&mut picture, &scale);
    for (number, stage) in stages.iter().enumerate() {
        panel(&mut picture, &scale, number, stage);
    }
    // Over everything: the limits.
    let y = scale.y(limit_bytes);
    across(&mut picture, y, &dashed(LIMIT, "6 4"));
    over(&mut picture, y + 15.0, LIMIT, &format!("limit {limit}"));
    if let Some(bytes) = group_bytes.filter(|bytes| *bytes <= most) {
        let y = scale.y(bytes);
        across(&mut picture, y, &dashed(GROUP, "2 3"));
        let words = format!("memory group {}, with page cache", format_bytes(bytes));
        over(&mut picture, y - 5.0, GROUP, &words);
    }
    picture.finish(WIDTH, HEIGHT)
}

fn dashed(color: &str, dashes: &str) -> String {
    format!(r#"stroke="{color}" stroke-width="1.5" stroke-dasharray="{dashes}""#)
}

/// Writes words at the right end that can be read over everything.
fn over(picture: &mut Picture, y: f64, color: &str, words: &str) {
    let bright = r#"stroke="white" stroke-width="4" paint-order="stroke""#;
    let attributes = format!(r#"{AT_END} fill="{color}" {bright}"#);
    picture.text(WIDTH - RIGHT - 4.0, y, &attributes, words);
}

/// From moments and bytes to places in the picture.
struct Scale {
    seconds: f64,
    bytes: u64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + seconds / self.seconds * (WIDTH - LEFT - RIGHT)
    }

    /// What is above the scale, such as a few pages more than were stored, is cut.
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    fn y(&self, bytes: u64) -> f64 {
        let bytes = bytes.min(self.bytes);
        HEIGHT - BOTTOM - bytes as f64 / self.bytes as f64 * (HEIGHT - TOP - BOTTOM)
    }

    fn point(&self, seconds: f64, bytes: u64) -> String {
        format!("{},{}", place(self.x(seconds)), place(self.y(bytes)))
    }
}

fn legend(picture: &mut Picture) {
    let entries = [
        (STORED, "stored, or read by a command"),
        (OWN, "own memory, resident"),
        (CACHE, "page cache, mapped: the kernel's to drop"),
    ];
    let mut x = LEFT;
    for (color, text) in entries {
        picture.rect((x, 38.0), (14.0, 14.0), color);
        picture.text(x + 20.0, 50.0, "", text);
        x += if color == STORED { 230.0 } else { 190.0 };
    }
}

fn grid(picture: &mut Picture, scale: &Scale) {
    for step in 0..=STEPS {
        let bytes = scale.bytes / u64::from(STEPS) * u64::from(step);
        let y = scale.y(bytes);
        across(picture, y, r##"stroke="#e2e8f0""##);
        let words = match step {
            0 => "0".to_owned(),
            _ => format_bytes(bytes),
        };
        picture.text(LEFT - 8.0, y + 4.0, AT_END, &words);
    }
    let step = step(scale.seconds);
    let mut mark = 0.0;
    while mark <= scale.seconds {
        let (x, bottom) = (place(scale.x(mark)), HEIGHT - BOTTOM);
        let end = bottom + 5.0;
        picture.put(&format!(
            r##"<line x1="{x}" y1="{bottom}" x2="{x}" y2="{end}" stroke="#4a5568"/>"##
        ));
        let middle = r#" text-anchor="middle""#;
        picture.text(x, bottom + 19.0, middle, &format!("{}", place(mark)));
        mark += step;
    }
    picture.text(WIDTH - RIGHT, HEIGHT - 10.0, AT_END, "seconds");
}

/// Returns the seconds between marks: 1, 2 or 5 of a power of ten, and a tenth at least.
fn step(seconds: f64) -> f64 {
    let mut power = 0.1;
    loop {
        for digit in [1.0, 2.0, 5.0] {
            if seconds / (power * digit) <= MARKS {
                return power * digit;
            }
        }
        power *= 10.0;
    }
}

/// Draws a line from side to side.
fn across(picture: &mut Picture, y: f64, stroke: &str) {
    let (y, right) = (place(y), WIDTH - RIGHT);
    picture.put(&format!(
        r#"<line x1="{LEFT}" y1="{y}" x2="{right}" y2="{y}" {stroke}/>"#
    ));
}

fn panel(picture: &mut Picture, scale: &Scale, number: usize, stage: &Stage) {
    let (Some(first), Some(last)) = (stage.samples.first(), stage.samples.last()) else {
        return;
    };
    let (left, right) = (scale.x(first.seconds), scale.x(last.seconds));
    area(picture, scale, &stage.samples, CACHE, |sample| {
        sample.file_bytes
    });
    area(picture, scale, &stage.samples, OWN, |sample| {
        sample.own_bytes
    });
    let points = points(scale, &stage.samples, |sample| sample.stored_bytes);
    picture.put(&format!(
        r#"<polyline points="{points}" fill="none" stroke="{STORED}" stroke-width="2.5"/>"#
    ));
    let (x, bottom) = (place(left), HEIGHT - BOTTOM);
    picture.put(&format!(
        r##"<line x1="{x}" y1="{TOP}" x2="{x}" y2="{bottom}" stroke="#cbd5e0"/>"##
    ));
    // Two rows of names: short stages stand close together.
    let y = bottom + if number % 2 == 0 { 38.0 } else { 54.0 };
    let middle = f64::midpoint(left, right).clamp(LEFT + 25.0, WIDTH - RIGHT - 25.0);
    picture.text(middle, y, r#" text-anchor="middle""#, stage.name);
    if !stage.is_done {
        let y = scale.y(last.stored_bytes) - 24.0;
        let bold = format!(r#" fill="{OWN}" font-weight="bold""#);
        picture.text(right + 4.0, y, &bold, "fails");
    }
}

fn area(
    picture: &mut Picture,
    scale: &Scale,
    samples: &[Sample],
    color: &str,
    bytes: impl Fn(&Sample) -> u64,
) {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return;
    };
    let points = points(scale, samples, bytes);
    let ends = [last, first].map(|sample| scale.point(sample.seconds, 0));
    picture.put(&format!(
        r#"<polygon points="{points} {}" fill="{color}" fill-opacity="0.75"/>"#,
        ends.join(" ")
    ));
}

fn points(scale: &Scale, samples: &[Sample], bytes: impl Fn(&Sample) -> u64) -> String {
    let points = samples.iter();
    let points = points.map(|sample| scale.point(sample.seconds, bytes(sample)));
    points.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_in_the_picture_and_inside_of_it() {
        let sample = |seconds, stored_bytes| Sample {
            seconds,
            stored_bytes,
            own_bytes: stored_bytes / 2,
            file_bytes: 0,
        };
        let stage = |name, begin| Stage {
            name,
            samples: vec![sample(begin, 0), sample(begin + 1.0, 1 << 30)],
            outcome: String::new(),
            is_done: begin > 0.0,
        };
        let group = Some(300 << 20);
        let svg = draw(&[stage("one", 0.0), stage("two", 1.5)], 1 << 28, group);
        assert!(svg.contains(">memory group 300 MiB"));
        // The axis of time has marks up to its end, and no more.
        assert!(svg.contains(">0.5<") && svg.contains(">2.5<") && !svg.contains(">3<"));
        assert_eq!(svg.matches(">fails<").count(), 1);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains(">one<") && svg.contains(">two<") && svg.contains("256 MiB"));
        for number in svg.split(|c: char| !c.is_ascii_digit() && c != '.') {
            if let (true, Ok(number)) = (number.contains('.'), number.parse::<f64>()) {
                assert!(number <= WIDTH, "{number} in {svg}");
            }
        }
    }
}
