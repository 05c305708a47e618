//! Pictures of bars.

use outcore_bench::failure::Result;
use outcore_bench::page::Picture;
use outcore_bench::record::Record;

use super::canvas::{Canvas, Scale, Side};
use super::read::{candidates, median, workloads};
use super::style::{INK, SOFT, label_of, look_of};

/// A row: its name, its number, and the number in words.
type Bar = (String, f64, String);

/// What reaches the device for what the user wrote.
pub(super) fn device_bytes(record: &Record) -> Result<Option<Picture>> {
    let updates = workloads(record, "update_u64/");
    let puts = workloads(record, "blobs_512/");
    let (Some((_, update)), Some((_, put))) = (updates.first(), puts.first()) else {
        return Ok(None);
    };
    let mut of_update: Vec<Bar> = Vec::new();
    for name in candidates(&updates) {
        if let Some(bytes) = median(update, &name, "device_bytes_per_update") {
            of_update.push((name, bytes, format!("{:.1} KiB", bytes / 1024.0)));
        }
    }
    let mut of_put: Vec<Bar> = Vec::new();
    for name in candidates(&puts) {
        if let Some(bytes) = median(put, &name, "device_bytes_per_byte") {
            of_put.push((name, bytes, format!("{bytes:.2}")));
        }
    }
    let rows = i32::try_from(of_update.len().max(of_put.len())).unwrap_or(0);
    let height = u32::try_from(150 + 34 * rows).unwrap_or(600);
    let title = "Bytes that reach the device for what was written: less is better.";
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, (1240, height), "Bytes written to the device")?;
    let what = "for an update of 8 bytes, synced";
    let scale = Scale::from_zero(of_update.iter().map(|(_, value, _)| *value));
    bars(&canvas, (190, 480), what, &of_update, scale)?;
    let what = "for a byte put in (items of 512 bytes)";
    let scale = Scale::from_zero(of_put.iter().map(|(_, value, _)| *value));
    bars(&canvas, (830, 1120), what, &of_put, scale)?;
    canvas.finish()?;
    Ok(Some(Picture {
        name: "device-bytes",
        title,
        values: of_update.len() + of_put.len(),
        svg,
    }))
}

fn bars(
    canvas: &Canvas<'_>,
    (left, right): (i32, i32),
    title: &str,
    all: &[Bar],
    scale: Scale,
) -> Result<()> {
    let mut all: Vec<&Bar> = all.iter().collect();
    all.sort_by(|one, other| one.1.total_cmp(&other.1));
    canvas.words(title, (left, 84), 15, INK, Side::Right, true)?;
    let mut y = 110;
    for (name, value, words) in all {
        let look = look_of(name);
        #[expect(clippy::cast_possible_truncation, reason = "a place on the canvas")]
        let len = (scale.place(*value) * f64::from(right - left)).round() as i32;
        canvas.bar((left, y), (left + len.max(2), y + 24), look.colour)?;
        let bold = look.width > 2;
        canvas.words(
            &label_of(name),
            (left - 10, y + 12),
            15,
            INK,
            Side::Left,
            bold,
        )?;
        let place = (left + len.max(2) + 8, y + 12);
        canvas.words(
            words,
            place,
            15,
            if bold { INK } else { SOFT },
            Side::Right,
            bold,
        )?;
        y += 34;
    }
    Ok(())
}
