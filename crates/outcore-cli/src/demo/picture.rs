//! The picture of the demo, as SVG.

use std::fmt::Write as _;

use crate::demo::recorder::{Sample, Stage};
use crate::size::format_bytes;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 60.0;

/// Lines across, above the axis.
const STEPS: u32 = 4;

const STORED: &str = "#2b6cb0";
const OWN: &str = "#c53030";
const CACHE: &str = "#a0aec0";

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
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="white"/>
<text x="{LEFT}" y="24" font-size="17">outcore demo: bytes stored under a limit of {}</text>
"#,
        format_bytes(limit_bytes)
    );
    legend(&mut svg);
    grid(&mut svg, &scale);
    for (number, stage) in stages.iter().enumerate() {
        panel(&mut svg, &scale, number, stage);
    }
    // Over everything: the limit.
    let y = scale.y(limit_bytes);
    let right = WIDTH - RIGHT;
    line(
        &mut svg,
        &format!(
            r#"<line x1="{LEFT}" y1="{y:.1}" x2="{right}" y2="{y:.1}" stroke="black" stroke-dasharray="6 4"/>
<text x="{right}" y="{:.1}" text-anchor="end" stroke="white" stroke-width="4" paint-order="stroke">limit</text>"#,
            y - 5.0
        ),
    );
    line(&mut svg, "</svg>");
    svg
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
}

fn legend(svg: &mut String) {
    let entries = [
        (STORED, "stored"),
        (OWN, "own memory, resident"),
        (CACHE, "page cache, mapped: the kernel's to drop"),
    ];
    let mut x = LEFT;
    for (color, text) in entries {
        line(
            svg,
            &format!(
                r#"<rect x="{x}" y="38" width="14" height="14" fill="{color}"/><text x="{}" y="50">{text}</text>"#,
                x + 20.0
            ),
        );
        x += if color == STORED { 100.0 } else { 200.0 };
    }
}

fn grid(svg: &mut String, scale: &Scale) {
    let right = WIDTH - RIGHT;
    for step in 0..=STEPS {
        let bytes = scale.bytes / u64::from(STEPS) * u64::from(step);
        let y = scale.y(bytes);
        line(
            svg,
            &format!(
                r##"<line x1="{LEFT}" y1="{y:.1}" x2="{right}" y2="{y:.1}" stroke="#e2e8f0"/>
<text x="{}" y="{:.1}" text-anchor="end">{}</text>"##,
                LEFT - 8.0,
                y + 4.0,
                if step == 0 {
                    "0".to_owned()
                } else {
                    format_bytes(bytes)
                }
            ),
        );
    }
    line(
        svg,
        &format!(
            r#"<text x="{right}" y="{}" text-anchor="end">{:.1} seconds</text>"#,
            HEIGHT - 12.0,
            scale.seconds
        ),
    );
}

fn panel(svg: &mut String, scale: &Scale, number: usize, stage: &Stage) {
    let (Some(first), Some(last)) = (stage.samples.first(), stage.samples.last()) else {
        return;
    };
    let (left, right) = (scale.x(first.seconds), scale.x(last.seconds));
    area(svg, scale, &stage.samples, CACHE, |sample| {
        sample.file_bytes
    });
    area(svg, scale, &stage.samples, OWN, |sample| sample.own_bytes);
    let points = points(scale, &stage.samples, |sample| sample.stored_bytes);
    line(
        svg,
        &format!(r#"<polyline points="{points}" fill="none" stroke="{STORED}" stroke-width="3"/>"#),
    );
    // Two rows of names: short stages stand close together.
    let y = HEIGHT - BOTTOM + if number % 2 == 0 { 18.0 } else { 34.0 };
    line(
        svg,
        &format!(
            r##"<line x1="{left:.1}" y1="{TOP}" x2="{left:.1}" y2="{:.1}" stroke="#cbd5e0"/>
<text x="{:.1}" y="{y:.1}" text-anchor="middle">{}</text>"##,
            HEIGHT - BOTTOM,
            f64::midpoint(left, right).clamp(LEFT + 25.0, WIDTH - RIGHT - 25.0),
            stage.name
        ),
    );
    if !stage.is_done {
        line(
            svg,
            &format!(
                r#"<text x="{:.1}" y="{:.1}" fill="{OWN}">fails</text>"#,
                right - 10.0,
                scale.y(last.stored_bytes) - 10.0
            ),
        );
    }
}

fn area(
    svg: &mut String,
    scale: &Scale,
    samples: &[Sample],
    color: &str,
    bytes: impl Fn(&Sample) -> u64,
) {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return;
    };
    let floor = scale.y(0);
    line(
        svg,
        &format!(
            r#"<polygon points="{:.1},{floor:.1} {} {:.1},{floor:.1}" fill="{color}" fill-opacity="0.75"/>"#,
            scale.x(first.seconds),
            points(scale, samples, bytes),
            scale.x(last.seconds)
        ),
    );
}

fn points(scale: &Scale, samples: &[Sample], bytes: impl Fn(&Sample) -> u64) -> String {
    let points = samples.iter().map(|sample| {
        let (x, y) = (scale.x(sample.seconds), scale.y(bytes(sample)));
        format!("{x:.1},{y:.1}")
    });
    points.collect::<Vec<_>>().join(" ")
}

/// Appends a line; writing to a string cannot fail.
fn line(svg: &mut String, text: &str) {
    writeln!(svg, "{text}").ok();
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
