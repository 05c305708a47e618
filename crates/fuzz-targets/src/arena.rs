//! An arena, against a list of byte strings.

use outcore::{Arena, ArenaMap, ArenaWriter, ErrorKind, Location, ReadOptions, Result, ScratchDir};

use crate::bytes::{Bytes, is_item, item};

/// Bytes of a writer's buffer.
const BUFFER: usize = 256 << 10;

/// The most bytes that one case pushes.
const BYTES_MAX: usize = 2 << 20;

/// The planted bug: items longer than this lose their last byte.
const PLANTED_LEN: usize = 64 << 10;

struct Item {
    location: Location,
    id: u64,
    len: usize,
    /// The writer that pushed the item, if it may not have flushed it.
    writer: Option<u64>,
}

struct Run {
    arena: Arena,
    map: Option<ArenaMap>,
    writers: Vec<(u64, ArenaWriter)>,
    next: u64,
    items: Vec<Item>,
    pushed: usize,
    planted: bool,
}

pub(crate) fn run(data: &[u8], planted: bool) {
    let mut bytes = Bytes::new(data);
    let mut run = Run {
        arena: Arena::new_in(&ScratchDir::from_env().unwrap()).unwrap(),
        map: None,
        writers: Vec::new(),
        next: 0,
        items: Vec::new(),
        pushed: 0,
        planted,
    };
    while !bytes.is_empty() {
        match bytes.byte() % 16 {
            0 => run.new_writer(),
            1 => run.end_writer(&mut bytes),
            2 => run.flush(&mut bytes),
            3..=8 => run.push(&mut bytes),
            9 | 10 => run.read_one(&mut bytes),
            11 => run.read_through_writer(&mut bytes),
            12 => run.read_batch(&mut bytes),
            13 => run.stream(&mut bytes),
            14 => run.map = Some(run.arena.map().unwrap()),
            _ => run.read_forged(&mut bytes),
        }
    }
    while !run.writers.is_empty() {
        run.end_writer(&mut bytes);
    }
    let all: Vec<&Item> = run.items.iter().collect();
    run.check_batch(&ReadOptions::new(), &all);
    assert_eq!(run.arena.len_bytes(), run.pushed as u64);
    assert!(run.arena.disk_bytes() >= run.pushed as u64);
}

impl Run {
    fn new_writer(&mut self) {
        if self.writers.len() < 4 {
            self.writers.push((self.next, self.arena.writer().unwrap()));
            self.next += 1;
        }
    }

    fn end_writer(&mut self, bytes: &mut Bytes<'_>) {
        if self.writers.is_empty() {
            return;
        }
        let chosen = bytes.below(self.writers.len());
        let (name, writer) = self.writers.swap_remove(chosen);
        if bytes.flag() {
            writer.finish().unwrap();
        } else {
            drop(writer);
        }
        self.flushed(name);
    }

    fn flush(&mut self, bytes: &mut Bytes<'_>) {
        if self.writers.is_empty() {
            return;
        }
        let chosen = bytes.below(self.writers.len());
        let (name, writer) = &mut self.writers[chosen];
        writer.flush().unwrap();
        assert_eq!(writer.unflushed_bytes(), 0);
        let name = *name;
        self.flushed(name);
    }

    fn flushed(&mut self, name: u64) {
        for item in &mut self.items {
            item.writer = item.writer.filter(|writer| *writer != name);
        }
    }

    fn push(&mut self, bytes: &mut Bytes<'_>) {
        if self.writers.is_empty() {
            return self.new_writer();
        }
        let chosen = bytes.below(self.writers.len());
        let (name, writer) = &mut self.writers[chosen];
        let left = BUFFER - writer.unflushed_bytes() % BUFFER;
        let len = match bytes.byte() {
            0 => left - 1,
            1 => left,
            2 => left + 1,
            3 => bytes.pick(&[0, 1, 4095, 4096, 65_536, BUFFER - 1, BUFFER, BUFFER + 1]),
            _ => bytes.len(2 * BUFFER),
        };
        if self.pushed + len > BYTES_MAX {
            return;
        }
        let id = self.items.len() as u64;
        let location = writer.push(item(id, len)).unwrap();
        assert_eq!(location.len() as usize, len);
        self.pushed += len;
        self.items.push(Item {
            location,
            id,
            len,
            writer: Some(*name),
        });
    }

    fn is_right(&self, item: &Item, found: &[u8]) -> bool {
        let lost = usize::from(self.planted && item.len > PLANTED_LEN);
        found.len() - lost.min(found.len()) == item.len && is_item(found, item.id)
    }

    /// Flushed items must be readable; others may be readable, or refused.
    fn check(&self, item: &Item, answer: Result<Vec<u8>>) {
        match answer {
            Ok(found) => assert!(self.is_right(item, &found), "{:?}", item.location),
            Err(refused) => {
                assert_eq!(refused.kind(), ErrorKind::NotFlushed);
                assert!(item.writer.is_some() && item.len > 0, "{refused}");
            }
        }
    }

    fn read_one(&mut self, bytes: &mut Bytes<'_>) {
        if self.items.is_empty() {
            return;
        }
        let item = &self.items[bytes.below(self.items.len())];
        match bytes.byte() % 4 {
            0 => {
                let mut target = b"before".to_vec();
                let answer = self.arena.get_into(item.location, &mut target);
                assert_eq!(&target[..6], b"before");
                assert!(answer.is_ok() || target.len() == 6);
                self.check(item, answer.map(|()| target.split_off(6)));
            }
            1 => {
                let mut target = "before".to_owned();
                match self.arena.get_str_into(item.location, &mut target) {
                    Ok(()) => self.check(item, Ok(target.split_off(6).into_bytes())),
                    Err(refused) if refused.kind() == ErrorKind::InvalidUtf8 => {
                        assert_eq!(target, "before");
                        let found = self.arena.get(item.location).unwrap();
                        assert!(std::str::from_utf8(&found).is_err());
                    }
                    Err(refused) => self.check(item, Err(refused)),
                }
            }
            2 => {
                let Some(map) = &self.map else { return };
                match map.get(item.location) {
                    Ok(found) => assert!(self.is_right(item, found), "{:?}", item.location),
                    // Items behind the end of the map are in the next map.
                    Err(_behind) => {
                        let map = self.arena.map().unwrap();
                        self.check(item, map.get(item.location).map(<[u8]>::to_vec));
                    }
                }
            }
            _ => self.check(item, self.arena.get(item.location)),
        }
    }

    /// A writer reads the items in its buffer, and all flushed items.
    fn read_through_writer(&mut self, bytes: &mut Bytes<'_>) {
        if self.items.is_empty() || self.writers.is_empty() {
            return;
        }
        let item = &self.items[bytes.below(self.items.len())];
        let (name, writer) = &self.writers[bytes.below(self.writers.len())];
        let mut target = Vec::new();
        let answer = writer.get_into(item.location, &mut target);
        let elsewhere = item.writer.is_some_and(|other| other != *name);
        assert!(answer.is_ok() || elsewhere, "{answer:?}");
        self.check(item, answer.map(|()| target));
    }

    /// Returns some flushed items, some of them more than once.
    fn some_flushed(&self, bytes: &mut Bytes<'_>) -> Vec<&Item> {
        let count = bytes.below(24);
        let chosen = (0..count).filter_map(|_| self.items.get(bytes.below(self.items.len())));
        chosen.filter(|item| item.writer.is_none()).collect()
    }

    fn read_batch(&mut self, bytes: &mut Bytes<'_>) {
        let options = ReadOptions::new()
            .in_flight(1 + bytes.below(40))
            .threads(bytes.byte() % 8 == 0)
            .direct(bytes.byte() % 8 == 0);
        let chosen = self.some_flushed(bytes);
        self.check_batch(&options, &chosen);
        if let Some(map) = &self.map {
            let inside = chosen.iter().map(|item| item.location);
            let inside: Vec<Location> = inside.filter(|at| map.get(*at).is_ok()).collect();
            map.prefetch_many(&inside).unwrap();
        }
    }

    fn check_batch(&self, options: &ReadOptions, chosen: &[&Item]) {
        let locations: Vec<Location> = chosen.iter().map(|item| item.location).collect();
        let mut times = vec![0; chosen.len()];
        let deliver = |index: usize, found: &[u8]| {
            assert!(
                self.is_right(chosen[index], found),
                "{:?}",
                locations[index]
            );
            times[index] += 1;
        };
        self.arena
            .get_many_with(options, &locations, deliver)
            .unwrap();
        assert!(times.iter().all(|times| *times == 1));
    }

    fn stream(&mut self, bytes: &mut Bytes<'_>) {
        let chosen = self.some_flushed(bytes);
        let taken = bytes.below(chosen.len() + 1);
        let locations: Vec<Location> = chosen.iter().map(|item| item.location).collect();
        let mut stream = self.arena.stream(locations);
        for item in &chosen[..taken] {
            let found = stream.next().unwrap().unwrap();
            assert!(self.is_right(item, &found), "{:?}", item.location);
        }
        assert!(taken < chosen.len() || stream.next().is_none());
    }

    /// A location that was never handed out is refused, or returns as many bytes as it states.
    fn read_forged(&mut self, bytes: &mut Bytes<'_>) {
        let genuine = self
            .items
            .last()
            .map_or([0; 12], |item| item.location.to_bytes());
        let changes: [u8; 12] = bytes.array();
        let forged = Location::from_bytes(std::array::from_fn(|at| genuine[at] ^ changes[at]));
        match self.arena.get(forged) {
            Ok(found) => assert_eq!(found.len(), forged.len() as usize),
            Err(refused) => assert!(matches!(
                refused.kind(),
                ErrorKind::ForeignLocation | ErrorKind::NotFlushed | ErrorKind::OutOfBounds
            )),
        }
    }
}
