//! The picture of cold reads, by how many are on their way.

use outcore_bench::failure::Result;
use outcore_bench::page::Picture;
use outcore_bench::record::Record;

use super::canvas::{Canvas, Panel, Scale, short};
use super::lines::{Line, column_scale, columns, draw, legend_of};
use super::read::{candidates, median, workloads};

/// Splits a row such as `outcore_ring_64` into the way and the number of reads at a time.
fn way_and_depth(row: &str) -> Option<(&str, u32)> {
    let (way, depth) = row.rsplit_once('_')?;
    Some((way, depth.parse().ok()?))
}

/// Items per second against the number of reads at a time, a line for each way to read.
pub(super) fn by_depth(record: &Record) -> Result<Option<Picture>> {
    let all = workloads(record, "reads_by_depth_512/");
    let Some((_, results)) = all.first() else {
        return Ok(None);
    };
    let rows = candidates(&all);
    let mut depths: Vec<u32> = Vec::new();
    let mut lines: Vec<Line> = Vec::new();
    for (way, depth) in rows.iter().filter_map(|row| way_and_depth(row)) {
        if !depths.contains(&depth) {
            depths.push(depth);
        }
        if !lines.iter().any(|line| line.name == way) {
            lines.push(Line {
                name: way.to_owned(),
                points: Vec::new(),
                ends: Vec::new(),
            });
        }
    }
    depths.sort_unstable();
    for line in &mut lines {
        let numbered = (0u32..).map(f64::from).zip(&depths);
        line.points = numbered
            .filter_map(|(x, depth)| {
                let row = format!("{}_{depth}", line.name);
                let nanos = median(results, &row, "time_per_read")?;
                Some((x, 1e9 / nanos))
            })
            .collect();
    }
    if depths.len() < 2 {
        return Ok(None);
    }
    let title = "Cold items of 512 bytes at random: items per second, by how many reads are on \
                 their way. Log scale, more is better.";
    let mut svg = String::new();
    let canvas = Canvas::new(
        &mut svg,
        (900, 560),
        "Cold reads, by how many are on their way",
    )?;
    let values = lines.iter().flat_map(|line| line.points.iter());
    let panel = Panel {
        left: 80,
        top: 92,
        right: 640,
        bottom: 470,
        x: column_scale(depths.len()),
        y: Scale::decades(values.map(|(_, y)| *y)),
    };
    let labels = columns(depths.iter().map(ToString::to_string));
    let titles = ("reads on their way", "items per second (log)");
    panel.frame(&canvas, titles, &labels, short)?;
    draw(&canvas, &panel, &lines)?;
    canvas.legend((664, 110), &legend_of(&lines))?;
    canvas.finish()?;
    Ok(Some(Picture {
        name: "reads-by-depth",
        title,
        values: lines.iter().map(|line| line.points.len()).sum(),
        svg,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_way_and_a_number() {
        let found = way_and_depth("raw_ring_direct_128");
        assert_eq!(found, Some(("raw_ring_direct", 128)));
        assert_eq!(way_and_depth("outcore_get_many"), None);
    }
}
