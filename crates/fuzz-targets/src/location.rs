//! Locations that were never handed out, and texts that serde never wrote.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Bound;

use outcore::{Arena, ArenaMap, DiskVec, ErrorKind, Location, Result, ScratchDir, Written};

use crate::bytes::{Bytes, item};

/// The lengths of the items in the arena that reads forged locations.
const LENS: [usize; 9] = [3, 0, 4096, 1, 300_000, 65_536, 7, 100_000, 2];

/// An arena and everything that can be read from it.
struct Known {
    arena: Arena,
    map: ArenaMap,
    genuine: Vec<Location>,
    /// The flushed bytes by their position; adjacent items are one entry.
    flushed: BTreeMap<u64, Vec<u8>>,
}

thread_local! {
    static KNOWN: OnceCell<Known> = const { OnceCell::new() };
}

pub(crate) fn run(data: &[u8], planted: bool) {
    KNOWN.with(|known| {
        let known = known.get_or_init(Known::new);
        let mut bytes = Bytes::new(data);
        match bytes.byte() % 4 {
            0 => texts(bytes.rest()),
            1 => lists(&mut bytes),
            _ => known.forge(&mut bytes, planted),
        }
    });
}

/// Returns the position of a location, from its documented layout.
fn position(location: Location) -> u64 {
    let [b4, b5, _, _, b0, b1, b2, b3, ..] = location.to_bytes();
    u64::from_le_bytes([b0, b1, b2, b3, b4, b5, 0, 0])
}

impl Known {
    fn new() -> Self {
        let arena = Arena::new_in(&ScratchDir::from_env().unwrap()).unwrap();
        let mut genuine = Vec::new();
        let mut pieces = BTreeMap::new();
        // Two writers at a time, so that the extents of each are not contiguous.
        let mut writers = [arena.writer().unwrap(), arena.writer().unwrap()];
        for (id, len) in (0..).zip(LENS) {
            for (number, writer) in (0..).zip(&mut writers) {
                let bytes = item(id * 2 + number, len);
                let location = writer.push(&bytes).unwrap();
                if len > 0 {
                    pieces.insert(position(location), bytes);
                }
                genuine.push(location);
            }
        }
        for writer in writers {
            writer.finish().unwrap();
        }
        let mut flushed: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (start, bytes) in pieces {
            match flushed.last_entry() {
                Some(mut last) if last.key() + last.get().len() as u64 == start => {
                    last.get_mut().extend(bytes);
                }
                _ => drop(flushed.insert(start, bytes)),
            }
        }
        Self {
            map: arena.map().unwrap(),
            arena,
            genuine,
            flushed,
        }
    }

    /// Returns the bytes at a location, if all of them were flushed.
    fn at(&self, location: Location) -> Option<&[u8]> {
        let start = position(location);
        let before = (Bound::Unbounded, Bound::Included(start));
        let (first, bytes) = self.flushed.range(before).next_back()?;
        let from = usize::try_from(start - first).ok()?;
        bytes.get(from..from.checked_add(location.len() as usize)?)
    }

    fn forge(&self, bytes: &mut Bytes<'_>, planted: bool) {
        let mut locations = Vec::new();
        while !bytes.is_empty() && locations.len() < 40 {
            let genuine = bytes.pick(&self.genuine);
            let raw: [u8; 12] = match bytes.byte() % 4 {
                0 => bytes.array(),
                // Random bits, and numbers near the genuine ones.
                1 => {
                    let mut raw = genuine.to_bytes();
                    raw[bytes.below(12)] ^= 1 << bytes.below(8);
                    raw
                }
                2 => {
                    let moved = position(genuine).wrapping_add(bytes.len(400_000) as u64);
                    let [b0, b1, b2, b3, b4, b5, ..] = moved.to_le_bytes();
                    let mut raw = genuine.to_bytes();
                    raw[..2].copy_from_slice(&[b4, b5]);
                    raw[4..8].copy_from_slice(&[b0, b1, b2, b3]);
                    raw
                }
                _ => {
                    let mut raw = genuine.to_bytes();
                    let len = u32::try_from(bytes.len(900_000)).unwrap();
                    raw[8..].copy_from_slice(&len.to_le_bytes());
                    raw
                }
            };
            let forged = Location::from_bytes(raw);
            assert_eq!(forged.to_bytes(), raw);
            let text = serde_json::to_string(&forged).unwrap();
            assert_eq!(serde_json::from_str::<Location>(&text).unwrap(), forged);
            locations.push(forged);
        }
        let answers: Vec<Result<Vec<u8>>> =
            locations.iter().map(|at| self.arena.get(*at)).collect();
        for (location, answer) in locations.iter().zip(&answers) {
            self.check(*location, answer, planted);
        }
        let all_are_there = answers.iter().all(Result::is_ok);
        let mut delivered = 0;
        let deliver = |index: usize, found: &[u8]| {
            assert!(answers[index].as_ref().unwrap() == found);
            delivered += 1;
        };
        let answer = self.arena.get_many(&locations, deliver);
        assert_eq!(answer.is_ok(), all_are_there, "{answer:?}");
        assert_eq!(delivered, if all_are_there { locations.len() } else { 0 });
        assert_eq!(self.map.prefetch_many(&locations).is_ok(), all_are_there);
        let streamed = self.arena.stream(locations.iter().copied());
        for (expected, found) in answers.iter().zip(streamed) {
            assert_eq!(expected.as_ref().ok(), found.as_ref().ok());
        }
    }

    fn check(&self, location: Location, answer: &Result<Vec<u8>>, planted: bool) {
        let tag = |location: Location| location.to_bytes()[2..4].to_vec();
        let is_ours = tag(location) == tag(self.genuine[0]);
        let mapped = self.map.get(location);
        assert_eq!(mapped.as_ref().ok().copied(), answer.as_deref().ok());
        let kind = answer.as_ref().err().map(outcore::Error::kind);
        // Planted: an arena that checks only the position.
        if !is_ours && !planted {
            let is_default = location == Location::default();
            assert_eq!(kind, (!is_default).then_some(ErrorKind::ForeignLocation));
            return;
        }
        match (answer, self.at(location)) {
            (Ok(found), _) if location.is_empty() => assert!(found.is_empty()),
            (Ok(found), Some(expected)) => assert!(found == expected, "{location:?}"),
            (Ok(_), None) => panic!("{location:?} was never pushed"),
            (Err(refused), Some(_)) => panic!("{location:?}: {refused}"),
            (Err(_), None) => {
                let past = matches!(kind, Some(ErrorKind::NotFlushed | ErrorKind::OutOfBounds));
                assert!(past, "{location:?}: {kind:?}");
            }
        }
    }
}

/// Serde writes back any text that it reads, and a vector equals std's.
fn texts(text: &[u8]) {
    if let Ok(location) = serde_json::from_slice::<Location>(text) {
        let written = serde_json::to_vec(&location).unwrap();
        assert_eq!(
            serde_json::from_slice::<Location>(&written).unwrap(),
            location
        );
        let bytes = serde_json::from_slice::<[u8; 12]>(text).unwrap();
        assert_eq!(location.to_bytes(), bytes);
    }
    let disk = serde_json::from_slice::<DiskVec<i32>>(text);
    let model = serde_json::from_slice::<Vec<i32>>(text);
    assert_eq!(disk.ok().map(|disk| disk.to_vec()), model.ok());
    let record = serde_json::from_slice::<Written>(text);
    let pairs = serde_json::from_slice::<Vec<(u64, u64)>>(text);
    let sound = pairs
        .ok()
        .filter(|pairs| pairs.iter().all(|(start, end)| start <= end));
    assert_eq!(record.is_ok(), sound.is_some());
    if let (Ok(record), Some(pairs)) = (record, sound) {
        let expected: Written = pairs.into_iter().map(|(start, end)| start..end).collect();
        assert_eq!(record, expected);
        assert_eq!(record.to_string().parse::<Written>().unwrap(), record);
    }
    lines(text);
}

/// A line parses as a record or is an error; so does a line with one changed byte.
fn lines(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for line in [text.to_string(), format!("{{{text}}}")] {
        if let Ok(record) = line.parse::<Written>() {
            assert_eq!(record.to_string(), line.trim_ascii());
        }
    }
}

/// Lists that are written, read back, and read again with a changed byte.
fn lists(bytes: &mut Bytes<'_>) {
    let mut pairs = Vec::new();
    while !bytes.is_empty() && pairs.len() < 60 {
        let start = bytes.len(70_000) as u64;
        pairs.push((start, start + bytes.len(70_000) as u64));
    }
    let record: Written = pairs.iter().map(|(start, end)| *start..*end).collect();
    let mut marks = vec![false; 140_001];
    for (start, end) in &pairs {
        let place = |number: &u64| usize::try_from(*number).unwrap();
        marks[place(start)..place(end)].fill(true);
    }
    assert_eq!(
        record.bytes(),
        marks.iter().filter(|mark| **mark).count() as u64
    );
    let starts = marks.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    assert_eq!(record.spans().count(), starts + usize::from(marks[0]));
    for (start, end) in &pairs {
        assert!(record.contains(&(*start..*end)));
    }
    texts(&serde_json::to_vec(&pairs).unwrap());
    texts(&serde_json::to_vec(&record).unwrap());
    let mut line = record.to_string().into_bytes();
    lines(&line);
    let at = bytes.below(line.len());
    line[at] = b"0123456789.,{ }"[bytes.below(15)];
    lines(&line);
    let flat: Vec<u64> = pairs
        .iter()
        .flat_map(|(start, end)| [*start, *end])
        .collect();
    texts(&serde_json::to_vec(&flat).unwrap());
}
