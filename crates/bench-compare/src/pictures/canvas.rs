//! Axes, lines, marks and words on an SVG.

use plotters::coord::Shift;
use plotters::prelude::{
    Circle, DrawingArea, IntoDrawingArea, IntoFont, PathElement, Polygon, Rectangle, SVGBackend,
    Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor, ShapeStyle, TextStyle};

use outcore_bench::failure::{Context, Result};

use super::style::{GRID, INK, Look, Mark, PAPER, SOFT};

const FONT: &str = "sans-serif";

/// A point of the picture, in pixels.
pub(super) type Point = (i32, i32);

/// Something that can be drawn on.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Where words stand, seen from their point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Right,
    Left,
    Below,
}

impl<'a> Canvas<'a> {
    /// Makes a white canvas of so many pixels, with a title.
    pub(super) fn new(svg: &'a mut String, size: (u32, u32), title: &str) -> Result<Self> {
        let area = SVGBackend::with_string(svg, size).into_drawing_area();
        area.fill(&PAPER).context("draw")?;
        let canvas = Self { area };
        canvas.words(title, (24, 30), 21, INK, Side::Right, true)?;
        Ok(canvas)
    }

    pub(super) fn finish(self) -> Result<()> {
        self.area.present().context("draw")
    }

    pub(super) fn words(
        &self,
        text: &str,
        at: Point,
        size: i32,
        colour: RGBColor,
        stands: Side,
        bold: bool,
    ) -> Result<()> {
        let (horizontal, vertical) = match stands {
            Side::Right => (HPos::Left, VPos::Center),
            Side::Left => (HPos::Right, VPos::Center),
            Side::Below => (HPos::Center, VPos::Top),
        };
        let font = (FONT, size).into_font();
        let font = if bold {
            font.style(plotters::style::FontStyle::Bold)
        } else {
            font
        };
        let style = TextStyle::from(font).color(&colour);
        let style = style.pos(Pos::new(horizontal, vertical));
        self.area
            .draw(&Text::new(text.to_owned(), at, style))
            .context("draw")
    }

    pub(super) fn path(&self, points: Vec<Point>, colour: RGBColor, width: u32) -> Result<()> {
        let style = ShapeStyle::from(&colour).stroke_width(width);
        self.area
            .draw(&PathElement::new(points, style))
            .context("draw")
    }

    /// A level line of dashes.
    pub(super) fn dashes(&self, y: i32, from: i32, to: i32, colour: RGBColor) -> Result<()> {
        for x in (from..to).step_by(12) {
            self.path(vec![(x, y), ((x + 7).min(to), y)], colour, 2)?;
        }
        Ok(())
    }

    pub(super) fn bar(&self, from: Point, to: Point, colour: RGBColor) -> Result<()> {
        let bar = Rectangle::new([from, to], colour.filled());
        self.area.draw(&bar).context("draw")
    }

    pub(super) fn mark(&self, (x, y): Point, look: Look) -> Result<()> {
        let style = look.colour.filled();
        let r = if look.width > 2 { 6 } else { 5 };
        let drawn = match look.mark {
            Mark::Circle => self.area.draw(&Circle::new((x, y), r, style)),
            Mark::Square => {
                let corners = [(x - r, y - r), (x + r, y + r)];
                self.area.draw(&Rectangle::new(corners, style))
            }
            Mark::Triangle => {
                let corners = [(x, y - r - 1), (x + r + 1, y + r), (x - r - 1, y + r)];
                self.area.draw(&Polygon::new(corners, style))
            }
            Mark::Diamond => {
                let r = r + 1;
                let corners = [(x, y - r), (x + r, y), (x, y + r), (x - r, y)];
                self.area.draw(&Polygon::new(corners, style))
            }
        };
        drawn.context("draw")
    }

    /// A cross: the end of a row.
    pub(super) fn cross(&self, (x, y): Point, colour: RGBColor) -> Result<()> {
        let r = 7;
        self.path(vec![(x - r, y - r), (x + r, y + r)], colour, 3)?;
        self.path(vec![(x - r, y + r), (x + r, y - r)], colour, 3)
    }

    /// What rows look like, one below the other.
    pub(super) fn legend(&self, at: Point, rows: &[(String, Look)]) -> Result<()> {
        let (x, mut y) = at;
        for (label, look) in rows {
            self.path(vec![(x, y), (x + 28, y)], look.colour, look.width)?;
            self.mark((x + 14, y), *look)?;
            let bold = look.width > 2;
            self.words(label, (x + 38, y), 15, INK, Side::Right, bold)?;
            y += 25;
        }
        Ok(())
    }
}

/// How numbers become places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    Linear { from: f64, to: f64 },
    Log { from: f64, to: f64 },
}

impl Scale {
    /// A scale of powers of ten around all `values`, which are more than 0.
    pub(super) fn decades(values: impl Iterator<Item = f64>) -> Self {
        let (from, to) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(from, to), value| {
            (from.min(value), to.max(value))
        });
        if from > to {
            return Self::Log {
                from: 1.0,
                to: 10.0,
            };
        }
        let (from, to) = (from.log10().floor(), to.log10().ceil());
        let to = if to <= from { from + 1.0 } else { to };
        Self::Log {
            from: 10f64.powf(from),
            to: 10f64.powf(to),
        }
    }

    /// A scale from 0 to a round number above all `values`.
    pub(super) fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        let most = values.fold(f64::MIN_POSITIVE, f64::max);
        let step = step_for(most);
        Self::Linear {
            from: 0.0,
            to: (most / step).ceil() * step,
        }
    }

    /// Returns the place of a value between 0 and 1.
    pub(super) fn place(self, value: f64) -> f64 {
        let place = match self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Log { from, to } => (value / from).log10() / (to / from).log10(),
        };
        place.clamp(0.0, 1.0)
    }

    /// Returns the values that have a line and a label.
    pub(super) fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear { from, to } => {
                let step = step_for(to - from);
                let mut ticks = vec![from];
                while let Some(last) = ticks.last().filter(|last| **last + step <= to * 1.001) {
                    ticks.push(last + step);
                }
                ticks
            }
            Self::Log { from, to } => {
                let mut ticks = vec![from];
                while let Some(last) = ticks.last().filter(|last| **last * 10.0 <= to * 1.001) {
                    ticks.push(last * 10.0);
                }
                ticks
            }
        }
    }
}

/// A round number, of which about five come to `most`.
fn step_for(most: f64) -> f64 {
    let decade = 10f64.powf((most / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    let enough = steps.iter().find(|step| most / **step <= 5.5);
    enough.copied().unwrap_or(decade)
}

/// A part of a canvas with axes.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) left: i32,
    pub(super) top: i32,
    pub(super) right: i32,
    pub(super) bottom: i32,
    pub(super) x: Scale,
    pub(super) y: Scale,
}

impl Panel {
    /// Returns the pixel of a point.
    pub(super) fn at(&self, x: f64, y: f64) -> Point {
        let across = pixels(self.x.place(x), self.right - self.left);
        let up = pixels(self.y.place(y), self.bottom - self.top);
        (self.left + across, self.bottom - up)
    }

    /// Draws the grid, the labels of the upright axis, and the titles of both axes.
    pub(super) fn frame(
        &self,
        canvas: &Canvas<'_>,
        titles: (&str, &str),
        columns: &[(f64, String)],
        label: impl Fn(f64) -> String,
    ) -> Result<()> {
        for tick in self.y.ticks() {
            let (_, y) = self.at(0.0, tick);
            canvas.path(vec![(self.left, y), (self.right, y)], GRID, 1)?;
            let place = (self.left - 9, y);
            canvas.words(&label(tick), place, 14, SOFT, Side::Left, false)?;
        }
        for (value, label) in columns {
            let (x, _) = self.at(*value, 1.0);
            canvas.path(vec![(x, self.bottom), (x, self.bottom + 5)], SOFT, 1)?;
            let place = (x, self.bottom + 10);
            canvas.words(label, place, 14, SOFT, Side::Below, false)?;
        }
        canvas.path(
            vec![(self.left, self.bottom), (self.right, self.bottom)],
            SOFT,
            1,
        )?;
        let middle = self.left.midpoint(self.right);
        let below = (middle, self.bottom + 34);
        canvas.words(titles.0, below, 15, SOFT, Side::Below, false)?;
        let above = (self.left, self.top - 16);
        canvas.words(titles.1, above, 15, INK, Side::Right, true)
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
pub(super) fn short(value: f64) -> String {
    if value >= 1e6 {
        format!("{}M", value / 1e6)
    } else if value >= 1e3 {
        format!("{}k", value / 1e3)
    } else if value >= 1.0 || value == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_hold_all_values_between_round_numbers() {
        let log = Scale::decades([0.3, 40.0].into_iter());
        assert_eq!(
            log,
            Scale::Log {
                from: 0.1,
                to: 100.0
            }
        );
        assert_eq!(log.ticks().len(), 4);
        let linear = Scale::from_zero([3.0, 9.3].into_iter());
        assert_eq!(
            linear,
            Scale::Linear {
                from: 0.0,
                to: 10.0
            }
        );
        assert!((linear.place(5.0) - 0.5).abs() < 1e-9);
        assert!((log.place(1.0) - 1.0 / 3.0).abs() < 1e-9);
    }
}
