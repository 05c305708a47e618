//! Random containers in one directory with a quota, and a sum: the directory's books are those of
//! what lives in it, and what would go over the quota is refused and changes nothing.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test scratch_model`. With
//! `OUTCORE_CAMPAIGN=long` there are 2,000 cases.

use outcore::{Arena, ArenaWriter, DiskVec, ErrorKind, Result, ScratchDir};

use crate::support::disk;
use crate::support::items::item;
use crate::support::random::{Random, cases};

const STEPS: usize = 150;

#[test]
fn a_directory_counts_what_lives_in_it_and_allows_no_more_than_its_quota() {
    for seed in cases(24) {
        Run::new(seed).play(|_run| {});
    }
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_byte_is_found() {
    Run::new(0).play(|run| run.planted = 1);
}

/// What claims space in a directory.
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
    seed: u64,
    step: usize,
    random: Random,
    dir: ScratchDir,
    quota: u64,
    lodgers: Vec<Lodger>,
    refused: usize,
    planted: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        // Less than one container wants, up to more than all of them.
        let quota = random.next() % (64 << 20);
        let dir = ScratchDir::builder(disk().path());
        let dir = dir.quota(quota).min_free(random.next() % 2);
        Self {
            seed,
            step: 0,
            random,
            dir: dir.build().unwrap(),
            quota,
            lodgers: Vec::new(),
            refused: 0,
            planted: 0,
        }
    }

    fn here(&self) -> String {
        format!("seed {}, step {}", self.seed, self.step)
    }

    fn play(mut self, sabotage: impl Fn(&mut Self)) {
        while self.step < STEPS {
            match self.random.below(10) {
                0 | 1 => self.move_in(),
                2 => self.move_out(),
                3 => self.give_back(),
                _ => self.grow(),
            }
            self.check();
            self.step += 1;
            if self.step == STEPS / 2 {
                sabotage(&mut self);
            }
        }
        let (here, dir) = (self.here(), self.dir.clone());
        drop(self);
        assert_eq!(dir.used_bytes(), 0, "{here}: at the end");
    }

    /// The books are right, whichever handle is asked.
    fn check(&self) {
        let claimed: u64 = self.lodgers.iter().map(Lodger::disk_bytes).sum();
        let used = self.dir.used_bytes() + self.planted;
        assert_eq!(used, claimed, "{}", self.here());
        assert!(used <= self.quota, "{}: {used} bytes", self.here());
        let report = self.dir.clone().report().unwrap();
        assert_eq!(report.used_bytes, claimed, "{}", self.here());
        assert_eq!(report.quota_bytes, self.quota, "{}", self.here());
        assert_eq!(report.path, self.dir.path(), "{}", self.here());
        assert!(report.free_bytes <= report.total_bytes, "{}", self.here());
    }

    /// Notes a refusal, which has to be that of the quota.
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
        let made = match self.random.below(3) {
            0 => Arena::new_in(&self.dir).and_then(|arena| {
                let writer = arena.writer()?;
                Ok(Lodger::Arena(arena, writer))
            }),
            #[cfg(feature = "allocator-api2")]
            1 => outcore::DiskAlloc::new_in(&self.dir).map(|alloc| {
                let bytes = allocator_api2::vec::Vec::new_in(alloc.clone());
                Lodger::Alloc(alloc, bytes)
            }),
            _ => Ok(Lodger::Vec(
                Box::new(DiskVec::new_in(&self.dir)),
                Vec::new(),
            )),
        };
        let lodger = self.took(made);
        self.lodgers.extend(lodger);
    }

    fn move_out(&mut self) {
        if !self.lodgers.is_empty() {
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
        let most = self.random.pick(&[100, 10_000, 400_000]);
        let count = self.random.below(most);
        let before = lodger.disk_bytes();
        match &mut lodger {
            Lodger::Vec(vec, model) => {
                let start = self.random.next();
                let more: Vec<u64> = (0..count as u64).map(|n| start.wrapping_add(n)).collect();
                let answer = vec.extend_from_slice(&more);
                let refused = answer.is_err();
                if self.took(answer).is_some() {
                    model.extend(more);
                }
                assert!(**vec == *model, "{}: the elements differ", self.here());
                let kept = !refused || vec.disk_bytes() == before;
                assert!(kept, "{}: it keeps space", self.here());
            }
            Lodger::Arena(arena, writer) => {
                let bytes = item(self.random.next(), count);
                let answer = writer.push(&bytes).and_then(|location| {
                    writer.flush()?;
                    arena.get(location)
                });
                if let Some(found) = self.took(answer) {
                    assert!(found == bytes, "{}: another item", self.here());
                }
            }
            #[cfg(feature = "allocator-api2")]
            Lodger::Alloc(alloc, bytes) => {
                let reserved = bytes.try_reserve(count);
                match reserved {
                    Ok(()) => bytes.resize(bytes.len() + count, 7),
                    Err(_full) => {
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

    /// Lets one give back what it does not need.
    fn give_back(&mut self) {
        let Some(mut lodger) = self.chosen() else {
            return;
        };
        let before = lodger.disk_bytes();
        match &mut lodger {
            Lodger::Vec(vec, model) => {
                let len = self.random.below(vec.len() + 1);
                vec.truncate(len);
                model.truncate(len);
                let answer = vec.shrink_to_fit();
                self.took(answer);
                assert!(**vec == *model, "{}: the elements differ", self.here());
            }
            Lodger::Arena(_, writer) => {
                let answer = writer.flush();
                self.took(answer);
            }
            #[cfg(feature = "allocator-api2")]
            Lodger::Alloc(_, bytes) => {
                bytes.truncate(self.random.below(bytes.len() + 1));
                bytes.shrink_to_fit();
            }
        }
        // Writers claim space to write; an allocator may need a run of shorter blocks.
        let is_vec = matches!(lodger, Lodger::Vec(..));
        let less = !is_vec || lodger.disk_bytes() <= before;
        assert!(less, "{}: it takes more", self.here());
        self.lodgers.push(lodger);
    }
}
