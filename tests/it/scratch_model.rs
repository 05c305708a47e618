//! Random containers in one directory with a quota, and a sum: the directory's accounts match its
//! live containers, and requests beyond the quota are refused and change nothing.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test scratch_model`. With
//! `OUTCORE_CAMPAIGN=long` there are 2,000 cases, all but the first of them small.

use outcore::{Arena, ArenaWriter, DiskVec, ErrorKind, Result, ScratchDir};

use crate::support::items::item;
use crate::support::process::child;
use crate::support::random::{Case, Random, cases};
use crate::support::tally::{Tallies, Tally};
use crate::support::{disk, new_dir, test_name};

const STEPS: usize = 150;

/// The events of all runs together.
const MET: &[&str] = &[
    "move in",
    "move out",
    "grow a vector",
    "grow an arena",
    #[cfg(feature = "allocator-api2")]
    "grow a block",
    "shrink a vector",
    "flush",
    "finish",
    #[cfg(feature = "allocator-api2")]
    "shrink a block",
];

/// The events of runs with a quota.
const REFUSED: &[&str] = &[
    "a vector refused",
    "an arena refused",
    #[cfg(feature = "allocator-api2")]
    "a block refused",
];

#[test]
fn a_directory_counts_what_lives_in_it_and_allows_no_more_than_its_quota() {
    let mut tallies = Tallies::default();
    for case in cases(24) {
        tallies.add(case, &Run::new(case).play(|_run| {}));
    }
    tallies.end("scratch_model", &[MET, REFUSED].concat());
}

/// The same for containers without an explicit directory: the directory of the environment has no
/// quota, and one budget for the whole process, so this test runs in a separate process.
#[test]
fn the_directory_of_the_environment_counts_what_is_made_without_one() {
    if let Some(child) = child(test_name!()) {
        let path = new_dir();
        println!("{}", child.env("OUTCORE_DIR", &path).run());
        std::fs::remove_dir(path).unwrap();
        return;
    }
    let mut tallies = Tallies::default();
    for case in cases(12) {
        tallies.add(case, &Run::in_env(case).play(|_run| {}));
    }
    tallies.end("scratch_model, of the environment", MET);
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_byte_is_found() {
    Run::new(Case::PLANTED).play(|run| run.planted = 1);
}

/// A container that takes space in a directory.
enum Lodger {
    Vec(Box<DiskVec<u64>>, Vec<u64>),
    Arena(Arena, ArenaWriter),
    #[cfg(feature = "allocator-api2")]
    Alloc(
        outcore::DiskAlloc,
        allocator_api2::vec::Vec<u8, outcore::DiskAlloc>,
    ),
}

impl Lodger {
    fn disk_bytes(&self) -> u64 {
        match self {
            Self::Vec(vec, _) => vec.disk_bytes(),
            Self::Arena(arena, _) => arena.disk_bytes(),
            #[cfg(feature = "allocator-api2")]
            Self::Alloc(alloc, _) => alloc.disk_bytes(),
        }
    }
}

struct Run {
    case: Case,
    step: usize,
    steps: usize,
    tally: Tally,
    /// Whether all containers are made without a directory.
    in_env: bool,
    random: Random,
    dir: ScratchDir,
    quota: u64,
    lodgers: Vec<Lodger>,
    refused: usize,
    planted: u64,
}

impl Run {
    fn new(case: Case) -> Self {
        let mut random = Random::new(case.seed);
        // From less than one container needs up to more than all of them need.
        let quota = random.next() % case.either(64 << 20, 8 << 20);
        let dir = ScratchDir::builder(disk().path());
        let dir = dir.quota_bytes(quota).min_free_bytes(random.next() % 2);
        Self::of(case, random, dir.build().unwrap(), quota)
    }

    fn in_env(case: Case) -> Self {
        let (random, dir) = (Random::new(case.seed), ScratchDir::from_env().unwrap());
        Self {
            in_env: true,
            ..Self::of(case, random, dir, u64::MAX)
        }
    }

    fn of(case: Case, random: Random, dir: ScratchDir, quota: u64) -> Self {
        Self {
            case,
            step: 0,
            steps: case.either(STEPS, STEPS / 2),
            tally: Tally::default(),
            in_env: false,
            random,
            dir,
            quota,
            lodgers: Vec::new(),
            refused: 0,
            planted: 0,
        }
    }

    fn here(&self) -> String {
        format!("seed {}, step {}", self.case.seed, self.step)
    }

    fn play(mut self, sabotage: impl Fn(&mut Self)) -> Tally {
        while self.step < self.steps {
            match self.random.below(10) {
                0 | 1 => self.move_in(),
                2 => self.move_out(),
                3 => self.give_back(),
                _ => self.grow(),
            }
            self.check();
            self.step += 1;
            if self.step == self.steps / 2 {
                sabotage(&mut self);
            }
        }
        let (here, dir) = (self.here(), self.dir.clone());
        let tally = std::mem::take(&mut self.tally);
        drop(self);
        assert_eq!(dir.used_bytes(), 0, "{here}: at the end");
        tally
    }

    /// The accounts are right, whichever handle is asked.
    fn check(&mut self) {
        let claimed: u64 = self.lodgers.iter().map(Lodger::disk_bytes).sum();
        self.tally.reached("bytes claimed", claimed);
        self.tally.reached("containers", self.lodgers.len() as u64);
        let used = self.dir.used_bytes() + self.planted;
        assert_eq!(used, claimed, "{}", self.here());
        assert!(used <= self.quota, "{}: {used} bytes", self.here());
        let report = self.dir.clone().report().unwrap();
        assert_eq!(report.used_bytes, claimed, "{}", self.here());
        assert_eq!(report.quota_bytes, self.quota, "{}", self.here());
        assert_eq!(report.path, self.dir.path(), "{}", self.here());
        assert!(report.free_bytes <= report.total_bytes, "{}", self.here());
    }

    /// Records a refusal, which must be that of the quota.
    fn took<R>(&mut self, answer: Result<R>) -> Option<R> {
        match answer {
            Ok(result) => Some(result),
            Err(refused) => {
                assert_eq!(refused.kind(), ErrorKind::StorageFull, "{}", self.here());
                self.refused += 1;
                None
            }
        }
    }

    fn move_in(&mut self) {
        if self.lodgers.len() > 6 {
            return;
        }
        self.tally.met("move in");
        let dir = (!self.in_env).then_some(&self.dir);
        let made = match self.random.below(3) {
            0 => dir
                .map_or_else(Arena::new, Arena::new_in)
                .and_then(|arena| {
                    let writer = arena.writer()?;
                    Ok(Lodger::Arena(arena, writer))
                }),
            #[cfg(feature = "allocator-api2")]
            1 => dir
                .map_or_else(outcore::DiskAlloc::new, outcore::DiskAlloc::new_in)
                .map(|alloc| {
                    let bytes = allocator_api2::vec::Vec::new_in(alloc.clone());
                    Lodger::Alloc(alloc, bytes)
                }),
            _ => {
                let vec = dir.map_or_else(DiskVec::new, DiskVec::new_in);
                Ok(Lodger::Vec(Box::new(vec), Vec::new()))
            }
        };
        let lodger = self.took(made);
        self.lodgers.extend(lodger);
    }

    fn move_out(&mut self) {
        if !self.lodgers.is_empty() {
            self.tally.met("move out");
            let chosen = self.random.below(self.lodgers.len());
            drop(self.lodgers.swap_remove(chosen));
        }
    }

    fn chosen(&mut self) -> Option<Lodger> {
        let count = self.lodgers.len();
        (count > 0).then(|| self.lodgers.swap_remove(self.random.below(count)))
    }

    /// Grows one, by little or by much.
    fn grow(&mut self) {
        let Some(mut lodger) = self.chosen() else {
            return;
        };
        let much = self.case.either(400_000, 100_000);
        let most = self.random.pick(&[100, 10_000, much]);
        let count = self.random.below(most);
        let before = lodger.disk_bytes();
        match &mut lodger {
            Lodger::Vec(vec, model) => {
                let start = self.random.next();
                let more: Vec<u64> = (0..count as u64).map(|n| start.wrapping_add(n)).collect();
                let answer = vec.extend_from_slice(&more);
                let refused = answer.is_err();
                self.tally.met("grow a vector");
                if self.took(answer).is_some() {
                    model.extend(more);
                } else {
                    self.tally.met("a vector refused");
                }
                assert!(**vec == *model, "{}: the elements differ", self.here());
                let kept = !refused || vec.disk_bytes() == before;
                assert!(kept, "{}: it keeps space after a refusal", self.here());
            }
            Lodger::Arena(arena, writer) => {
                let bytes = item(self.random.next(), count);
                let answer = writer.push(&bytes).and_then(|location| {
                    writer.flush()?;
                    arena.get(location)
                });
                self.tally.met("grow an arena");
                if let Some(found) = self.took(answer) {
                    assert!(found == bytes, "{}: wrong item", self.here());
                } else {
                    self.tally.met("an arena refused");
                }
            }
            #[cfg(feature = "allocator-api2")]
            Lodger::Alloc(alloc, bytes) => {
                self.tally.met("grow a block");
                let reserved = bytes.try_reserve(count);
                match reserved {
                    Ok(()) => bytes.resize(bytes.len() + count, 7),
                    Err(_full) => {
                        self.tally.met("a block refused");
                        self.refused += 1;
                        let claimed = alloc.disk_bytes();
                        assert_eq!(claimed, before, "{}: it keeps space", self.here());
                    }
                }
                assert!(bytes.iter().all(|byte| *byte == 7), "{}", self.here());
            }
        }
        self.lodgers.push(lodger);
    }

    /// Lets one return unneeded space.
    fn give_back(&mut self) {
        let Some(mut lodger) = self.chosen() else {
            return;
        };
        let before = lodger.disk_bytes();
        if self.random.below(3) == 0 {
            let Some(same) = self.finish(lodger) else {
                return;
            };
            lodger = same;
        }
        match &mut lodger {
            Lodger::Vec(vec, model) => {
                self.tally.met("shrink a vector");
                let len = self.random.below(vec.len() + 1);
                vec.truncate(len);
                model.truncate(len);
                let answer = vec.shrink_to_fit();
                self.took(answer);
                assert!(**vec == *model, "{}: the elements differ", self.here());
            }
            Lodger::Arena(_, writer) => {
                self.tally.met("flush");
                let answer = writer.flush();
                self.took(answer);
            }
            #[cfg(feature = "allocator-api2")]
            Lodger::Alloc(_, bytes) => {
                self.tally.met("shrink a block");
                bytes.truncate(self.random.below(bytes.len() + 1));
                bytes.shrink_to_fit();
            }
        }
        // Writers allocate space to write; an allocator may need a run of shorter blocks.
        let is_vec = matches!(lodger, Lodger::Vec(..));
        let less = !is_vec || lodger.disk_bytes() <= before;
        assert!(less, "{}: it takes more", self.here());
        self.lodgers.push(lodger);
    }

    /// Replaces the writer of an arena. Pushed items have their space, so the quota cannot refuse
    /// the flush.
    fn finish(&mut self, lodger: Lodger) -> Option<Lodger> {
        let Lodger::Arena(arena, writer) = lodger else {
            return Some(lodger);
        };
        self.tally.met("finish");
        writer.finish().unwrap();
        let answer = arena.writer();
        let writer = self.took(answer)?;
        Some(Lodger::Arena(arena, writer))
    }
}
