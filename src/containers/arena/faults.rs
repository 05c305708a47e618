//! Fault injection in the arena: no item is lost or changed, whatever call fails.
#![expect(clippy::arithmetic_side_effects, reason = "tests")]

use std::sync::LazyLock;

use crate::containers::arena::{Arena, ArenaMap, ArenaWriter, Location};
use crate::error::ErrorKind;
use crate::mapping::advice::Advice;
use crate::testing::{Campaign, Life};

#[test]
fn items_are_what_was_pushed_whatever_call_fails() {
    let live = |life: &mut Life| live(life, 2, 1 << 20, writers);
    Campaign::new("arena, writers", 70, live)
        .inexact()
        .plants("another item", "reads other bytes")
        .run();
}

#[test]
fn what_a_writer_did_not_use_is_given_back_or_kept_whatever_call_fails() {
    let live = |life: &mut Life| live(life, 1, 1 << 30, giving_back);
    Campaign::new("arena, giving back", 30, live)
        .inexact()
        .plants("another item", "reads other bytes")
        .run();
}

/// Runs the scenario in an arena with this shape, and checks the result.
fn live(life: &mut Life, spread: usize, file_bytes_max: u64, work: fn(&mut Life, &mut World)) {
    let dir = life.scratch_dir();
    let arena = Arena::with_shape(&dir, spread, file_bytes_max).unwrap();
    let mut world = World {
        arena,
        items: Vec::new(),
        writers: 0,
    };
    work(life, &mut world);
    life.disarm();
    if life.is_planted("another item") {
        world.items[0].id += 1;
    }
    world.check(life);
    world.read_each(life);
    world.read_batch(life);
    drop(world);
    let name = life.name();
    assert_eq!(dir.used_bytes(), 0, "{name}: the budget is not back");
}

/// Writers of several kinds, small and large items, files that are full, and every way to read.
fn writers(life: &mut Life, world: &mut World) {
    let mut first = world.writer(life);
    for len in [10, 0, 100, 255 << 10, 5000, 300 << 10, 7] {
        world.push(life, &mut first, len);
    }
    let mut second = world.writer(life);
    world.push(life, &mut second, 200 << 10);
    world.push(life, &mut second, 100 << 10);
    world.flush(life, &mut first);
    world.read_each(life);
    world.read_through(life, &second);
    let map = life.attempt("map", || world.arena.map());
    world.read_map(life, &map);
    // Too long for the rest of the first file.
    world.push(life, &mut first, 700 << 10);
    let mut dropped = world.writer(life);
    world.push(life, &mut dropped, 50);
    world.push(life, &mut dropped, 2000);
    world.drop_unflushed(dropped);
    let mut short = world.writer(life);
    world.push(life, &mut short, 500);
    world.finish(life, short);
    world.finish(life, first);
    world.finish(life, second);
    world.read_batch(life);
    life.attempt("advise", || map.advise(Advice::Random));
    world.read_map(life, &map);
    // Checks where the next writer begins after all of this.
    let mut last = world.writer(life);
    world.push(life, &mut last, 300);
    world.finish(life, last);
}

/// A file that grows until cutting off a writer's unused part pays.
fn giving_back(life: &mut Life, world: &mut World) {
    let mut writer = world.writer(life);
    life.attempt("reserve", || writer.writer.reserve(4 << 20));
    world.push(life, &mut writer, 5 << 20);
    world.push(life, &mut writer, 10);
    world.finish(life, writer);
    // If the file could not be shortened, it keeps the space.
    let kept = world.arena.disk_bytes() > 6 << 20;
    assert!(!kept || !life.is_whole(), "the rest is kept");
    let mut writer = world.writer(life);
    world.push(life, &mut writer, 1 << 20);
    world.push(life, &mut writer, 20);
    world.drop_unflushed(writer);
    world.read_batch(life);
    let map = life.attempt("map", || world.arena.map());
    world.read_map(life, &map);
}

/// An item that was handed out.
#[derive(Clone, Copy, Debug)]
struct Item {
    location: Location,
    id: usize,
    len: usize,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// In the buffer of this writer, or already flushed.
    Pushed {
        by: usize,
    },
    Flushed,
    /// Its writer was dropped, and may have failed to flush.
    Dropped,
}

/// An arena, and what it should hold.
struct World {
    arena: Arena,
    items: Vec<Item>,
    writers: usize,
}

/// A writer and its number.
struct Numbered {
    number: usize,
    writer: ArenaWriter,
}

/// Returns the bytes of an item: a sequence of numbers that repeats after a prime number of bytes,
/// so that no two blocks of a long item are equal.
fn bytes(id: usize, len: usize) -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut word = 1_u32;
        let numbers = (0..65_521).map(|_| {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            word.to_le_bytes()[3]
        });
        numbers.collect::<Vec<u8>>().repeat(90)
    });
    &BYTES[id * 97..][..len]
}

fn expect(life: &Life, item: Item, found: &[u8]) {
    let same = found == bytes(item.id, item.len);
    assert!(
        same,
        "{}: {:?} reads other bytes",
        life.name(),
        item.location
    );
}

impl World {
    fn writer(&mut self, life: &mut Life) -> Numbered {
        let writer = life.attempt("make a writer", || self.arena.writer());
        self.writers += 1;
        let number = self.writers;
        Numbered { number, writer }
    }

    fn push(&mut self, life: &mut Life, to: &mut Numbered, len: usize) {
        let id = self.items.len() + 1;
        let name = life.name().to_owned();
        let location = life.attempt("push", || {
            let held = to.writer.unflushed_bytes();
            let answer = to.writer.push(bytes(id, len));
            let now = to.writer.unflushed_bytes();
            let whole = answer.is_ok() || now == held || now == 0;
            assert!(whole, "{name}: {now} bytes held after {held}: {answer:?}");
            answer
        });
        self.items.push(Item {
            location,
            id,
            len,
            fate: Fate::Pushed { by: to.number },
        });
        self.check(life);
    }

    fn flush(&mut self, life: &mut Life, from: &mut Numbered) {
        life.attempt("flush", || from.writer.flush());
        self.becomes(from.number, Fate::Flushed);
    }

    fn finish(&mut self, life: &mut Life, from: Numbered) {
        let mut writer = from.writer;
        while let Err(refused) = writer.finish() {
            life.refused("finish", refused.error());
            writer = refused.into_writer();
            assert!(writer.unflushed_bytes() > 0, "{}: empty", life.name());
        }
        self.becomes(from.number, Fate::Flushed);
        self.check(life);
    }

    fn drop_unflushed(&mut self, writer: Numbered) {
        drop(writer.writer);
        self.becomes(writer.number, Fate::Dropped);
    }

    fn becomes(&mut self, number: usize, fate: Fate) {
        for item in &mut self.items {
            if item.fate == (Fate::Pushed { by: number }) {
                item.fate = fate;
            }
        }
    }

    /// Reads every item alone, in whatever state it is.
    fn read_each(&self, life: &mut Life) {
        for item in self.items.iter().copied() {
            let found = life.attempt("get", || match self.arena.get(item.location) {
                Err(refused) if refused.kind() == ErrorKind::NotFlushed => Ok(None),
                answer => answer.map(Some),
            });
            match found {
                Some(found) => expect(life, item, &found),
                None => assert_ne!(item.fate, Fate::Flushed, "{}: it was flushed", life.name()),
            }
        }
    }

    /// Reads all items that a writer pushed, through that writer.
    fn read_through(&self, life: &mut Life, writer: &Numbered) {
        let mine = Fate::Pushed { by: writer.number };
        for item in self.items.iter().copied().filter(|item| item.fate == mine) {
            let mut found = Vec::new();
            life.attempt("read what is not flushed", || {
                let answer = writer.writer.get_into(item.location, &mut found);
                assert!(answer.is_ok() || found.is_empty(), "{item:?}: half of it");
                answer
            });
            expect(life, item, &found);
        }
    }

    fn read_map(&self, life: &mut Life, map: &ArenaMap) {
        for item in self.flushed() {
            let found = life.attempt("read through a map", || map.get(item.location));
            expect(life, item, found);
        }
    }

    fn read_batch(&self, life: &mut Life) {
        let items = self.flushed();
        let locations: Vec<Location> = items.iter().map(|item| item.location).collect();
        let name = life.name().to_owned();
        life.attempt("read a batch", || {
            let mut times = vec![0; items.len()];
            self.arena.get_many(&locations, |index, found| {
                let same = found == bytes(items[index].id, items[index].len);
                assert!(same, "{name}: {:?} reads other bytes", items[index]);
                times[index] += 1;
            })?;
            assert!(times.iter().all(|times| *times == 1), "{name}: {times:?}");
            Ok(())
        });
    }

    fn flushed(&self) -> Vec<Item> {
        let flushed = |item: &&Item| item.fate == Fate::Flushed;
        self.items.iter().filter(flushed).copied().collect()
    }

    /// Compares the counters with the files.
    fn check(&self, life: &Life) {
        let mut claimed = 0;
        for shard in self.arena.inner.shards() {
            let len = shard.file.sys().len().unwrap();
            let noted = shard.file.claimed_bytes();
            let used = shard.len_bytes();
            assert!(used <= noted, "{}: {used} bytes of {noted}", life.name());
            // Only a lasting fault can also hit the call that undoes half a growth.
            let undone = len == noted || (!life.is_single() && len > noted);
            assert!(undone, "{}: {len} bytes, {noted} claimed", life.name());
            let on_disk = shard.file.sys().disk_bytes().unwrap();
            assert!(on_disk >= noted, "{}: {on_disk} of {noted}", life.name());
            claimed += noted;
        }
        let budget = self.arena.dir().unwrap().used_bytes();
        assert_eq!(budget, claimed, "{}: the budget differs", life.name());
        let flushed: usize = self.flushed().iter().map(|item| item.len).sum();
        let pushed: usize = self.items.iter().map(|item| item.len).sum();
        let possible = flushed as u64..=pushed as u64;
        let len = self.arena.len_bytes();
        assert!(
            possible.contains(&len),
            "{}: {len} {possible:?}",
            life.name()
        );
    }
}
