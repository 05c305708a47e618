//! The byte arena from the user's view: pushed items are read back, in every way.

use std::panic::{AssertUnwindSafe, catch_unwind};

use outcore::{Advice, Arena, ArenaMap, ArenaWriter, Error, ErrorKind, FinishError, Location};

use crate::support::allocations::counted;
use crate::support::items::{BUFFER, EDGES, assert_bytes, assert_item, item};
use crate::support::{arena, disk};

/// Reads an item in every way that an arena offers; all results must agree.
#[track_caller]
fn assert_reads(arena: &Arena, map: &ArenaMap, location: Location, id: u64, len: usize) {
    let what = format!("item {id} at {location:?}");
    let expected = item(id, len);
    assert_eq!(location.len() as usize, len, "{what}");
    assert_eq!(location.is_empty(), len == 0, "{what}");
    assert_bytes(&arena.get(location).unwrap(), &expected, &what);
    let mut bytes = b"before".to_vec();
    arena.get_into(location, &mut bytes).unwrap();
    assert_eq!(&bytes[..6], b"before", "{what}");
    assert_bytes(&bytes[6..], &expected, &what);
    assert_bytes(map.get(location).unwrap(), &expected, &what);
    let mut delivered = 0;
    let deliver = |index, found: &[u8]| {
        assert_eq!(index, 0, "{what}");
        assert_bytes(found, &expected, &what);
        delivered += 1;
    };
    arena.get_many(&[location], deliver).unwrap();
    assert_eq!(delivered, 1, "{what}");
}

#[test]
fn what_is_pushed_is_read_back_in_every_way() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let locations = [("hello", 5), (" world", 6), ("", 0)].map(|(text, len)| {
        let location = writer.push(text).unwrap();
        assert_eq!((location.len(), location.is_empty()), (len, len == 0));
        location
    });
    writer.finish().unwrap();
    let [hello, world, empty] = locations;
    assert_eq!(arena.get(hello).unwrap(), b"hello");
    assert_eq!(arena.get(world).unwrap(), b" world");
    assert_eq!(arena.get(empty).unwrap(), b"");
    let map = arena.map().unwrap();
    assert_eq!(locations.map(|at| map.get(at).unwrap().len()), [5, 6, 0]);
}

#[test]
fn push_takes_everything_that_is_bytes() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let bytes = vec![b'x'; 3];
    let locations = [
        writer.push("xxx"),
        writer.push(String::from("xxx")),
        writer.push(b"xxx"),
        writer.push([b'x'; 3]),
        writer.push(&bytes),
        writer.push(bytes.as_slice()),
        writer.push(bytes),
    ];
    writer.finish().unwrap();
    for location in locations {
        assert_eq!(arena.get(location.unwrap()).unwrap(), b"xxx");
    }
}

#[test]
fn reads_append_so_that_payloads_concatenate() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let [hello, world] = ["hello", " world"].map(|text| writer.push(text).unwrap());
    writer.flush().unwrap();
    let mut text = String::from(">");
    arena.get_str_into(hello, &mut text).unwrap();
    arena.get_str_into(world, &mut text).unwrap();
    assert_eq!(text, ">hello world");
    let mut bytes = vec![0];
    arena.get_into(hello, &mut bytes).unwrap();
    writer.get_into(world, &mut bytes).unwrap();
    assert_eq!(bytes, b"\0hello world");
}

#[test]
fn an_item_ends_where_it_ends_whatever_the_buffer_held() {
    let arena = arena();
    for fill in EDGES {
        for len in EDGES {
            let mut writer = arena.writer().unwrap();
            let items = [fill, len, 3].map(|len| (len, writer.push(item(7, len)).unwrap()));
            for (len, location) in items {
                let mut bytes = Vec::new();
                writer.get_into(location, &mut bytes).unwrap();
                assert_item(&bytes, 7, len, "not flushed yet");
            }
            writer.finish().unwrap();
            for (len, location) in items {
                let what = format!("{len} bytes after {fill}");
                assert_item(&arena.get(location).unwrap(), 7, len, &what);
            }
        }
    }
}

#[test]
fn items_of_all_sizes_come_back_in_every_way() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let sizes = [1, BUFFER - 1, BUFFER, BUFFER + 1, (1 << 20) + 1, 5 << 20, 0];
    let mut pushed = Vec::new();
    for (id, len) in (0..).zip(sizes.into_iter().chain(sizes.into_iter().rev())) {
        pushed.push((writer.push(item(id, len)).unwrap(), id, len));
    }
    writer.finish().unwrap();
    let map = arena.map().unwrap();
    for (location, id, len) in &pushed {
        assert_reads(&arena, &map, *location, *id, *len);
    }
    // All items in one batch, from the last to the first.
    let backwards: Vec<Location> = pushed.iter().rev().map(|pushed| pushed.0).collect();
    let mut times = vec![0; backwards.len()];
    let deliver = |index: usize, bytes: &[u8]| {
        let (_, id, len) = pushed[pushed.len() - 1 - index];
        assert_item(bytes, id, len, "in a batch");
        times[index] += 1;
    };
    arena.get_many(&backwards, deliver).unwrap();
    assert!(times.iter().all(|times| *times == 1), "{times:?}");
}

#[test]
fn items_are_packed_without_padding_in_the_order_of_pushes() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let lens = [3, 0, 1000, 1, BUFFER - 1004, 5, 2 * BUFFER, 7];
    let locations = lens.map(|len| writer.push(item(1, len)).unwrap());
    assert!(locations.is_sorted(), "{locations:?}");
    writer.finish().unwrap();
    let total: usize = lens.iter().sum();
    assert_eq!(arena.len_bytes(), total as u64);
    assert!(arena.disk_bytes() >= arena.len_bytes());
    assert!(arena.disk_bytes() <= arena.len_bytes() + (1 << 20));
}

/// farena F11: an arena was built once and then only read.
#[test]
fn an_arena_is_never_closed() {
    let arena = arena();
    let mut pushed = Vec::new();
    for round in 0..5 {
        let mut writer = arena.writer().unwrap();
        for n in 0..100 {
            let id = round * 100 + n;
            pushed.push((id, writer.push(item(id, 1000)).unwrap()));
        }
        writer.finish().unwrap();
        for (id, location) in &pushed {
            assert_item(&arena.get(*location).unwrap(), *id, 1000, "between pushes");
        }
    }
}

#[test]
fn an_arena_of_empty_writers_is_valid() {
    let arena = arena();
    let writers = [(); 3].map(|()| arena.writer().unwrap());
    let map = arena.map().unwrap();
    for writer in writers {
        writer.finish().unwrap();
    }
    assert_eq!((arena.len_bytes(), arena.disk_bytes()), (0, 0));
    let mut writer = arena.writer().unwrap();
    let empty = writer.push("").unwrap();
    assert_eq!((arena.len_bytes(), arena.disk_bytes()), (0, 0));
    assert_eq!(arena.get(empty).unwrap(), b"");
    assert_eq!(map.get(empty).unwrap(), b"");
}

#[test]
fn a_map_shows_what_is_flushed_after_it_was_made() {
    let arena = arena();
    let early = arena.map().unwrap();
    let mut first = arena.writer().unwrap();
    let before = first.push("before the map").unwrap();
    first.flush().unwrap();
    let map = arena.map().unwrap();
    // A second concurrent writer has its own file if there are two cores.
    let mut second = arena.writer().unwrap();
    let elsewhere = second.push(item(1, 3 << 20)).unwrap();
    let file = |location: Location| location.to_bytes()[1] >> 4;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(file(before) != file(elsewhere), cores > 1);
    let after = first.push(item(2, 3 << 20)).unwrap();
    let unflushed = first.push("not yet").unwrap();
    second.flush().unwrap();
    for map in [early, map] {
        assert_eq!(map.get(before).unwrap(), b"before the map");
        assert_item(map.get(elsewhere).unwrap(), 1, 3 << 20, "in another file");
        assert_item(map.get(after).unwrap(), 2, 3 << 20, "past the old end");
        let refused = map.get(unflushed).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFlushed);
    }
}

#[test]
fn advice_changes_no_byte_and_reaches_files_made_later() {
    let arena = arena();
    let map = arena.map().unwrap();
    for (id, advice) in (0..).zip([Advice::Random, Advice::Sequential, Advice::Normal]) {
        map.advise(advice).unwrap();
        let mut writers = [arena.writer().unwrap(), arena.writer().unwrap()];
        for writer in &mut writers {
            let location = writer.push(item(id, 100_000)).unwrap();
            writer.flush().unwrap();
            let what = format!("{advice:?}");
            assert_item(map.get(location).unwrap(), id, 100_000, &what);
        }
    }
    assert_eq!(Advice::default(), Advice::Normal);
}

#[test]
fn borrowed_items_stay_while_more_is_pushed() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let location = writer.push(item(1, 10_000)).unwrap();
    writer.flush().unwrap();
    let map = arena.map().unwrap();
    let borrowed = map.get(location).unwrap();
    for id in 2..200 {
        writer.push(item(id, 50_000)).unwrap();
    }
    assert_item(borrowed, 1, 10_000, "while the file grew");
    assert_eq!(borrowed.as_ptr(), map.get(location).unwrap().as_ptr());
}

#[test]
fn an_arena_lives_as_long_as_a_writer_or_a_map_of_it() {
    let (writer, location) = {
        let mut writer = arena().writer().unwrap();
        let location = writer.push("kept by the writer").unwrap();
        writer.flush().unwrap();
        (writer, location)
    };
    assert_eq!(writer.arena().get(location).unwrap(), b"kept by the writer");
    let map = writer.arena().map().unwrap();
    writer.finish().unwrap();
    assert_eq!(map.get(location).unwrap(), b"kept by the writer");
    assert_eq!(map.arena().get(location).unwrap(), b"kept by the writer");
}

#[test]
fn clones_are_one_arena() {
    let arena = arena();
    let clone = arena.clone();
    let mut writer = clone.writer().unwrap();
    let location = writer.push("shared").unwrap();
    writer.finish().unwrap();
    drop(clone);
    assert_eq!(arena.get(location).unwrap(), b"shared");
    assert_eq!(arena.clone().len_bytes(), 6);
}

#[test]
fn a_dropped_writer_flushes() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let location = writer.push("dropped, not finished").unwrap();
    assert_eq!(writer.unflushed_bytes(), 21);
    assert_eq!(arena.len_bytes(), 0);
    drop(writer);
    assert_eq!(arena.get(location).unwrap(), b"dropped, not finished");
    assert_eq!(arena.len_bytes(), 21);
}

#[test]
fn a_batch_delivers_each_index_once_whatever_the_order() {
    let arena = arena();
    let mut writers = [(); 3].map(|()| arena.writer().unwrap());
    let len = |id: u64| [0, 1, 100, 5000, 70_000][usize::try_from(id % 5).unwrap()];
    let mut locations = Vec::new();
    for (id, writer) in (0..300).zip([0, 1, 2].iter().cycle()) {
        locations.push(writers[*writer].push(item(id, len(id))).unwrap());
    }
    for writer in writers {
        writer.finish().unwrap();
    }
    // Backwards, with repeats.
    let order: Vec<u64> = (0..300).rev().chain(0..100).collect();
    let asked = order
        .iter()
        .map(|id| locations[usize::try_from(*id).unwrap()]);
    let asked: Vec<Location> = asked.collect();
    let mut times = vec![0; asked.len()];
    let deliver = |index: usize, bytes: &[u8]| {
        assert_item(bytes, order[index], len(order[index]), "in a batch");
        times[index] += 1;
    };
    arena.get_many(&asked, deliver).unwrap();
    assert!(times.iter().all(|times| *times == 1), "{times:?}");
    arena
        .get_many(&[], |_, _| panic!("nothing was asked for"))
        .unwrap();
}

#[test]
fn a_batch_that_panics_halfway_harms_nothing() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let locations: Vec<_> = (0..10)
        .map(|id| writer.push(item(id, 100)).unwrap())
        .collect();
    writer.flush().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        arena.get_many(&locations, |index, _| assert!(index < 5, "planted"))
    }));
    panicked.unwrap_err();
    let late = writer.push("late").unwrap();
    writer.finish().unwrap();
    assert_eq!(arena.get(late).unwrap(), b"late");
    assert_item(&arena.get(locations[9]).unwrap(), 9, 100, "after the panic");
}

#[test]
fn a_giant_in_a_batch_does_not_keep_its_memory() {
    let giant = 32 << 20;
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let mut locations = vec![writer.push(vec![7; 32 << 20]).unwrap()];
    for id in 0..10 {
        locations.push(writer.push(item(id, 100_000)).unwrap());
    }
    writer.finish().unwrap();
    let mut live = Vec::with_capacity(locations.len());
    let (_, peak, ()) = counted(|| {
        let deliver = |_, _: &[u8]| live.push(crate::support::allocations::heap().live_bytes);
        arena.get_many(&locations, deliver).unwrap();
    });
    assert!(peak >= giant, "the giant needs its size once: {peak}");
    let spared = live[0] - live[live.len() - 1];
    assert!(spared >= giant - (1 << 20), "{spared} bytes given back");
}

#[test]
fn reads_and_pushes_with_room_allocate_nothing() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let locations: Vec<_> = (0..100)
        .map(|_| writer.push([b'a'; 512]).unwrap())
        .collect();
    writer.flush().unwrap();
    let map = arena.map().unwrap();
    let (mut bytes, mut text) = (Vec::with_capacity(512), String::with_capacity(512));
    let (calls, _, ()) = counted(|| {
        for location in &locations {
            bytes.clear();
            arena.get_into(*location, &mut bytes).unwrap();
            text.clear();
            arena.get_str_into(*location, &mut text).unwrap();
            assert_eq!(map.get(*location).unwrap(), bytes);
        }
    });
    assert_eq!(calls, 0, "reads");
    let (calls, _, ()) = counted(|| {
        for _ in 0..100 {
            writer.push([b'b'; 512]).unwrap();
        }
        writer.flush().unwrap();
    });
    assert_eq!(calls, 0, "pushes");
    let (calls, peak, _item) = counted(|| arena.get(locations[0]).unwrap());
    assert_eq!((calls, peak), (1, 512), "get takes just the item's length");
}

/// Each writer that ended lost the rest of its block: 1,000 writers took 256 MiB.
#[test]
fn a_thousand_short_writers_share_their_blocks() {
    let arena = arena();
    let mut locations = Vec::new();
    for id in 0..1000 {
        let mut writer = arena.writer().unwrap();
        locations.push(writer.push(item(id, 10)).unwrap());
        writer.finish().unwrap();
    }
    for (id, location) in (0..).zip(locations) {
        assert_item(&arena.get(location).unwrap(), id, 10, "of a short writer");
    }
    assert_eq!(arena.len_bytes(), 10_000);
    assert!(
        arena.disk_bytes() <= 1 << 20,
        "{} bytes on disk for 10,000",
        arena.disk_bytes()
    );
}

/// Each new writer took all of a growth by a quarter, so the hundredth writer took 32 MiB for its
/// first byte.
#[test]
fn a_hundred_writers_at_once_take_little_more_than_their_blocks() {
    let arena = arena();
    let mut writers: Vec<ArenaWriter> = (0..100).map(|_| arena.writer().unwrap()).collect();
    let mut locations = Vec::new();
    for round in 0..5 {
        for (n, writer) in (0..).zip(&mut writers) {
            let id = round * 100 + n;
            locations.push(writer.push(item(id, 1000)).unwrap());
        }
    }
    let disk_bytes = arena.disk_bytes();
    for writer in writers {
        writer.finish().unwrap();
    }
    for (id, location) in (0..).zip(locations) {
        assert_item(&arena.get(location).unwrap(), id, 1000, "of one of many");
    }
    // Twice the blocks: growth by a quarter, and the reserve of each file.
    let blocks = 100 * BUFFER as u64;
    assert!(disk_bytes <= 2 * blocks, "{disk_bytes} bytes for {blocks}");
}

#[test]
fn what_is_shown_for_debugging_says_something() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let location = writer.push("shown").unwrap();
    let shown = [
        format!("{arena:?}"),
        format!("{writer:?}"),
        format!("{:?}", arena.map().unwrap()),
        format!("{:?}", arena.dir().unwrap()),
    ];
    for text in &shown {
        assert!(text.contains(disk().path().to_str().unwrap()), "{text}");
    }
    assert!(shown[1].contains("unflushed_bytes: 5"), "{}", shown[1]);
    assert!(format!("{location:?}").contains("len: 5"), "{location:?}");
}

#[test]
fn handles_cross_threads_and_locations_are_twelve_plain_bytes() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    fn plain<T: Copy + Ord + std::hash::Hash + Default>() {}
    shared::<Arena>();
    shared::<ArenaMap>();
    shared::<Location>();
    shared::<Error>();
    shared::<outcore::ScratchDir>();
    sent::<ArenaWriter>();
    sent::<FinishError>();
    plain::<Location>();
    assert_eq!(size_of::<Location>(), 12);
    assert_eq!(align_of::<Location>(), 4);
    assert_eq!(size_of::<Arena>(), size_of::<usize>());
}

#[test]
fn no_file_can_have_16_tib_in_one_piece() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let location = writer.push("here").unwrap();
    for bytes in [1 << 44, u64::MAX] {
        let refused = writer.reserve(bytes).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::FileTooLarge, "{bytes}");
        assert!(refused.to_string().contains("reserve"), "{refused}");
    }
    writer.finish().unwrap();
    assert_eq!(arena.get(location).unwrap(), b"here");
}

#[test]
fn what_was_reserved_and_not_used_goes_back_to_the_disk() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    writer.reserve(8 << 20).unwrap();
    assert!(arena.disk_bytes() >= 8 << 20);
    writer.push("little").unwrap();
    writer.finish().unwrap();
    assert!(arena.disk_bytes() < 1 << 20, "{arena:?}");
}
