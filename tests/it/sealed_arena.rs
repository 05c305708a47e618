//! Arenas that are sealed into files, and opened again by the same locations.

use std::fs;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;

use outcore::sealed::{Kind, MemoryRanges, ReadRanges, SealedFile};
use outcore::{Arena, ArenaWriter, DiskVec, ErrorKind, Location, ReadOptions, SealedVec};

use crate::support::random::Random;
use crate::support::{arena, disk, new_dir};

/// Returns the bytes of an item: no two items begin alike.
fn item(n: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (n * 31 + at * 7 + at / 251).to_le_bytes()[0])
        .collect()
}

/// An arena, and what can be read from it.
struct World {
    arena: Arena,
    items: Vec<(Location, Vec<u8>)>,
    unflushed: Vec<Location>,
    /// What pushed those.
    _writer: ArenaWriter,
}

/// Fills an arena by several writers, which leave gaps.
fn world(seed: u64) -> World {
    let arena = arena();
    let mut random = Random::new(seed);
    let mut items = vec![(Location::default(), Vec::new())];
    let mut unflushed = Vec::new();
    let mut kept = arena.writer().unwrap();
    for round in 0..3 {
        let mut writers: Vec<_> = (0..3).map(|_| arena.writer().unwrap()).collect();
        for n in 0..200 {
            let len = match random.below(40) {
                0 => 300_000 + random.below(100_000),
                1 => 0,
                2..10 => random.below(30_000),
                _ => random.below(300),
            };
            let bytes = item(n + round, len);
            let writer = random.below(writers.len());
            let location = writers[writer].push(&bytes).unwrap();
            items.push((location, bytes));
        }
        for writer in writers {
            writer.finish().unwrap();
        }
        unflushed.push(kept.push("not flushed").unwrap());
    }
    World {
        arena,
        items,
        unflushed,
        _writer: kept,
    }
}

fn check(found: &Arena, world: &World, random: &mut Random) {
    let len: usize = world.items.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(found.len_bytes(), len as u64);
    for (location, bytes) in &world.items {
        assert!(found.get(*location).unwrap() == *bytes, "{location:?}");
    }
    // In any order, some of them more than once, and as a part of an item.
    let mut wanted: Vec<usize> = (0..2000).map(|_| random.below(world.items.len())).collect();
    wanted.extend([0, 0, 1]);
    let locations: Vec<_> = wanted.iter().map(|n| world.items[*n].0).collect();
    for options in [
        ReadOptions::new(),
        ReadOptions::new().direct(true),
        ReadOptions::new().threads(true).in_flight(3),
    ] {
        let mut times = vec![0; locations.len()];
        let answer = found.get_many_with(&options, &locations, |index, bytes| {
            assert!(bytes == world.items[wanted[index]].1);
            times[index] += 1;
        });
        answer.unwrap();
        assert!(times.iter().all(|times| *times == 1));
    }
    let mut stream = found.stream(locations.iter().copied());
    assert_eq!(stream.size_hint(), (locations.len(), Some(locations.len())));
    for (at, n) in wanted.iter().enumerate() {
        let next = if at % 2 == 0 {
            stream.next()
        } else {
            match stream.try_next() {
                Poll::Ready(next) => next,
                Poll::Pending => stream.next(),
            }
        };
        assert!(next.unwrap().unwrap() == world.items[*n].1);
    }
    assert!(stream.next().is_none());
}

#[test]
fn a_sealed_arena_answers_as_the_one_that_was_sealed() {
    let dir = new_dir();
    for seed in 0..3 {
        let mut random = Random::new(seed);
        let world = world(seed);
        let path = dir.join(format!("arena-{seed}"));
        world.arena.seal(&path).unwrap();
        let found = Arena::open(&path).unwrap();
        check(&found, &world, &mut random);
        check(&found, &world, &mut random);
        for location in &world.unflushed {
            let refused = found.get(*location).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::OutOfBounds, "{refused}");
            assert_eq!(refused.path(), Some(path.as_path()));
        }
        SealedFile::open(&path).unwrap().verify(|_done| {}).unwrap();
        // A copy of the file has the same locations.
        let again = dir.join(format!("again-{seed}"));
        found.seal(&again).unwrap();
        check(&Arena::open(&again).unwrap(), &world, &mut random);
        // As an object store gives it.
        let source = MemoryRanges::new(fs::read(&again).unwrap());
        check(&Arena::open_from(source).unwrap(), &world, &mut random);
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn an_arena_without_items_is_sealed_too() {
    let dir = new_dir();
    for (name, arena) in [("new", arena()), ("used", arena())] {
        if name == "used" {
            arena.writer().unwrap().finish().unwrap();
        }
        arena.seal(dir.join(name)).unwrap();
        let found = Arena::open(dir.join(name)).unwrap();
        assert_eq!(found.len_bytes(), 0);
        assert_eq!(found.get(Location::default()).unwrap(), b"");
        SealedFile::open(dir.join(name))
            .unwrap()
            .verify(|_done| {})
            .unwrap();
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn an_arena_goes_on_after_it_was_sealed() {
    let dir = new_dir();
    let path = dir.join("arena");
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let first = writer.push("first").unwrap();
    writer.flush().unwrap();
    arena.seal(&path).unwrap();
    let old = Arena::open(&path).unwrap();
    let second = writer.push("second").unwrap();
    writer.finish().unwrap();
    let refused = arena.seal(&path).unwrap_err();
    let answer = refused.io_error().map(io::Error::kind);
    assert_eq!(answer, Some(io::ErrorKind::AlreadyExists), "{refused}");
    arena.seal_replacing(&path).unwrap();
    let new = Arena::open(&path).unwrap();
    assert_eq!(new.get(first).unwrap(), b"first");
    assert_eq!(new.get(second).unwrap(), b"second");
    assert_eq!(old.get(first).unwrap(), b"first", "an open file stays");
    assert_eq!(old.get(second).unwrap_err().kind(), ErrorKind::OutOfBounds);
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        1,
        "nothing else is left"
    );
    fs::remove_dir_all(dir).unwrap();
}

/// A file has the items that were flushed when `seal` began, whatever writers do meanwhile.
#[test]
fn an_arena_is_sealed_while_others_write() {
    let dir = new_dir();
    let arena = arena();
    let mut before = Vec::new();
    let mut writer = arena.writer().unwrap();
    for n in 0..5000 {
        before.push((writer.push(item(n, 100)).unwrap(), n));
    }
    writer.flush().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let arena = arena.clone();
            scope.spawn(move || {
                for round in 0..20 {
                    let mut writer = arena.writer().unwrap();
                    for n in 0..300 {
                        writer.push(item(n, 1000 * (round + 1))).unwrap();
                    }
                    writer.finish().unwrap();
                }
            });
        }
        for round in 0..10 {
            arena.seal(dir.join(round.to_string())).unwrap();
        }
    });
    for round in 0..10 {
        let path = dir.join(round.to_string());
        let found = Arena::open(&path).unwrap();
        for (location, n) in &before {
            assert!(found.get(*location).unwrap() == item(*n, 100));
        }
        SealedFile::open(&path).unwrap().verify(|_done| {}).unwrap();
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_changes_an_arena_is_refused_in_a_file() {
    let dir = new_dir();
    let path = dir.join("arena");
    arena().seal(&path).unwrap();
    let found = Arena::open(&path).unwrap();
    let refusals = [found.writer().unwrap_err(), found.map().unwrap_err()];
    for refused in refusals {
        assert_eq!(refused.kind(), ErrorKind::ReadOnly, "{refused}");
        assert_eq!(refused.path(), Some(path.as_path()), "{refused}");
    }
    assert!(found.dir().is_none());
    assert_eq!(found.disk_bytes(), fs::metadata(&path).unwrap().len());
    assert!(format!("{found:?}").contains("arena"), "{found:?}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn each_file_is_opened_as_what_it_is() {
    let dir = new_dir();
    let world = world(5);
    world.arena.seal(dir.join("arena")).unwrap();
    let mut numbers = DiskVec::<u8>::new_in(&disk());
    numbers.extend_from_slice(b"numbers").unwrap();
    numbers.seal(dir.join("numbers")).unwrap();
    let refused = Arena::open(dir.join("numbers")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WrongType, "{refused}");
    let refused = SealedVec::<u8>::open(dir.join("arena")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WrongType, "{refused}");
    let file = SealedFile::open(dir.join("arena")).unwrap();
    assert_eq!(file.kind(), Kind::Arena);
    assert_eq!(file.elements(), world.arena.len_bytes());
    fs::remove_dir_all(dir).unwrap();
}

/// The file keeps the tag of its arena, so a location of another arena is still recognized. That no new
/// arena gets the same tag is tested beside the tags.
#[test]
fn locations_of_other_arenas_are_refused() {
    let dir = new_dir();
    let mut made = arena().writer().unwrap();
    let known = made.push("known").unwrap();
    made.flush().unwrap();
    made.arena().seal(dir.join("arena")).unwrap();
    drop(made);
    let found = Arena::open(dir.join("arena")).unwrap();
    let twice = Arena::open(dir.join("arena")).unwrap();
    drop(twice);
    for _ in 0..100 {
        let other = arena();
        let mut writer = other.writer().unwrap();
        let foreign = writer.push("other").unwrap();
        let refused = found.get(foreign).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ForeignLocation, "{refused}");
    }
    assert_eq!(found.get(known).unwrap(), b"known");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_damaged_block_takes_only_its_own_items() {
    use std::os::unix::fs::FileExt;
    let dir = new_dir();
    let path = dir.join("arena");
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let locations: Vec<_> = (0..1000)
        .map(|n| writer.push(item(n, 100)).unwrap())
        .collect();
    writer.finish().unwrap();
    arena.seal(&path).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"damage", 4096 + 50_000).unwrap();
    let found = Arena::open(&path).unwrap();
    let block = u64::from(SealedFile::open(&path).unwrap().block_bytes());
    let is_hit =
        |n: u64| n * 100 / block <= 50_000 / block && (n * 100 + 99) / block >= 50_000 / block;
    // The stream tells each of the others, although they are read together.
    let streamed = found.stream(locations.iter().copied());
    for ((n, location), answer) in (0..).zip(&locations).zip(streamed) {
        match (found.get(*location), answer) {
            (Ok(one), Ok(other)) => {
                let expected = item(usize::try_from(n).unwrap(), 100);
                assert!(!is_hit(n) && one == expected && other == expected, "{n}");
            }
            (Err(one), Err(other)) => {
                assert!(is_hit(n), "{n}: {one}");
                assert_eq!(one.kind(), ErrorKind::Corrupt);
                assert_eq!(one.to_string(), other.to_string());
            }
            answers => panic!("{n}: {answers:?}"),
        }
    }
    let all = found.get_many(&locations, |_index, _bytes| {});
    assert_eq!(all.unwrap_err().kind(), ErrorKind::Corrupt);
    fs::remove_dir_all(dir).unwrap();
}

/// A source of bytes that delivers, and then panics.
struct Panics(MemoryRanges);

impl ReadRanges for Panics {
    fn read_tail(&self, len: usize) -> io::Result<(u64, Vec<u8>)> {
        self.0.read_tail(len)
    }

    fn read_ranges(
        &self,
        ranges: &[Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> io::Result<()> {
        self.0.read_ranges(ranges, deliver)?;
        if ranges[0].start <= 4096 && ranges[0].end >= 4096 + 10_000 {
            panic_any("planted");
        }
        Ok(())
    }
}

/// Text is checked before it is in the caller's string: the code that reads an opened arena may be
/// the caller's, and may panic when bytes have arrived that are no text.
#[test]
fn a_source_that_panics_leaves_no_bytes_in_a_string() {
    let dir = new_dir();
    let path = dir.join("arena");
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let bytes = writer.push(vec![0xFF; 20_000]).unwrap();
    writer.finish().unwrap();
    arena.seal(&path).unwrap();
    let source = Panics(MemoryRanges::new(fs::read(&path).unwrap()));
    let found = Arena::open_from(source).unwrap();
    let mut text = String::from("before");
    let read = AssertUnwindSafe(|| found.get_str_into(bytes, &mut text));
    assert!(catch_unwind(read).is_err());
    assert_eq!(text, "before");
    let found = Arena::open(&path).unwrap();
    let refused = found.get_str_into(bytes, &mut text).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidUtf8, "{refused}");
    #[expect(
        unsafe_code,
        reason = "a wrong claim, which an opened arena does not believe"
    )]
    // SAFETY: none is needed of a file: its bytes are checked.
    let refused = unsafe { found.get_str_into_unchecked(bytes, &mut text) }.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidUtf8, "{refused}");
    assert_eq!(text, "before");
    fs::remove_dir_all(dir).unwrap();
}

/// Forged locations that overlap were joined to one read, as long as all of them together.
#[test]
fn overlapping_locations_are_read_in_short_pieces() {
    let dir = new_dir();
    let path = dir.join("arena");
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let all = writer.push(item(1, 8 << 20)).unwrap();
    writer.finish().unwrap();
    arena.seal(&path).unwrap();
    let part = |at: u32| {
        let mut bytes = all.to_bytes();
        let lower = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        bytes[4..8].copy_from_slice(&(lower + at).to_le_bytes());
        bytes[8..].copy_from_slice(&300_000_u32.to_le_bytes());
        Location::from_bytes(bytes)
    };
    let locations: Vec<_> = (0..80).map(|n| part(n * 100_000)).collect();
    let longest = Arc::new(AtomicU64::new(0));
    let source = Longest(
        MemoryRanges::new(fs::read(&path).unwrap()),
        Arc::clone(&longest),
    );
    let found = Arena::open_from(source).unwrap();
    let expected = item(1, 8 << 20);
    let mut count = 0;
    let answer = found.get_many(&locations, |index, bytes| {
        assert!(bytes == &expected[index * 100_000..][..300_000]);
        count += 1;
    });
    answer.unwrap();
    assert_eq!(count, 80);
    let longest = longest.load(Relaxed);
    assert!(longest < 2 << 20, "a read of {longest} bytes");
    fs::remove_dir_all(dir).unwrap();
}

/// Notes the longest range.
struct Longest(MemoryRanges, Arc<AtomicU64>);

impl ReadRanges for Longest {
    fn read_tail(&self, len: usize) -> io::Result<(u64, Vec<u8>)> {
        self.0.read_tail(len)
    }

    fn read_ranges(
        &self,
        ranges: &[Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> io::Result<()> {
        for range in ranges {
            let len = range.end - range.start;
            self.1.fetch_max(len, Relaxed);
        }
        self.0.read_ranges(ranges, deliver)
    }
}

/// A file of version 1 has to be readable for ever: this one was written with the first version that
/// sealed arenas.
#[test]
fn the_first_sealed_arena_is_still_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/arena-1.outcore");
    if std::env::var_os("OUTCORE_GOLDEN").is_some_and(|what| what == "write") {
        let arena = arena();
        let mut writer = arena.writer().unwrap();
        let locations: Vec<_> = (0..100).map(|n| writer.push(item(n, n)).unwrap()).collect();
        writer.finish().unwrap();
        arena.seal_replacing(&path).unwrap();
        let list: Vec<u8> = locations.iter().flat_map(|at| at.to_bytes()).collect();
        fs::write(path.with_extension("locations"), list).unwrap();
    }
    let found = Arena::open(&path).unwrap();
    let list = fs::read(path.with_extension("locations")).unwrap();
    assert_eq!(list.len(), 1200);
    for (n, location) in list.chunks(12).enumerate() {
        let location = Location::from_bytes(location.try_into().unwrap());
        assert!(found.get(location).unwrap() == item(n, n), "{n}");
    }
    SealedFile::open(&path).unwrap().verify(|_done| {}).unwrap();
}
