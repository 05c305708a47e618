//! Panels with axes, lines, marks and a legend, as an SVG.

use std::ops::Range;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::element::DynElement;
use plotters::prelude::{
    Cartesian2d, Circle, Cross, DashedLineSeries, DrawingArea, EmptyElement, IntoDrawingArea,
    IntoDynElement, IntoFont, IntoLogRange, LineSeries, PathElement, Polygon, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, RGBColor, TextStyle};

use outcore_bench::error::{Context, Result};

use super::style::{GRID, INK, Look, Mark, PAPER, SOFT, label_of, look_of};

/// The size of a panel with its legend, and the width without.
const SIZE: (u32, u32) = (640, 420);
const WIDTH: i32 = 430;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Points of one row: where on the level axis, and how much.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    /// Where it was killed.
    pub(super) ends: Vec<f64>,
}

/// A part of a picture with axes of its own.
pub(super) struct Panel {
    pub(super) title: String,
    /// The title of the level axis, and its columns, which are numbered from 0; without any, it has
    /// numbers.
    pub(super) x: &'static str,
    pub(super) columns: Vec<String>,
    pub(super) lines: Vec<Line>,
    /// A level line of dashes, and its name.
    pub(super) limit: Option<(f64, String)>,
    /// Whether the upright axis is logarithmic; otherwise it begins at 0.
    pub(super) is_log: bool,
}

impl Panel {
    /// Returns the ends of the level axis.
    fn across(&self) -> Range<f64> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let last = points.map(|(x, _)| *x).fold(1.0, f64::max);
        match u32::try_from(self.columns.len()) {
            Ok(count @ 1..) => -0.3..f64::from(count.max(2)) - 0.7,
            _ => 0.0..last,
        }
    }

    /// Returns the ends of the upright axis, which are powers of ten if it is logarithmic.
    fn up(&self) -> Range<f64> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let limit = self.limit.as_ref().map(|(limit, _)| *limit);
        let values = points.map(|(_, y)| *y).chain(limit);
        let ends = (f64::MAX, f64::MIN_POSITIVE);
        let (least, most) = values.fold(ends, |(least, most), value| {
            (least.min(value), most.max(value))
        });
        if !self.is_log {
            return 0.0..1.1 * most;
        }
        let from = least.min(most).log10().floor();
        10f64.powf(from)..10f64.powf(most.log10().ceil().max(from + 1.0))
    }
}

/// Draws panels, two beside each other.
pub(super) fn draw(panels: &[Panel]) -> Result<String> {
    let mut svg = String::new();
    let columns = panels.len().min(2);
    let rows = panels.len().div_ceil(2);
    let size = (
        SIZE.0 * u32::try_from(columns)?,
        SIZE.1 * u32::try_from(rows)?,
    );
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    area.fill(&PAPER).context("draw")?;
    for (area, panel) in area.split_evenly((rows, columns)).iter().zip(panels) {
        let (plot, legend) = area.split_horizontally(WIDTH);
        let mut chart = ChartBuilder::on(&plot);
        chart.caption(&panel.title, words(INK, HPos::Left, true));
        chart.margin(12).x_label_area_size(45).y_label_area_size(50);
        let (across, up) = (panel.across(), panel.up());
        if panel.is_log {
            let chart = chart.build_cartesian_2d(across, up.clone().log_scale());
            fill(chart.context("draw")?, panel, up.start)?;
        } else {
            let chart = chart.build_cartesian_2d(across, up.clone());
            fill(chart.context("draw")?, panel, up.start)?;
        }
        name_lines(&legend, panel)?;
    }
    area.present().context("draw")?;
    drop(area);
    Ok(svg)
}

/// Draws axes and lines, those of outcore last, so that they lie on top.
fn fill<Y: Ranged<ValueType = f64> + ValueFormatter<f64>>(
    mut chart: ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, Y>>,
    panel: &Panel,
    bottom: f64,
) -> Result<()> {
    let column = |x: &f64| {
        let named = (0u32..).map(f64::from).zip(&panel.columns);
        let mut near = named.filter(|(column, _)| (column - x).abs() < 0.01);
        near.next()
            .map_or_else(String::new, |(_, name)| name.clone())
    };
    let number = |number: &f64| short(*number);
    let x_label: &dyn Fn(&f64) -> String = if panel.columns.is_empty() {
        &number
    } else {
        &column
    };
    let x_labels = if panel.columns.is_empty() {
        8
    } else {
        panel.columns.len() + 1
    };
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh()
        .light_line_style(PAPER)
        .bold_line_style(GRID);
    mesh.axis_style(SOFT)
        .label_style(words(SOFT, HPos::Center, false));
    mesh.x_labels(x_labels)
        .x_label_formatter(x_label)
        .x_desc(panel.x);
    mesh.y_labels(8)
        .y_label_formatter(&number)
        .draw()
        .context("draw")?;
    let mut order: Vec<&Line> = panel.lines.iter().collect();
    order.sort_by_key(|line| line.name.starts_with("outcore"));
    let mut crosses = -14;
    for line in order {
        let look = look_of(&line.name);
        let points = || line.points.iter().copied();
        let series = LineSeries::new(points(), look.colour.stroke_width(look.width));
        chart.draw_series(series).context("draw")?;
        // Many points are a curve, and marks would hide it.
        let marked = points().filter(|_point| line.points.len() < 40);
        let marks = marked.map(|point| EmptyElement::at(point) + mark((0, 0), look));
        chart.draw_series(marks).context("draw")?;
        let ends = line
            .ends
            .iter()
            .map(|x| EmptyElement::at((*x, bottom)) + cross((0, crosses), look));
        chart.draw_series(ends).context("draw")?;
        crosses -= if line.ends.is_empty() { 0 } else { 18 };
    }
    if let Some((limit, name)) = &panel.limit {
        let across = panel.across();
        let ends = [across.start, across.end].map(|x| (x, *limit));
        let dashes = DashedLineSeries::new(ends, 7, 5, SOFT.stroke_width(2));
        chart.draw_series(dashes).context("draw")?;
        let name = Text::new(name.clone(), (4, -10), words(SOFT, HPos::Left, false));
        chart
            .draw_series([EmptyElement::at(ends[0]) + name])
            .context("draw")?;
    }
    Ok(())
}

/// Draws the legend.
fn name_lines(area: &Area<'_>, panel: &Panel) -> Result<()> {
    let (x, mut y) = (5, 55);
    for line in &panel.lines {
        let look = look_of(&line.name);
        if !line.points.is_empty() {
            let style = look.colour.stroke_width(look.width);
            area.draw(&PathElement::new([(x, y), (x + 24, y)], style))
                .context("draw")?;
            area.draw(&mark((x + 12, y), look)).context("draw")?;
        } else if line.ends.is_empty() {
            continue;
        } else {
            area.draw(&cross((x + 12, y), look)).context("draw")?;
        }
        let name = words(INK, HPos::Left, look.width > 2);
        area.draw(&Text::new(label_of(&line.name), (x + 32, y), name))
            .context("draw")?;
        y += 22;
    }
    Ok(())
}

fn words(colour: RGBColor, side: HPos, bold: bool) -> TextStyle<'static> {
    let weight = if bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    let mut style = TextStyle::from(("sans-serif", 14).into_font().style(weight));
    style.color = colour.to_backend_color();
    style.pos(Pos::new(side, VPos::Center))
}

/// The end of a row.
fn cross<'a>(at: (i32, i32), look: Look) -> DynElement<'static, SVGBackend<'a>, (i32, i32)> {
    Cross::new(at, 6, look.colour.stroke_width(3)).into_dyn()
}

fn mark<'a>((x, y): (i32, i32), look: Look) -> DynElement<'static, SVGBackend<'a>, (i32, i32)> {
    let style = look.colour.filled();
    let r = if look.width > 2 { 6 } else { 5 };
    let corners = match look.mark {
        Mark::Circle => return Circle::new((x, y), r, style).into_dyn(),
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
    Polygon::new(corners, style).into_dyn()
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

    fn panel(values: &[f64], is_log: bool) -> Panel {
        let points = (0u32..)
            .map(f64::from)
            .zip(values.iter().copied())
            .collect();
        Panel {
            title: String::new(),
            x: "",
            columns: Vec::new(),
            lines: vec![Line {
                name: "one".to_owned(),
                points,
                ends: vec![0.0],
            }],
            limit: None,
            is_log,
        }
    }

    #[test]
    fn all_values_lie_between_powers_of_ten_that_are_written_shortly() {
        let texts = |values: &[f64]| {
            let Range { start, end } = panel(values, true).up();
            [start, end].map(short)
        };
        assert_eq!(texts(&[0.3, 40.0]), ["0.1", "100"]);
        assert_eq!(texts(&[5.0]), ["1", "10"]);
        assert_eq!([1e6, 2500.0].map(short), ["1M", "2.5k"]);
        assert_eq!(panel(&[2.0, 10.0], false).up(), 0.0..11.0);
        let svg = draw(&[panel(&[1.0, 30.0], true), panel(&[1.0], false)]).unwrap();
        assert!(svg.matches("<polyline").count() > 2, "{svg}");
    }
}
