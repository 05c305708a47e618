//! The byte arena with threads: concurrent writers, and readers beside writers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;

use outcore::{ErrorKind, Location};

use crate::support::items::{BUFFER, assert_item, item};
use crate::support::random::Random;
use crate::support::{arena, get_mapped};

/// Sizes that cross the buffer often.
fn len_of(id: u64) -> usize {
    let mut random = Random::new(id);
    match random.below(20) {
        0 => 0,
        1 => random.pick(&[BUFFER - 1, BUFFER, BUFFER + 1]),
        2..=5 => 8 + random.below(20_000),
        _ => 8 + random.below(500),
    }
}

const WRITERS: u64 = 3;
const ITEMS: u64 = if cfg!(miri) { 20 } else { 1500 };

/// The items that writers have pushed so far, flushed or not.
type Pushed = Mutex<Vec<(u64, Location)>>;

fn write(arena: &outcore::Arena, ids: std::ops::Range<u64>, pushed: &Pushed) {
    let mut writer = arena.writer().unwrap();
    let mut random = Random::new(ids.start);
    for id in ids {
        let location = writer.push(item(id, len_of(id))).unwrap();
        // Readers get the location before the flush, so that they try to read unflushed items.
        pushed.lock().unwrap().push((id, location));
        match random.below(50) {
            0 => writer.flush().unwrap(),
            1 => {
                writer.finish().unwrap();
                writer = arena.writer().unwrap();
            }
            2 => writer = arena.writer().unwrap(),
            _ => {}
        }
    }
}

/// Reads random items: an unflushed item is that error, every other one has its own bytes.
fn read(arena: &outcore::Arena, seed: u64, pushed: &Pushed, running: &AtomicUsize) -> usize {
    let mut random = Random::new(seed);
    let mut map = arena.map().unwrap();
    let mut found = 0;
    while running.load(Relaxed) > 0 || found < 100 {
        let (id, location) = {
            let pushed = pushed.lock().unwrap();
            if pushed.is_empty() {
                continue;
            }
            random.pick(&pushed)
        };
        let mut bytes = Vec::new();
        let answer = match random.below(3) {
            0 => arena.get_into(location, &mut bytes),
            1 => get_mapped(&mut map, location).map(|item| bytes.extend(item)),
            _ => arena.get_many(&[location], |_, item| bytes.extend_from_slice(item)),
        };
        match answer {
            Ok(()) => assert_item(&bytes, id, len_of(id), "read while others write"),
            Err(refused) => assert_eq!(refused.kind(), ErrorKind::NotFlushed),
        }
        found += usize::from(answer_was_there(&bytes));
    }
    found
}

fn answer_was_there(bytes: &[u8]) -> bool {
    !bytes.is_empty()
}

#[test]
fn readers_see_whole_items_while_others_write() {
    let arena = arena();
    let pushed = Pushed::default();
    let running = AtomicUsize::new(usize::try_from(WRITERS).unwrap());
    thread::scope(|scope| {
        for n in 0..WRITERS {
            let (arena, pushed, running) = (&arena, &pushed, &running);
            scope.spawn(move || {
                write(arena, n * ITEMS..(n + 1) * ITEMS, pushed);
                running.fetch_sub(1, Relaxed);
            });
        }
        for seed in 0..2 {
            let (arena, pushed, running) = (&arena, &pushed, &running);
            scope.spawn(move || assert!(read(arena, seed, pushed, running) >= 100));
        }
    });
    let pushed = pushed.into_inner().unwrap();
    assert_eq!(pushed.len() as u64, WRITERS * ITEMS);
    let locations: Vec<Location> = pushed.iter().map(|(_, location)| *location).collect();
    let mut times = vec![0; pushed.len()];
    let deliver = |index: usize, bytes: &[u8]| {
        let (id, _) = pushed[index];
        assert_item(bytes, id, len_of(id), "after all writers ended");
        times[index] += 1;
    };
    arena.get_many(&locations, deliver).unwrap();
    assert!(times.iter().all(|times| *times == 1));
    let total: usize = pushed.iter().map(|(id, _)| len_of(*id)).sum();
    assert_eq!(arena.len_bytes(), total as u64);
}

#[test]
fn a_writer_and_its_locations_move_to_other_threads() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let here = writer.push("pushed here").unwrap();
    let (sender, receiver) = mpsc::channel();
    let elsewhere = thread::spawn(move || {
        let there = writer.push("pushed there").unwrap();
        sender.send(there).unwrap();
        writer
    });
    let there = receiver.recv().unwrap();
    elsewhere.join().unwrap().finish().unwrap();
    assert_eq!(arena.get(here).unwrap(), b"pushed here");
    assert_eq!(arena.get(there).unwrap(), b"pushed there");
}

#[test]
fn writers_that_come_and_go_in_many_threads_share_no_byte() {
    let arena = arena();
    let rounds = if cfg!(miri) { 5 } else { 200 };
    let found = thread::scope(|scope| {
        let work = |thread: u64| {
            let arena = &arena;
            move || {
                let mut pushed = Vec::new();
                for round in 0..rounds {
                    let mut writer = arena.writer().unwrap();
                    for n in 0..3 {
                        let id = (thread * rounds + round) * 3 + n;
                        pushed.push((id, writer.push(item(id, 200)).unwrap()));
                    }
                }
                pushed
            }
        };
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(work(n))).collect();
        let ended = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        ended.collect::<Vec<_>>()
    });
    let mut locations: Vec<_> = found.iter().map(|(_, location)| *location).collect();
    locations.sort_unstable();
    locations.dedup();
    assert_eq!(locations.len(), found.len());
    for (id, location) in found {
        assert_item(&arena.get(location).unwrap(), id, 200, "of a short writer");
    }
}

#[test]
fn a_panic_in_one_writers_thread_leaves_the_others() {
    let arena = arena();
    let mut mine = arena.writer().unwrap();
    let before = mine.push("before").unwrap();
    let theirs = thread::scope(|scope| {
        let panics = || {
            let mut writer = arena.writer().unwrap();
            let location = writer.push("flushed while the thread unwinds").unwrap();
            std::panic::panic_any(location);
        };
        let panicked = scope.spawn(panics).join().unwrap_err();
        *panicked.downcast::<Location>().unwrap()
    });
    let after = mine.push("after").unwrap();
    mine.finish().unwrap();
    assert_eq!(
        arena.get(theirs).unwrap(),
        b"flushed while the thread unwinds"
    );
    assert_eq!(arena.get(before).unwrap(), b"before");
    assert_eq!(arena.get(after).unwrap(), b"after");
}
