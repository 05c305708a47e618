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

/// The colours of Okabe and Ito, which can be told apart with any kind of sight; blue is
/// outcore's, and yellow, which is faint on white, is a dark one.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x80, 0x6B, 0x00),
    RGBColor(0x44, 0x44, 0x44),
];

const MARKS: [Mark; 4] = [Mark::Circle, Mark::Square, Mark::Triangle, Mark::Diamond];

/// The rows that have a colour of their own; others take turns.
const KNOWN: [&str; 12] = [
    "farena",
    "tempfile_bufwriter",
    "memmap2",
    "redb",
    "lmdb",
    "fjall",
    "std_hash_map",
    "mmap_vec",
    "vecdb",
    "std_vec",
    "raw_pwrite_8B",
    "redb_cache_16MiB",
];

const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);

/// Returns what a row looks like.
pub(super) fn look_of(name: &str) -> Look {
    if name.starts_with("outcore") {
        let mark = if name == "outcore" {
            Mark::Circle
        } else {
            Mark::Diamond
        };
        return Look {
            colour: BLUE,
            mark,
            width: 4,
        };
    }
    let known = KNOWN.iter().position(|known| *known == name);
    let number = known.unwrap_or_else(|| name.bytes().map(usize::from).sum());
    Look {
        colour: COLOURS[number % COLOURS.len()],
        mark: MARKS[(number + 2 * (number / COLOURS.len())) % MARKS.len()],
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
        let looks: Vec<(RGBColor, Mark)> = KNOWN
            .iter()
            .map(|name| (look_of(name).colour, look_of(name).mark))
            .collect();
        for (index, look) in looks.iter().enumerate() {
            assert!(!looks[..index].contains(look), "{}", KNOWN[index]);
        }
        assert_ne!(look_of("outcore").colour, look_of("farena").colour);
    }
}
