//! Many concurrent reads from the user's view: batches, streams, elements at random.

use std::collections::HashSet;
use std::task::Poll;

use outcore::{Arena, DiskVec, ErrorKind, Location, ReadOptions};

use crate::support::items::{assert_item, item};
use crate::support::random::{Random, seeds};
use crate::support::{arena, disk};

/// Both engines, with few reads at a time and many, and direct reads, which always need an engine.
pub(crate) fn ways() -> [ReadOptions; 6] {
    let ring = ReadOptions::new();
    let threads = ReadOptions::new().threads(true);
    [
        ring.clone(),
        threads.clone(),
        ring.clone().direct(true),
        threads.clone().direct(true),
        ring.direct(true).in_flight(1),
        threads.direct(true).in_flight(2),
    ]
}

/// Makes an arena of items of many lengths.
pub(crate) fn filled(count: u64) -> (Arena, Vec<Location>) {
    let arena = arena();
    let mut writers = [(); 2].map(|()| arena.writer().unwrap());
    let pushed = (0..count).map(|id| {
        let writer = &mut writers[usize::from(id % 3 == 0)];
        writer.push(item(id, len(id))).unwrap()
    });
    let locations = pushed.collect();
    for writer in writers {
        writer.finish().unwrap();
    }
    (arena, locations)
}

pub(crate) fn len(id: u64) -> usize {
    let lens = [0, 1, 512, 100, 5000, 512, 70_000, 33, 4096, 200_000];
    lens[usize::try_from(id % 10).unwrap()]
}

/// The bytes equal those of single reads, whatever the order and the options.
#[test]
fn batches_and_streams_bring_what_single_reads_bring() {
    let count: u64 = if cfg!(miri) { 20 } else { 500 };
    let (arena, locations) = filled(count);
    for seed in seeds(3) {
        let mut random = Random::new(seed);
        let asked: Vec<usize> = (0..count).map(|_| random.below(locations.len())).collect();
        let chosen: Vec<Location> = asked.iter().map(|at| locations[*at]).collect();
        for way in ways() {
            let name = format!("seed {seed}, {way:?}");
            let mut seen = HashSet::new();
            let deliver = |index: usize, bytes: &[u8]| {
                assert!(bytes == arena.get(chosen[index]).unwrap(), "{name}");
                assert_item(bytes, asked[index] as u64, len(asked[index] as u64), &name);
                assert!(seen.insert(index), "{name}: {index} came twice");
            };
            arena.get_many_with(&way, &chosen, deliver).unwrap();
            assert_eq!(seen.len(), chosen.len(), "{name}");

            let stream = arena.stream_with(&way, chosen.iter().copied());
            let mut taken = 0;
            for (found, id) in stream.zip(&asked) {
                assert_item(&found.unwrap(), *id as u64, len(*id as u64), &name);
                taken += 1;
            }
            assert_eq!(taken, chosen.len(), "{name}");
        }
    }
}

#[test]
#[should_panic(expected = "the planted difference")]
fn a_planted_difference_is_found() {
    let (arena, locations) = filled(10);
    let planted = [locations[2]];
    let wrong = |_, bytes: &[u8]| assert_item(bytes, 5, 512, "the planted difference");
    arena.get_many_with(&ways()[2], &planted, wrong).unwrap();
}

#[test]
fn a_stream_that_nobody_waits_for_gets_there_too() {
    let (arena, locations) = filled(100);
    for way in ways() {
        let mut stream = arena.stream_with(&way, locations.iter().copied());
        assert_eq!(stream.size_hint(), (100, Some(100)));
        let mut id = 0;
        loop {
            match stream.try_next() {
                Poll::Ready(Some(found)) => {
                    assert_item(&found.unwrap(), id, len(id), "without waiting");
                    id += 1;
                }
                Poll::Ready(None) => break,
                Poll::Pending => std::thread::yield_now(),
            }
        }
        assert_eq!(id, 100);
        assert!(stream.next().is_none() && stream.try_next().is_ready());
    }
}

#[test]
fn a_bad_location_in_a_stream_is_an_error_in_its_place() {
    let (arena, locations) = filled(10);
    let (_other, foreign) = filled(10);
    let asked = [locations[2], foreign[2], Location::default(), locations[5]];
    for way in ways() {
        let found: Vec<_> = arena.stream_with(&way, asked).collect();
        assert_item(found[0].as_ref().unwrap(), 2, 512, "before");
        let refused = found[1].as_ref().unwrap_err().kind();
        assert_eq!(refused, ErrorKind::ForeignLocation);
        assert!(found[2].as_ref().unwrap().is_empty());
        assert_item(found[3].as_ref().unwrap(), 5, 512, "behind");
        assert_eq!(found.len(), 4);
    }
}

#[test]
fn a_stream_can_be_left_and_goes_to_other_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<outcore::ArenaStream<std::vec::IntoIter<Location>>>();
    let (arena, locations) = filled(200);
    for way in ways() {
        for taken in [0, 1, 50] {
            let mut stream = arena.stream_with(&way, locations.clone());
            drop(stream.by_ref().take(taken).collect::<Vec<_>>());
            // Another thread waits for the reads in flight.
            std::thread::spawn(move || drop(stream)).join().unwrap();
        }
    }
    assert_item(&arena.get(locations[2]).unwrap(), 2, 512, "afterwards");
}

#[test]
fn a_stream_keeps_its_arena() {
    let (arena, locations) = filled(50);
    let stream = arena.stream(locations);
    drop(arena);
    for (found, id) in stream.zip(0..) {
        assert_item(
            &found.unwrap(),
            id,
            len(id),
            "of an arena that only the stream has",
        );
    }
}

#[test]
fn what_is_prefetched_is_read_as_before() {
    let (arena, locations) = filled(100);
    let map = arena.map().unwrap();
    map.prefetch_many(&locations).unwrap();
    map.prefetch_many(&[]).unwrap();
    assert_item(map.get(locations[4]).unwrap(), 4, 5000, "prefetched");
    let (_other, foreign) = filled(3);
    let refused = map.prefetch_many(&[locations[1], foreign[1]]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ForeignLocation);

    let numbers = numbers(300_000);
    numbers.prefetch_many(&[5, 299_999, 5, 100_000]).unwrap();
    assert_eq!(numbers[100_000], 100_000);
}

fn numbers(count: u32) -> DiskVec<u32> {
    let count = if cfg!(miri) { count / 100 } else { count };
    let mut numbers = DiskVec::new_in(&disk());
    numbers.try_extend(0..count).unwrap();
    numbers
}

/// The results equal indexing: in the file, in the window, at the border, after the front is
/// removed.
#[test]
fn gathered_elements_are_those_of_the_slice() {
    for seed in seeds(3) {
        let mut random = Random::new(seed);
        let mut numbers = numbers(500_000);
        for round in 0..4 {
            let mut indices: Vec<usize> = (0..2000).map(|_| random.below(numbers.len())).collect();
            indices.extend([0, numbers.len() - 1, 0]);
            let expected: Vec<u32> = indices.iter().map(|index| numbers[*index]).collect();
            let found = numbers.gather(&indices).unwrap();
            assert!(found == expected, "seed {seed}, round {round}");
            match round {
                0 => numbers.evict(..).unwrap(),
                1 => numbers.iter_mut().for_each(|number| *number ^= 0xABCD),
                _ => drop(numbers.drain(..numbers.len() / 3)),
            }
        }
    }
}

/// Elements of 24 bytes cross pages and the end of the file.
#[test]
fn elements_across_borders_are_gathered_whole() {
    let count: u64 = if cfg!(miri) { 5000 } else { 100_000 };
    let mut wide = DiskVec::new_in(&disk());
    wide.try_extend((0..count).map(|n| (n, [7_u8; 3], [n; 1])))
        .unwrap();
    wide.evict(..).unwrap();
    let all: Vec<usize> = (0..wide.len()).rev().collect();
    let found = wide.gather(&all).unwrap();
    assert!(found.iter().eq(wide.iter().rev()));
}

#[expect(
    clippy::large_stack_arrays,
    reason = "the test needs an element of this size"
)]
fn giant(n: u8) -> [u8; 100_000] {
    [n; 100_000]
}

#[test]
fn elements_of_no_size_and_giants_are_gathered() {
    let mut units = DiskVec::new_in(&disk());
    units.try_extend([(); 10]).unwrap();
    assert_eq!(units.gather(&[9, 0, 0]).unwrap(), [(); 3]);
    units.prefetch_many(&[9]).unwrap();
    // One is longer than a buffer, and together they are longer than a window.
    let mut giants = DiskVec::new_in(&disk());
    giants.try_extend((0..10).map(giant)).unwrap();
    giants.try_extend((10..100).map(giant)).unwrap();
    let found = giants.gather(&[99, 3, 0]).unwrap();
    assert!(found == vec![giant(99), giant(3), giant(0)]);
    assert!(DiskVec::<u8>::new().gather(&[]).unwrap().is_empty());
}

#[test]
#[should_panic(expected = "the len is 10 but the index is 10")]
fn an_index_past_the_end_panics_as_that_of_a_slice() {
    let mut bytes = DiskVec::new_in(&disk());
    bytes.try_extend(0..10_u8).unwrap();
    let _never = bytes.gather(&[3, 10]);
}
