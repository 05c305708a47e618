//! Colours and marks: the same row looks the same in every picture.

use plotters::style::RGBColor;

pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const SOFT: RGBColor = RGBColor(0x66, 0x66, 0x66);
pub(super) const GRID: RGBColor = RGBColor(0xE4, 0xE4, 0xE4);
pub(super) const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);

/// What a row looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) colour: RGBColor,
    pub(super) mark: Mark,
    pub(super) width: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
}

/// The colours of Okabe and Ito, which can be told apart with any kind of sight; blue is outcore's,
/// and yellow, which is faint on white, is a dark one.
const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
const RED: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
const GREEN: RGBColor = RGBColor(0x00, 0x9E, 0x73);
const PINK: RGBColor = RGBColor(0xCC, 0x79, 0xA7);
const ORANGE: RGBColor = RGBColor(0xE6, 0x9F, 0x00);
const SKY: RGBColor = RGBColor(0x56, 0xB4, 0xE9);
const OLIVE: RGBColor = RGBColor(0x80, 0x6B, 0x00);
const GREY: RGBColor = RGBColor(0x44, 0x44, 0x44);

const COLOURS: [RGBColor; 7] = [RED, GREEN, PINK, ORANGE, SKY, OLIVE, GREY];
const MARKS: [Mark; 4] = [Mark::Circle, Mark::Square, Mark::Triangle, Mark::Diamond];

/// The rows whose looks are chosen; others have any.
const KNOWN: [(&str, RGBColor, Mark); 13] = [
    ("farena", RED, Mark::Circle),
    ("mmap_vec", RED, Mark::Square),
    ("tempfile_bufwriter", GREEN, Mark::Square),
    ("vecdb", GREEN, Mark::Triangle),
    ("memmap2", PINK, Mark::Triangle),
    ("redb", ORANGE, Mark::Diamond),
    ("redb_cache_16MiB", ORANGE, Mark::Circle),
    ("lmdb", SKY, Mark::Circle),
    ("fjall", OLIVE, Mark::Square),
    ("std_vec", GREY, Mark::Diamond),
    ("std_hash_map", GREY, Mark::Triangle),
    ("raw_pwrite_8B", GREY, Mark::Circle),
    ("raw_ring_direct", GREY, Mark::Square),
];

/// Returns what a row looks like.
pub(super) fn look_of(name: &str) -> Look {
    if name.starts_with("outcore") {
        let mark = match name {
            "outcore" | "outcore_arena" => Mark::Circle,
            "outcore_threads" | "outcore_vec" => Mark::Square,
            "outcore_range_file" => Mark::Triangle,
            _ => Mark::Diamond,
        };
        return Look {
            colour: BLUE,
            mark,
            width: 4,
        };
    }
    let known = KNOWN.iter().find(|(known, ..)| *known == name);
    let number: usize = name.bytes().map(usize::from).sum();
    let any = (COLOURS[number % COLOURS.len()], MARKS[number % MARKS.len()]);
    let (colour, mark) = known.map_or(any, |(_, colour, mark)| (*colour, *mark));
    Look {
        colour,
        mark,
        width: 2,
    }
}

/// Returns the name of a row as a reader wants it.
pub(super) fn label_of(name: &str) -> String {
    match name {
        "std_vec" => "std Vec".to_owned(),
        "std_hash_map" => "std HashMap".to_owned(),
        "mmap_vec" => "mmap-vec".to_owned(),
        "tempfile_bufwriter" => "tempfile + BufWriter".to_owned(),
        "outcore_random" => "outcore, Random".to_owned(),
        "outcore_ring" => "outcore".to_owned(),
        "outcore_threads" => "outcore, no io_uring".to_owned(),
        "raw_ring_direct" => "raw io_uring, O_DIRECT".to_owned(),
        "raw_pwrite_8B" => "pwrite".to_owned(),
        "lmdb" => "LMDB (heed)".to_owned(),
        "redb_cache_16MiB" => "redb, 16 MiB cache".to_owned(),
        other => other.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_known_look_different() {
        for (index, (name, ..)) in KNOWN.iter().enumerate() {
            let mut before = KNOWN[..index].iter();
            let is_taken = before.any(|(other, ..)| look_of(other) == look_of(name));
            assert!(!is_taken, "{name}");
        }
        assert_ne!(look_of("outcore").colour, look_of("farena").colour);
    }
}
