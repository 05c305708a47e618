//! Random operations on two arenas and on vectors of bytes; the results must always agree.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test arena_model`. With
//! `OUTCORE_CAMPAIGN=long` there are 2,000 cases, all but the first of them small.

mod reads;

use outcore::{Arena, ArenaMap, ArenaWriter, ErrorKind, Location};

use crate::support::items::{BUFFER, EDGES, item};
use crate::support::random::{Case, Random, cases};
use crate::support::tally::{Tallies, Tally};
use crate::support::{arena, get_mapped};

const STEPS: usize = if cfg!(miri) { 30 } else { 600 };

/// Bytes that one run pushes to an arena, to limit the disk space.
const BYTES_MAX: u64 = 24 << 20;

/// The events that every run must have.
const MET: [&str; 31] = [
    "writer",
    "reserve",
    "finish",
    "drop a writer",
    "flush",
    "push",
    "push nothing",
    "push what just fits the buffer",
    "push more than the buffer holds",
    "push more than 1 MiB",
    "get_into",
    "get",
    "get through a map",
    "refused, not flushed",
    "get_into of a writer",
    "get_into of a writer, of what it holds back",
    "get_many",
    "get_many_with",
    "stream",
    "stream_with",
    "try_next",
    "a stream given up",
    "get_str_into",
    "get_str_into, no text",
    "get_str_into_unchecked",
    "a panic in get_many_with",
    "a panic in stream_with",
    "advise",
    "prefetch_many",
    "from_bytes",
    "a foreign location",
];

#[test]
fn an_arena_behaves_like_a_list_of_byte_strings() {
    let mut tallies = Tallies::default();
    for case in cases(16) {
        tallies.add(case, &Run::new(case).play(|_model| {}));
    }
    tallies.end("arena_model", &MET);
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_fault_is_found() {
    Run::new(Case::PLANTED).play(|model| {
        let known = model.iter_mut().filter(|known| !known.bytes.is_empty());
        known.for_each(|known| known.bytes[0] ^= 1);
    });
}

/// An item that was pushed.
struct Known {
    location: Location,
    bytes: Vec<u8>,
    /// The writer that has the item, if it may not have flushed it.
    writer: Option<u64>,
}

struct Writer {
    name: u64,
    writer: ArenaWriter,
}

struct Run {
    seed: u64,
    steps: usize,
    bytes_max: u64,
    step: usize,
    tally: Tally,
    random: Random,
    arena: Arena,
    /// Made at the start, so that everything else is pushed later.
    map: ArenaMap,
    other: Arena,
    foreign: Location,
    writers: Vec<Writer>,
    next_name: u64,
    model: Vec<Known>,
    pushed_bytes: u64,
}

impl Run {
    fn new(case: Case) -> Self {
        let (arena, other) = (arena(), arena());
        let mut writer = other.writer().unwrap();
        let foreign = writer.push("of another arena").unwrap();
        Self {
            seed: case.seed,
            steps: case.either(STEPS, STEPS.div_ceil(5)),
            bytes_max: case.either(BYTES_MAX, BYTES_MAX / 16),
            step: 0,
            tally: Tally::default(),
            random: Random::new(case.seed),
            map: arena.map().unwrap(),
            arena,
            other,
            foreign,
            writers: Vec::new(),
            next_name: 0,
            model: Vec::new(),
            pushed_bytes: 0,
        }
    }

    /// Runs all steps; `sabotage` may corrupt the model halfway. Returns the events.
    fn play(mut self, sabotage: impl Fn(&mut [Known])) -> Tally {
        while self.step < self.steps {
            match self.random.below(100) {
                0..=3 => self.new_writer(),
                4..=6 => self.end_writer(),
                7 => self.reserve(),
                8..=14 => self.flush(),
                15..=59 => self.push(),
                60..=74 => self.read_one(),
                75..=82 => self.read_through_writer(),
                83..=88 => self.read_batch(),
                89..=92 => self.stream(),
                93..=94 => self.read_text(),
                95 => self.panic_on_the_way(),
                96 => self.tell_the_map(),
                _ => self.read_foreign(),
            }
            self.step += 1;
            if self.step == self.steps / 2 {
                sabotage(&mut self.model);
            }
        }
        while !self.writers.is_empty() {
            self.end_writer();
        }
        self.read_all();
        assert_eq!(self.arena.len_bytes(), self.pushed_bytes, "{}", self.here());
        let claimed = self.arena.disk_bytes();
        assert!(claimed >= self.pushed_bytes, "{}", self.here());
        assert_eq!(
            self.arena.dir().unwrap().used_bytes(),
            claimed,
            "{}",
            self.here()
        );
        self.tally.reached("items", self.model.len() as u64);
        self.tally.reached("bytes pushed", self.pushed_bytes);
        self.tally.reached("bytes claimed", claimed);
        self.tally
    }

    fn here(&self) -> String {
        format!("seed {}, step {}", self.seed, self.step)
    }

    fn new_writer(&mut self) {
        if self.writers.len() < 5 {
            self.tally.met("writer");
            let writer = self.arena.writer().unwrap();
            let name = self.next_name;
            self.writers.push(Writer { name, writer });
            self.next_name += 1;
        }
    }

    fn end_writer(&mut self) {
        if self.writers.is_empty() {
            return;
        }
        let chosen = self.random.below(self.writers.len());
        let Writer { name, writer } = self.writers.swap_remove(chosen);
        if self.random.below(2) == 0 {
            self.tally.met("finish");
            writer.finish().unwrap();
        } else {
            self.tally.met("drop a writer");
            drop(writer);
        }
        self.flushed(name);
    }

    /// Reserves space, which changes no readable data.
    fn reserve(&mut self) {
        if self.writers.is_empty() {
            return;
        }
        let chosen = self.random.below(self.writers.len());
        self.tally.met("reserve");
        let bytes = self.random.below(4 * BUFFER) as u64;
        let Writer { writer, .. } = &mut self.writers[chosen];
        writer.reserve(bytes).unwrap();
        let claimed = self.arena.disk_bytes();
        assert!(claimed >= self.arena.len_bytes() + bytes);
    }

    fn flush(&mut self) {
        if self.writers.is_empty() {
            return;
        }
        let chosen = self.random.below(self.writers.len());
        self.tally.met("flush");
        let Writer { name, writer } = &mut self.writers[chosen];
        writer.flush().unwrap();
        assert_eq!(writer.unflushed_bytes(), 0);
        let name = *name;
        self.flushed(name);
    }

    fn flushed(&mut self, name: u64) {
        for known in &mut self.model {
            known.writer = known.writer.filter(|writer| *writer != name);
        }
    }

    /// Pushes an item whose size is often at an edge: of the buffer, or of its free part.
    fn push(&mut self) {
        if self.writers.is_empty() {
            return self.new_writer();
        }
        let chosen = self.random.below(self.writers.len());
        let left = BUFFER - self.writers[chosen].writer.unflushed_bytes() % BUFFER;
        let len = match self.random.below(16) {
            0 => self.random.pick(&EDGES),
            1 => left - 1,
            2 => left,
            3 => left + 1,
            4 => (1 << 20) + 1,
            5 | 6 => self.random.below(2 * BUFFER),
            7..=9 => self.random.below(5000),
            _ => self.random.below(40),
        };
        if self.pushed_bytes + len as u64 > self.bytes_max {
            return;
        }
        let mut bytes = item(self.random.next(), len);
        if self.random.below(3) == 0 {
            // Text, up to the last byte.
            for byte in &mut bytes {
                *byte &= 0x7f;
            }
        }
        self.tally.met(match len {
            0 => "push nothing",
            _ if len == left => "push what just fits the buffer",
            _ if len > 1 << 20 => "push more than 1 MiB",
            _ if len > BUFFER => "push more than the buffer holds",
            _ => "push",
        });
        let Writer { name, writer } = &mut self.writers[chosen];
        let location = writer.push(&bytes).unwrap();
        assert_eq!(location.len() as usize, len);
        assert_eq!(location.is_empty(), len == 0);
        let writer = Some(*name);
        self.pushed_bytes += len as u64;
        self.model.push(Known {
            location,
            bytes,
            writer,
        });
    }

    fn read_one(&mut self) {
        if self.model.is_empty() {
            return;
        }
        let way = self.random.below(3);
        self.tally
            .met(["get_into", "get", "get through a map"][way]);
        let known = &self.model[self.random.below(self.model.len())];
        let mut bytes = vec![b'#'; self.random.below(3)];
        let before = bytes.len();
        let answer = match way {
            0 => self.arena.get_into(known.location, &mut bytes),
            1 => self
                .arena
                .get(known.location)
                .map(|item| bytes.extend(item)),
            _ => get_mapped(&mut self.map, known.location).map(|item| bytes.extend(item)),
        };
        match answer {
            Ok(()) => assert!(
                bytes[before..] == known.bytes,
                "{}: {:?}",
                self.here(),
                known.location
            ),
            Err(refused) => {
                assert_eq!(refused.kind(), ErrorKind::NotFlushed, "{}", self.here());
                assert!(known.writer.is_some(), "{}: {refused}", self.here());
                assert_eq!(bytes.len(), before, "{}", self.here());
                self.tally.met("refused, not flushed");
            }
        }
    }

    /// A writer reads the items in its buffer, and all flushed items.
    fn read_through_writer(&mut self) {
        if self.model.is_empty() || self.writers.is_empty() {
            return;
        }
        let known = &self.model[self.random.below(self.model.len())];
        let Writer { name, writer } = &self.writers[self.random.below(self.writers.len())];
        let mut bytes = Vec::new();
        match writer.get_into(known.location, &mut bytes) {
            Ok(()) => {
                let here = self.here();
                assert!(bytes == known.bytes, "{here}: {:?}", known.location);
                self.tally.met(match known.writer {
                    Some(_held) => "get_into of a writer, of what it holds back",
                    None => "get_into of a writer",
                });
            }
            Err(refused) => {
                assert_eq!(refused.kind(), ErrorKind::NotFlushed, "{}", self.here());
                let elsewhere = known.writer.is_some_and(|other| other != *name);
                assert!(elsewhere, "{}: {refused}", self.here());
                assert!(bytes.is_empty(), "{}", self.here());
            }
        }
    }

    fn read_batch(&mut self) {
        if self.model.is_empty() {
            return;
        }
        let count = self.random.below(30);
        let chosen: Vec<usize> = (0..count)
            .map(|_| self.random.below(self.model.len()))
            .filter(|at| self.model[*at].writer.is_none())
            .collect();
        self.read_these(&chosen);
    }

    fn read_all(&mut self) {
        let all: Vec<usize> = (0..self.model.len()).collect();
        self.read_these(&all);
    }

    fn read_these(&mut self, chosen: &[usize]) {
        let locations: Vec<_> = chosen.iter().map(|at| self.model[*at].location).collect();
        let mut times = vec![0; chosen.len()];
        let deliver = |index: usize, bytes: &[u8]| {
            let known = &self.model[chosen[index]];
            assert!(
                bytes == known.bytes,
                "{}: {:?}",
                self.here(),
                known.location
            );
            times[index] += 1;
        };
        // Without options, use the shorter method.
        let answer = if chosen.len() % 4 == 3 {
            self.arena.get_many(&locations, deliver)
        } else {
            let options = self.options(locations.len());
            self.arena.get_many_with(&options, &locations, deliver)
        };
        assert!(answer.is_ok(), "{}: {answer:?}", self.here());
        assert!(times.iter().all(|times| *times == 1), "{}", self.here());
        self.tally.met(if chosen.len() % 4 == 3 {
            "get_many"
        } else {
            "get_many_with"
        });
        self.tally.reached("items in a batch", chosen.len() as u64);
    }

    fn read_foreign(&mut self) {
        self.tally.met("a foreign location");
        let answer = self.arena.get(self.foreign);
        assert_eq!(
            answer.unwrap_err().kind(),
            ErrorKind::ForeignLocation,
            "{}",
            self.here()
        );
        if let Some(known) = self.model.last() {
            let answer = self.other.get(known.location);
            assert_eq!(
                answer.unwrap_err().kind(),
                ErrorKind::ForeignLocation,
                "{}",
                self.here()
            );
        }
    }
}
