//! Random operations on a spool and on a list; the values must always agree.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test --features serde spool_model`.

use outcore::spool::{CodecError, Compress, SpoolBuilder};
use outcore::{MemoryBudget, Result, ScratchDir, Spool};
use serde::{Deserialize, Serialize};

use crate::support::disk;
use crate::support::random::{Case, Random, cases};

/// A budget of which few values fill a block, and a few thousand all of it.
const SMALL: u64 = 512 << 10;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Nothing,
    Started { name: String, at: Option<u64> },
    Measured(Vec<f64>),
    Pair(i8, char),
}

fn event(random: &mut Random) -> Event {
    match random.below(8) {
        0 => Event::Nothing,
        1 | 2 => Event::Pair(-3, random.pick(&['x', '\u{1f980}'])),
        3..6 => Event::Started {
            name: "name ".repeat(random.len(60)),
            at: random.once_in(2).then(|| random.next()),
        },
        // At times longer than a block.
        _ => {
            let count = u16::try_from(random.len(2_000)).unwrap();
            Event::Measured((0..count).map(|n| f64::from(n) / 7.0).collect())
        }
    }
}

#[test]
fn a_spool_behaves_like_a_list() {
    for case in cases(if cfg!(miri) { 2 } else { 16 }) {
        Run::new(case).play(|_run| {});
    }
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_difference_is_found() {
    Run::new(Case::PLANTED).play(|run| run.model[3] = Event::Nothing);
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_loss_is_found() {
    Run::new(Case::PLANTED).play(|run| run.model.push(Event::Nothing));
}

struct Run {
    case: Case,
    random: Random,
    budget: MemoryBudget,
    dir: ScratchDir,
    spool: Spool<Event>,
    model: Vec<Event>,
}

impl Run {
    fn new(case: Case) -> Self {
        let dir = disk();
        let budget = MemoryBudget::new(case.either(SMALL, SMALL / 4));
        let builder = SpoolBuilder::new(&budget).dir(&dir);
        let builder = match case.seed % 3 {
            0 => builder,
            #[cfg(feature = "lz4")]
            1 => builder.lz4(),
            _ => builder.compress(Zeros),
        };
        Self {
            case,
            random: Random::new(case.seed),
            spool: builder.build(),
            budget,
            dir,
            model: Vec::new(),
        }
    }

    #[track_caller]
    fn assert(&self, holds: bool, what: &str) {
        assert!(holds, "seed {}: {what}, {:?}", self.case.seed, self.spool);
    }

    fn play(mut self, plant: impl FnOnce(&mut Self)) {
        let mut plant = Some(plant);
        let rounds = self.case.either(12, 5);
        for round in 0..rounds {
            self.grow();
            if round == rounds / 2 {
                plant
                    .take()
                    .map(|plant| plant(&mut self))
                    .unwrap_or_default();
            }
            self.check();
            if self.random.once_in(10) {
                self.spool.clear();
                self.model.clear();
                self.assert(self.dir.used_bytes() == 0, "clear keeps space");
                self.assert(self.budget.used_bytes() == 0, "clear keeps memory");
                self.check();
            }
        }
        let (seed, budget, dir) = (self.case.seed, self.budget, self.dir);
        assert!(budget.peak_bytes() <= budget.limit_bytes());
        let half = self.model.len() / 2;
        let taken: Result<Vec<Event>> = self.spool.into_iter().take(half).collect();
        assert!(
            taken.unwrap() == self.model[..half],
            "seed {seed}: into_iter"
        );
        assert_eq!(
            (budget.used_bytes(), dir.used_bytes()),
            (0, 0),
            "seed {seed}"
        );
    }

    fn grow(&mut self) {
        let count = if cfg!(miri) {
            20
        } else {
            self.random.len(3_000)
        };
        let events: Vec<Event> = (0..count).map(|_| event(&mut self.random)).collect();
        if self.random.once_in(3) {
            // Two writers by turns; the second is finished first, or takes its values with it.
            let [mut first, mut second] = [self.spool.writer(), self.spool.writer()];
            for event in &events {
                first.push(event).unwrap();
                second.push(event).unwrap();
            }
            assert_eq!(first.len(), events.len());
            if self.random.once_in(2) {
                second.finish();
                self.model.extend(events.iter().cloned());
            } else {
                drop(second);
            }
            first.finish();
        } else {
            self.spool.try_extend(events.iter().cloned()).unwrap();
        }
        self.model.extend(events);
    }

    fn check(&mut self) {
        self.assert(self.spool.len() == self.model.len(), "another length");
        self.assert(self.spool.is_empty() == self.model.is_empty(), "is_empty");
        for _twice in 0..2 {
            let all: Result<Vec<Event>> = self.spool.iter().unwrap().collect();
            self.assert(all.unwrap() == self.model, "the values differ");
        }
        for _ in 0..20 {
            let index = self.random.below(self.model.len() + 2);
            let found = self.spool.get(index).unwrap();
            self.assert(found.as_ref() == self.model.get(index), "get differs");
        }
        let (used, disk) = (self.dir.used_bytes(), self.spool.disk_bytes());
        self.assert(used == disk, "the space differs");
    }
}

/// Leaves out the zeros at the end of a block.
struct Zeros;

impl Compress for Zeros {
    fn compress(&self, block: &[u8], target: &mut [u8]) -> Option<usize> {
        let len = block.iter().rposition(|byte| *byte != 0)? + 1;
        target.get_mut(..len)?.copy_from_slice(&block[..len]);
        Some(len)
    }

    fn decompress(
        &self,
        compressed: &[u8],
        block: &mut [u8],
    ) -> std::result::Result<(), CodecError> {
        block.fill(0);
        block[..compressed.len()].copy_from_slice(compressed);
        Ok(())
    }
}
