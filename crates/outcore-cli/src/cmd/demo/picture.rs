//! The picture of the demo, as SVG.

use crate::cmd::demo::recorder::{Sample, Stage};
use crate::cmd::demo::svg::{AT_END, BLUE, GREY, Picture, RED, place};
use crate::size::format_bytes;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 60.0;

/// Lines across, above the axis.
const STEPS: u32 = 4;

const STORED: &str = BLUE;
const OWN: &str = RED;
const CACHE: &str = GREY;

/// Draws what is stored and what is resident over time.
pub(crate) fn draw(stages: &[Stage], limit_bytes: u64) -> String {
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
    // Over everything: the limit.
    let (y, right) = (scale.y(limit_bytes), WIDTH - RIGHT);
    across(&mut picture, y, r#"stroke="black" stroke-dasharray="6 4""#);
    let bright = format!(r#"{AT_END} stroke="white" stroke-width="4" paint-order="stroke""#);
    picture.text(right, y - 5.0, &bright, "limit");
    picture.finish(WIDTH, HEIGHT)
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
        (STORED, "stored"),
        (OWN, "own memory, resident"),
        (CACHE, "page cache, mapped: the kernel's to drop"),
    ];
    let mut x = LEFT;
    for (color, text) in entries {
        picture.rect((x, 38.0), (14.0, 14.0), color);
        picture.text(x + 20.0, 50.0, "", text);
        x += if color == STORED { 100.0 } else { 200.0 };
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
    let seconds = format!("{:.1} seconds", scale.seconds);
    picture.text(WIDTH - RIGHT, HEIGHT - 12.0, AT_END, &seconds);
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
        r#"<polyline points="{points}" fill="none" stroke="{STORED}" stroke-width="3"/>"#
    ));
    let (x, bottom) = (place(left), HEIGHT - BOTTOM);
    picture.put(&format!(
        r##"<line x1="{x}" y1="{TOP}" x2="{x}" y2="{bottom}" stroke="#cbd5e0"/>"##
    ));
    // Two rows of names: short stages stand close together.
    let y = bottom + if number % 2 == 0 { 18.0 } else { 34.0 };
    let middle = f64::midpoint(left, right).clamp(LEFT + 25.0, WIDTH - RIGHT - 25.0);
    picture.text(middle, y, r#" text-anchor="middle""#, stage.name);
    if !stage.is_done {
        let red = format!(r#" fill="{OWN}""#);
        let y = scale.y(last.stored_bytes) - 10.0;
        picture.text(right - 10.0, y, &red, "fails");
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
        let svg = draw(&[stage("one", 0.0), stage("two", 1.5)], 1 << 28);
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
