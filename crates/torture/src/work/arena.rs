//! An arena and its writers, against a list of the pushed items.

use outcore::{Arena, ArenaWriter, ErrorKind, Location, ReadOptions};

use crate::random::{assert_item, item};
use crate::work::Work;

struct Pushed {
    id: u64,
    len: usize,
    location: Location,
    /// The writer that has the item in its buffer, if any.
    writer: Option<u64>,
}

struct Model {
    arena: Arena,
    /// Writers, each with a unique number.
    writers: Vec<(u64, ArenaWriter)>,
    next_writer: u64,
    pushed: Vec<Pushed>,
    bytes: usize,
}

pub(crate) fn run(work: &mut Work) {
    let Some(dir) = work.scratch() else { return };
    let made = Arena::new_in(&dir);
    let Some(arena) = work.grown("make an arena", made) else {
        return;
    };
    let mut model = Model {
        arena,
        writers: Vec::new(),
        next_writer: 0,
        pushed: Vec::new(),
        bytes: 0,
    };
    let mut map = None;
    for step in 0..work.steps {
        work.step();
        if model.writers.len() < 1 + step % 3 {
            model.add_writer(work);
        }
        match work.random.below(24) {
            0 => model.flush(work),
            1 => model.finish(work),
            2 | 3 => model.get_one(work),
            4 => model.get_many(work),
            5 => model.stream(work),
            6 => {
                if map.is_none() || work.random.once_in(4) {
                    let made = model.arena.map();
                    map = work.grown("map", made);
                }
                if let (Some(map), Some(pushed)) = (&map, model.any(work)) {
                    let answer = map.get(pushed.location).map(<[u8]>::to_vec);
                    check(work, pushed, answer, "through a map");
                }
            }
            7 => model.get_from_writer(work),
            _ => model.push(work),
        }
        if step == work.steps / 2 && work.has_bug("lose") {
            if let Some(pushed) = model.pushed.first_mut() {
                pushed.id ^= 1;
            }
        }
    }
    if work.has_space_again() {
        if model.writers.is_empty() {
            model.add_writer(work);
        }
        if let Some((_, writer)) = model.writers.first_mut() {
            writer.push("there is space again").unwrap();
        }
    }
    while !model.writers.is_empty() {
        model.finish(work);
    }
    for pushed in &model.pushed {
        check(work, pushed, model.arena.get(pushed.location), "at the end");
    }
    model.get_many(work);
    if work.is_unlimited() {
        assert!(model.pushed.iter().all(|pushed| pushed.writer.is_none()));
        let stored: u64 = model.pushed.iter().map(|pushed| pushed.len as u64).sum();
        assert_eq!(model.arena.len_bytes(), stored);
    }
}

impl Model {
    fn add_writer(&mut self, work: &mut Work) {
        let made = self.arena.writer();
        if let Some(writer) = work.grown("make a writer", made) {
            self.writers.push((self.next_writer, writer));
            self.next_writer += 1;
        }
    }

    fn any(&self, work: &mut Work) -> Option<&Pushed> {
        let count = self.pushed.len();
        (count > 0).then(|| &self.pushed[work.random.below(count)])
    }

    fn push(&mut self, work: &mut Work) {
        if self.writers.is_empty() || self.bytes > work.bytes {
            return;
        }
        let chosen = work.random.below(self.writers.len());
        let longest = if work.random.once_in(20) {
            700_000
        } else {
            20_000
        };
        let len = work.random.len(longest.min(work.bytes));
        let id = work.random.next();
        let (writer, arena_writer) = &mut self.writers[chosen];
        let answer = arena_writer.push(item(id, len));
        let writer = Some(*writer);
        let location = match work.grown("push", answer) {
            Some(location) => location,
            // Planted: a program that ignores the result.
            None if work.has_bug("believe") && !self.pushed.is_empty() => self.pushed[0].location,
            None => return,
        };
        self.bytes += len;
        self.pushed.push(Pushed {
            id,
            len,
            location,
            writer,
        });
    }

    fn is_flushed(&mut self, number: u64) {
        for pushed in &mut self.pushed {
            if pushed.writer == Some(number) {
                pushed.writer = None;
            }
        }
    }

    fn flush(&mut self, work: &mut Work) {
        if self.writers.is_empty() {
            return;
        }
        let chosen = work.random.below(self.writers.len());
        let (number, writer) = &mut self.writers[chosen];
        let (number, answer) = (*number, writer.flush());
        if work.done("flush", answer).is_some() {
            self.is_flushed(number);
        }
    }

    /// Ends a writer; if that is refused, retries, and finally gives the writer up.
    fn finish(&mut self, work: &mut Work) {
        if self.writers.is_empty() {
            return;
        }
        let chosen = work.random.below(self.writers.len());
        let (number, mut writer) = self.writers.swap_remove(chosen);
        for _attempt in 0..3 {
            match writer.finish() {
                Ok(()) => {
                    work.done("finish", Ok(()));
                    return self.is_flushed(number);
                }
                Err(refused) => {
                    let writer_back = refused.into_writer();
                    writer = writer_back;
                    let answer = writer.flush();
                    work.done("flush again", answer);
                }
            }
        }
    }

    fn get_one(&self, work: &mut Work) {
        if let Some(pushed) = self.any(work) {
            let mut bytes = vec![7];
            let answer = self.arena.get_into(pushed.location, &mut bytes);
            let is_refused = answer.is_err();
            assert!(!is_refused || bytes == [7], "a refused read appended bytes");
            check(work, pushed, answer.map(|()| bytes.split_off(1)), "alone");
        }
    }

    fn get_from_writer(&self, work: &mut Work) {
        if self.writers.is_empty() {
            return;
        }
        let (number, writer) = &self.writers[work.random.below(self.writers.len())];
        let own = |pushed: &&Pushed| pushed.writer == Some(*number);
        if let Some(pushed) = self.pushed.iter().rev().find(own) {
            let mut bytes = Vec::new();
            let answer = writer.get_into(pushed.location, &mut bytes);
            if work.done("from the writer", answer).is_some() {
                assert_item(&bytes, pushed.id, pushed.len, "from the writer");
            }
        }
    }

    /// Returns some flushed items, in any order.
    fn some_flushed(&self, work: &mut Work) -> Vec<&Pushed> {
        let all: Vec<&Pushed> = self
            .pushed
            .iter()
            .filter(|pushed| pushed.writer.is_none())
            .collect();
        if all.is_empty() {
            return all;
        }
        let count = work.random.below(2 * all.len());
        (0..count)
            .map(|_| all[work.random.below(all.len())])
            .collect()
    }

    fn get_many(&self, work: &mut Work) {
        let some = self.some_flushed(work);
        let locations: Vec<Location> = some.iter().map(|pushed| pushed.location).collect();
        let options = ReadOptions::new()
            .in_flight(1 + work.random.below(40))
            .threads(work.random.once_in(4));
        let mut delivered = 0;
        let answer = self
            .arena
            .get_many_with(&options, &locations, |index, bytes| {
                assert_item(bytes, some[index].id, some[index].len, "in a batch");
                delivered += 1;
            });
        if work.grown("get many", answer).is_some() {
            assert_eq!(delivered, some.len());
        }
    }

    fn stream(&self, work: &mut Work) {
        let some = self.some_flushed(work);
        let locations: Vec<Location> = some.iter().map(|pushed| pushed.location).collect();
        let mut delivered = 0;
        for (pushed, answer) in some.iter().zip(self.arena.stream(locations)) {
            delivered += 1;
            if let Some(bytes) = work.grown("stream", answer) {
                assert_item(&bytes, pushed.id, pushed.len, "in a stream");
            }
        }
        assert!(delivered == some.len() || !work.is_unlimited());
    }
}

/// Flushed items are read as they were pushed; others are read so too, or refused.
#[track_caller]
fn check(work: &mut Work, pushed: &Pushed, answer: outcore::Result<Vec<u8>>, what: &str) {
    if pushed.writer.is_some() {
        if let Err(refused) = &answer {
            if refused.kind() == ErrorKind::NotFlushed {
                return;
            }
        }
    }
    if let Some(bytes) = work.done(what, answer) {
        assert_item(&bytes, pushed.id, pushed.len, what);
    }
}
