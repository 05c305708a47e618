//! Panels with axes, lines, marks and a legend, as an SVG.

use plotters::coord::Shift;
use plotters::prelude::{
    Circle, DrawingArea, IntoDrawingArea, IntoFont, PathElement, Polygon, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, RGBColor, TextStyle};

use outcore_bench::error::{Context, Result};

use super::style::{GRID, INK, Look, Mark, PAPER, SOFT, label_of, look_of};

const FONT: &str = "sans-serif";

/// The size of a panel with its legend.
const SIZE: Point = (620, 420);

/// A point of the picture, in pixels.
type Point = (i32, i32);

/// Points of one row: where on the level axis, and how much.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    /// Where it was killed.
    pub(super) ends: Vec<f64>,
}

/// A part of a picture with axes of its own; the upright one is logarithmic.
pub(super) struct Panel {
    pub(super) title: String,
    /// The title of the level axis, and its columns, which are numbered from 0.
    pub(super) x: &'static str,
    pub(super) columns: Vec<String>,
    pub(super) lines: Vec<Line>,
    /// A level line of dashes, and its name.
    pub(super) limit: Option<(f64, String)>,
}

/// Returns the powers of ten around all values, which are more than 0: at least two of them.
fn decades(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let ends = (f64::MAX, f64::MIN_POSITIVE);
    let (least, most) = values.fold(ends, |(least, most), value| {
        (least.min(value), most.max(value))
    });
    let from = least.min(most).log10().floor();
    let count = (most.log10().ceil() - from).max(1.0);
    let steps = (0u32..=20).map(f64::from).take_while(|step| *step <= count);
    steps.map(|step| 10f64.powf(from + step)).collect()
}

/// Draws panels, two beside each other.
pub(super) fn draw(panels: &[Panel]) -> Result<String> {
    let mut svg = String::new();
    let count = i32::try_from(panels.len())?;
    let (columns, rows) = (count.min(2), (count + 1) / 2);
    let size = (SIZE.0 * columns, SIZE.1 * rows);
    let size = (u32::try_from(size.0)?, u32::try_from(size.1)?);
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    area.fill(&PAPER).context("draw")?;
    for (number, panel) in (0..).zip(panels) {
        let (column, row) = (number % 2, number / 2);
        Canvas::new(&area, panel, (SIZE.0 * column, SIZE.1 * row)).draw(panel)?;
    }
    area.present().context("draw")?;
    drop(area);
    Ok(svg)
}

/// One panel on its way.
struct Canvas<'a, 'b> {
    area: &'a DrawingArea<SVGBackend<'b>, Shift>,
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
    columns: f64,
    decades: Vec<f64>,
}

impl<'a, 'b> Canvas<'a, 'b> {
    fn new(
        area: &'a DrawingArea<SVGBackend<'b>, Shift>,
        panel: &Panel,
        (left, top): Point,
    ) -> Self {
        let points = panel.lines.iter().flat_map(|line| &line.points);
        let limit = panel.limit.as_ref().map(|(limit, _)| *limit);
        Self {
            area,
            left: left + 75,
            top: top + 50,
            right: left + 405,
            bottom: top + 350,
            columns: f64::from(u32::try_from(panel.columns.len().max(2)).unwrap_or(2)),
            decades: decades(points.map(|(_, y)| *y).chain(limit)),
        }
    }

    fn at(&self, column: f64, value: f64) -> Point {
        let (least, most) = (self.decades[0], self.decades[self.decades.len() - 1]);
        let up = (value / least).log10() / (most / least).log10();
        let across = (column + 0.3) / (self.columns - 0.4);
        let across = pixels(across, self.right - self.left);
        let up = pixels(up.clamp(0.0, 1.0), self.bottom - self.top);
        (self.left + across, self.bottom - up)
    }

    fn draw(&self, panel: &Panel) -> Result<()> {
        self.words(
            &panel.title,
            (self.left - 45, self.top - 25),
            INK,
            HPos::Left,
            true,
        )?;
        for decade in &self.decades {
            let (_, y) = self.at(0.0, *decade);
            self.path(vec![(self.left, y), (self.right, y)], GRID, 1)?;
            self.words(
                &short(*decade),
                (self.left - 9, y),
                SOFT,
                HPos::Right,
                false,
            )?;
        }
        for (column, label) in (0u32..).map(f64::from).zip(&panel.columns) {
            let (x, _) = self.at(column, 1.0);
            self.path(vec![(x, self.bottom), (x, self.bottom + 5)], SOFT, 1)?;
            self.words(label, (x, self.bottom + 17), SOFT, HPos::Center, false)?;
        }
        self.path(
            vec![(self.left, self.bottom), (self.right, self.bottom)],
            SOFT,
            1,
        )?;
        let middle = self.left.midpoint(self.right);
        self.words(
            panel.x,
            (middle, self.bottom + 42),
            SOFT,
            HPos::Center,
            false,
        )?;
        if let Some((limit, name)) = &panel.limit {
            let (_, y) = self.at(0.0, *limit);
            for x in (self.left..self.right).step_by(12) {
                self.path(vec![(x, y), (x + 7, y)], SOFT, 2)?;
            }
            self.words(name, (self.left + 4, y - 10), SOFT, HPos::Left, false)?;
        }
        self.lines(panel)
    }

    /// Draws lines, those of outcore last, so that they lie on top; and the legend.
    fn lines(&self, panel: &Panel) -> Result<()> {
        let mut order: Vec<&Line> = panel.lines.iter().collect();
        order.sort_by_key(|line| line.name.starts_with("outcore"));
        let mut crosses = self.bottom - 14;
        for line in order {
            let look = look_of(&line.name);
            let points = line.points.iter().map(|(x, y)| self.at(*x, *y));
            let points: Vec<Point> = points.collect();
            self.path(points.clone(), look.colour, look.width)?;
            for point in &points {
                self.mark(*point, look)?;
            }
            for x in &line.ends {
                let (x, _) = self.at(*x, 1.0);
                self.cross((x, crosses), look.colour)?;
            }
            crosses -= if line.ends.is_empty() { 0 } else { 18 };
        }
        let (x, mut y) = (self.right + 20, self.top + 5);
        for line in &panel.lines {
            let look = look_of(&line.name);
            let label = label_of(&line.name);
            if !line.points.is_empty() {
                self.path(vec![(x, y), (x + 24, y)], look.colour, look.width)?;
                self.mark((x + 12, y), look)?;
            } else if line.ends.is_empty() {
                continue;
            } else {
                self.cross((x + 12, y), look.colour)?;
            }
            self.words(&label, (x + 32, y), INK, HPos::Left, look.width > 2)?;
            y += 22;
        }
        Ok(())
    }

    fn words(&self, text: &str, at: Point, colour: RGBColor, side: HPos, bold: bool) -> Result<()> {
        let style = if bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        };
        let font = (FONT, 14).into_font().style(style);
        let style = TextStyle::from(font).color(&colour);
        let style = style.pos(Pos::new(side, VPos::Center));
        self.show(&Text::new(text.to_owned(), at, style))
    }

    fn path(&self, points: Vec<Point>, colour: RGBColor, width: u32) -> Result<()> {
        self.show(&PathElement::new(points, colour.stroke_width(width)))
    }

    /// Draws a cross: the end of a row.
    fn cross(&self, (x, y): Point, colour: RGBColor) -> Result<()> {
        let r = 6;
        self.path(vec![(x - r, y - r), (x + r, y + r)], colour, 3)?;
        self.path(vec![(x - r, y + r), (x + r, y - r)], colour, 3)
    }

    fn mark(&self, (x, y): Point, look: Look) -> Result<()> {
        let style = look.colour.filled();
        let r = if look.width > 2 { 6 } else { 5 };
        let corners = match look.mark {
            Mark::Circle => return self.show(&Circle::new((x, y), r, style)),
            Mark::Square => vec![
                (x - r, y - r),
                (x + r, y - r),
                (x + r, y + r),
                (x - r, y + r),
            ],
            Mark::Triangle => vec![(x, y - r - 1), (x + r + 1, y + r), (x - r - 1, y + r)],
            Mark::Diamond => vec![
                (x, y - r - 1),
                (x + r + 1, y),
                (x, y + r + 1),
                (x - r - 1, y),
            ],
        };
        self.show(&Polygon::new(corners, style))
    }

    fn show<E>(&self, element: &E) -> Result<()>
    where
        for<'e> &'e E: plotters::element::PointCollection<'e, Point>,
        E: plotters::element::Drawable<SVGBackend<'b>>,
    {
        self.area.draw(element).context("draw")
    }
}

fn pixels(place: f64, len: i32) -> i32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a place on the canvas is a small number"
    )]
    let pixels = (place * f64::from(len)).round() as i32;
    pixels
}

/// Writes a number with as many digits as it needs.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        1e6.. => (value / 1e6, "M"),
        1e3.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_values_lie_between_powers_of_ten_that_are_written_shortly() {
        let found = decades([0.3, 40.0].into_iter());
        let texts: Vec<String> = found.into_iter().map(short).collect();
        assert_eq!(texts, ["0.1", "1", "10", "100"]);
        assert_eq!(decades([5.0].into_iter()).len(), 2);
        assert_eq!([1e6, 2500.0].map(short), ["1M", "2.5k"]);
    }
}
