//! Locations that an arena did not hand out, or whose bytes are not available: always a specific
//! error, never a panic, never other bytes.

use std::collections::BTreeMap;

use outcore::{ArenaMap, ErrorKind, Location};

use crate::support::allocations::counted;
use crate::support::arena;
use crate::support::items::{BUFFER, item};
use crate::support::random::{Random, seeds};

/// Returns a location with these fields, in the layout that `Location` documents.
fn forge(tag: [u8; 2], file: u8, offset: u64, len: u32) -> Location {
    let [o0, o1, o2, o3, o4, o5, ..] = offset.to_le_bytes();
    let [l0, l1, l2, l3] = len.to_le_bytes();
    let upper = (o5 & 0x0F) | (file << 4);
    Location::from_bytes([o4, upper, tag[0], tag[1], o0, o1, o2, o3, l0, l1, l2, l3])
}

/// Returns the fields of a location: the tag, the file, the offset.
fn parts(location: Location) -> ([u8; 2], u8, u64) {
    let [o4, upper, t0, t1, o0, o1, o2, o3, ..] = location.to_bytes();
    let offset = u64::from_le_bytes([o0, o1, o2, o3, o4, upper & 0x0F, 0, 0]);
    ([t0, t1], upper >> 4, offset)
}

/// The content of an arena, by file and offset: a byte is available once it is flushed.
#[derive(Default)]
struct Shadow {
    files: BTreeMap<u8, Content>,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    /// For each byte, 1 if it is available.
    there: Vec<u8>,
}

impl Shadow {
    fn note(&mut self, location: Location, bytes: &[u8]) {
        let (_, file, offset) = parts(location);
        let start = usize::try_from(offset).unwrap();
        let range = start..start + bytes.len();
        let content = self.files.entry(file).or_default();
        let len = content.bytes.len().max(range.end);
        content.bytes.resize(len, 0);
        content.there.resize(len, 0);
        let there = &mut content.there[range.clone()];
        assert!(!there.contains(&1), "{location:?} overlaps another item");
        there.fill(1);
        content.bytes[range].copy_from_slice(bytes);
    }

    /// Returns the bytes at a location if all of them were recorded.
    fn bytes(&self, location: Location) -> Option<&[u8]> {
        let (_, file, offset) = parts(location);
        if location.is_empty() {
            return Some(&[]);
        }
        let start = usize::try_from(offset).ok()?;
        let range = start..start.checked_add(location.len() as usize)?;
        let content = self.files.get(&file)?;
        let there = content.there.get(range.clone())?;
        (!there.contains(&0)).then(|| &content.bytes[range])
    }
}

/// Returns a location that is wrong in one of the typical ways.
fn forged(random: &mut Random, real: Location) -> Location {
    let (tag, file, offset) = parts(real);
    let near = [0, 1, 2, 3, 7, BUFFER as u64, BUFFER as u64 + 1];
    let len = real.len();
    match random.below(8) {
        0 => {
            let mut bytes = [0; 12];
            bytes[..8].copy_from_slice(&random.next().to_le_bytes());
            bytes[8..].copy_from_slice(&random.next().to_le_bytes()[..4]);
            Location::from_bytes(bytes)
        }
        1 => {
            let offset = random.next() >> random.pick(&[20, 30, 40]);
            let len = random.next() >> random.pick(&[32, 40, 50]);
            let file = random.pick(&[0, 1, 2, 15]);
            forge(tag, file, offset, u32::try_from(len).unwrap())
        }
        2 => forge(tag, random.pick(&[0, 1, 2, 15]), offset, len),
        3 => forge(tag, file, offset.saturating_add(random.pick(&near)), len),
        4 => forge(tag, file, offset.saturating_sub(random.pick(&near)), len),
        5 => forge(
            tag,
            file,
            offset,
            random.pick(&[0, 1, len + 1, 1 << 20, u32::MAX]),
        ),
        6 => {
            let block = random.below_u64(40) * BUFFER as u64;
            forge(tag, file, block.saturating_sub(random.pick(&near)), len)
        }
        _ => {
            let end = (1 << 44) - 1 - random.pick(&near);
            forge(tag, file, end, random.pick(&[1, len, u32::MAX]))
        }
    }
}

/// Reads a forged location in every way; only recorded bytes may be returned.
fn assert_only_noted(what: &str, map: &ArenaMap, shadow: &Shadow, location: Location) {
    let arena = map.arena();
    let what = format!("{what}: {location:?}");
    let expected = shadow.bytes(location);
    let mut bytes = b"kept".to_vec();
    let answer = arena.get_into(location, &mut bytes);
    if let Err(refused) = answer {
        use ErrorKind::{ForeignLocation, NotFlushed, OutOfBounds};
        let kind = refused.kind();
        let known = [ForeignLocation, NotFlushed, OutOfBounds].contains(&kind);
        assert!(known, "{what}: {refused}");
        assert!(
            expected.is_none() || kind == ForeignLocation,
            "{what}: {refused}"
        );
        assert_eq!(bytes, b"kept", "{what}");
        assert_eq!(arena.get(location).unwrap_err().kind(), kind, "{what}");
        assert_eq!(map.get(location).unwrap_err().kind(), kind, "{what}");
        let nothing = |_, _: &[u8]| panic!("{what}: delivered");
        let refused = arena.get_many(&[location], nothing).unwrap_err();
        assert_eq!(refused.kind(), kind, "{what}");
        let mut text = String::from("kept");
        let refused = arena.get_str_into(location, &mut text).unwrap_err();
        assert_eq!(refused.kind(), kind, "{what}");
        assert_eq!(text.as_bytes(), b"kept", "{what}");
        return;
    }
    let expected = expected.unwrap_or_else(|| panic!("{what}: read what was never flushed"));
    assert!(bytes[4..] == *expected, "{what}");
    assert!(arena.get(location).unwrap() == expected, "{what}");
    assert!(map.get(location).unwrap() == expected, "{what}");
    arena
        .get_many(&[location], |_, found| assert!(found == expected, "{what}"))
        .unwrap();
    let mut text = String::from("kept");
    match arena.get_str_into(location, &mut text) {
        Ok(()) => assert_eq!(text.as_bytes()[4..], *expected, "{what}"),
        Err(refused) => {
            assert_eq!(refused.kind(), ErrorKind::InvalidUtf8, "{what}");
            assert_eq!(text.as_bytes(), b"kept", "{what}");
            assert!(std::str::from_utf8(expected).is_err(), "{what}");
        }
    }
}

/// Reads forged locations of an arena with two writers that hold unflushed bytes.
fn run(seed: u64, count: usize, sabotage: impl Fn(&mut Shadow)) {
    let mut random = Random::new(seed);
    let arena = arena();
    let (mut shadow, mut real) = (Shadow::default(), Vec::new());
    let mut writers = [arena.writer().unwrap(), arena.writer().unwrap()];
    for writer in &mut writers {
        let lens = [5, 1, 100, BUFFER - 50, 3 * BUFFER + 7, 12, 0, BUFFER + 1];
        for (id, len) in (seed..).zip(lens) {
            let bytes = item(id, len);
            let location = writer.push(&bytes).unwrap();
            shadow.note(location, &bytes);
            real.push(location);
        }
        writer.flush().unwrap();
        // These are not recorded, so no read may return a byte of them.
        real.push(writer.push(item(seed, 2000)).unwrap());
    }
    sabotage(&mut shadow);
    let map = arena.map().unwrap();
    for n in 0..count {
        let template = random.pick(&real);
        let location = forged(&mut random, template);
        let what = format!("seed {seed}, location {n}");
        let (_, peak, ()) = counted(|| assert_only_noted(&what, &map, &shadow, location));
        assert!(peak < 8 << 20, "{what}: {peak} bytes for {location:?}");
        // A writer also reads its own buffer, and checks the rest as strictly.
        let mut bytes = b"kept".to_vec();
        if writers[0].get_into(location, &mut bytes).is_err() {
            assert_eq!(bytes, b"kept", "{what}");
            assert!(arena.get(location).is_err(), "{what}");
        } else if let Some(expected) = shadow.bytes(location) {
            assert!(bytes[4..] == *expected, "{what}");
        }
    }
}

#[test]
fn forged_locations_reveal_nothing_but_flushed_bytes() {
    let count = if cfg!(any(miri, memory_backend)) {
        50
    } else {
        1000
    };
    for seed in seeds(16) {
        run(seed, count, |_| {});
    }
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_difference_is_found() {
    run(0, 1000, |shadow| {
        let contents = shadow.files.values_mut();
        contents.for_each(|content| content.bytes[0] ^= 1);
    });
}

#[test]
fn any_twelve_bytes_are_a_location_and_come_back() {
    let mut random = Random::new(12);
    for _ in 0..10_000 {
        let (tag, file, offset) = (random.next(), random.next(), random.next());
        let tag = [tag.to_le_bytes()[0], tag.to_le_bytes()[1]];
        let (file, offset) = (file.to_le_bytes()[0] & 15, offset >> 20);
        let location = forge(tag, file, offset, 9);
        assert_eq!(parts(location), (tag, file, offset));
        assert_eq!(Location::from_bytes(location.to_bytes()), location);
        assert_eq!(Location::from(<[u8; 12]>::from(location)), location);
    }
}

/// farena F5: a location worked on any arena and returned that arena's bytes.
#[test]
fn a_location_of_another_arena_is_foreign() {
    let [here, there] = [arena(), arena()];
    let [mine, theirs] = [&here, &there].map(|arena| {
        let mut writer = arena.writer().unwrap();
        let location = writer.push("twelve bytes").unwrap();
        writer.finish().unwrap();
        location
    });
    for (arena, location) in [(&here, theirs), (&there, mine)] {
        let refused = arena.get(location).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ForeignLocation);
        let as_io = std::io::Error::from(refused);
        assert_eq!(as_io.kind(), std::io::ErrorKind::InvalidInput);
        let writer = arena.writer().unwrap();
        let refused = writer.get_into(location, &mut Vec::new()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ForeignLocation);
    }
    let refused = here.get_many(&[mine, theirs], |_, _| panic!("delivered"));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ForeignLocation);
}

#[test]
fn a_location_of_a_dropped_arena_is_foreign() {
    let location = {
        let arena = arena();
        let mut writer = arena.writer().unwrap();
        writer.push("gone with its arena").unwrap()
    };
    let next = arena();
    next.writer().unwrap().push("something else here").unwrap();
    let refused = next.get(location).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ForeignLocation);
}

#[test]
fn an_empty_item_of_another_arena_is_foreign_too() {
    let location = arena().writer().unwrap().push("").unwrap();
    let refused = arena().get(location).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ForeignLocation);
}

#[test]
fn the_default_location_is_empty_everywhere() {
    let arena = arena();
    assert_eq!(arena.get(Location::default()).unwrap(), b"");
    assert_eq!(arena.map().unwrap().get(Location::default()).unwrap(), b"");
}

#[test]
fn what_is_not_flushed_is_an_error_until_it_is() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let location = writer.push("not on disk yet").unwrap();
    let map = arena.map().unwrap();
    let other = arena.writer().unwrap();
    let kinds = [
        arena.get(location).unwrap_err().kind(),
        map.get(location).unwrap_err().kind(),
        other
            .get_into(location, &mut Vec::new())
            .unwrap_err()
            .kind(),
        arena.get_many(&[location], |_, _| {}).unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NotFlushed; 4]);
    writer.flush().unwrap();
    assert_eq!(arena.get(location).unwrap(), b"not on disk yet");
    assert_eq!(map.get(location).unwrap(), b"not on disk yet");
}

/// farena F1: `get_into` lengthened the vector over uninitialized memory before it checked the
/// location; after the panic for a bad index, the vector exposed that memory.
#[test]
fn a_failed_read_leaves_the_vector_as_it_was() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let real = writer.push("some bytes").unwrap();
    writer.flush().unwrap();
    let (tag, file, offset) = parts(real);
    let mut bytes = vec![1, 2, 3];
    for bad in [
        forge(tag, 5, 0, 4096),
        forge(tag, file, offset, 4096),
        forge(tag, file, 1 << 40, 4096),
    ] {
        arena.get_into(bad, &mut bytes).unwrap_err();
        writer.get_into(bad, &mut bytes).unwrap_err();
        assert_eq!(bytes, [1, 2, 3], "{bad:?}");
    }
}

/// farena F6: two writers with the same index were accepted, and the file of the first was dropped.
/// outcore has no index.
#[test]
fn writers_made_the_same_way_all_keep_their_items() {
    let arena = arena();
    let mut writers = [arena.writer().unwrap(), arena.writer().unwrap()];
    let locations = [0, 1].map(|n| writers[n].push(["first", "other"][n]).unwrap());
    for writer in writers {
        writer.finish().unwrap();
    }
    assert_eq!(arena.get(locations[0]).unwrap(), b"first");
    assert_eq!(arena.get(locations[1]).unwrap(), b"other");
}

/// farena F7: a file number that the arena does not have caused a panic in a method that returns a
/// `Result`.
#[test]
fn a_file_that_is_not_there_is_out_of_bounds() {
    let arena = arena();
    let real = arena.writer().unwrap().push("bytes").unwrap();
    let (tag, _, _) = parts(real);
    for file in 1..16 {
        let refused = arena.get(forge(tag, file, 0, 5)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OutOfBounds);
    }
}

/// farena F8: `get` allocated and zeroed the stated length before it checked the file, so twelve
/// forged bytes took 4 GiB.
#[test]
fn a_forged_length_takes_no_memory() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let real = writer.push("short").unwrap();
    writer.flush().unwrap();
    let (tag, file, offset) = parts(real);
    let endless = forge(tag, file, offset, u32::MAX);
    let map = arena.map().unwrap();
    let (_, peak, ()) = counted(|| {
        arena.get(endless).unwrap_err();
        arena.get_many(&[real, endless], |_, _| {}).unwrap_err();
        map.get(endless).unwrap_err();
        writer.get_into(endless, &mut Vec::new()).unwrap_err();
    });
    assert!(peak < 1 << 20, "{peak} bytes");
}

/// Empty items were delivered while the locations were still being checked.
#[test]
fn a_bad_location_is_found_before_anything_is_delivered() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let good = writer.push("good").unwrap();
    let empty = writer.push("").unwrap();
    writer.flush().unwrap();
    let bad = writer.push("not flushed").unwrap();
    for locations in [[good, bad], [empty, bad], [Location::default(), bad]] {
        let mut delivered = 0;
        let refused = arena.get_many(&locations, |_, _| delivered += 1);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFlushed);
        assert_eq!(delivered, 0, "{locations:?}");
    }
}
