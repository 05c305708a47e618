//! A vector of strings on disk, and of byte strings, against a `Vec` of them.

use std::ops::Range;

use outcore::external::Options;
use outcore::{Advice, BytesVec, ErrorKind, MemoryBudget, ScratchDir, StrVec};

use crate::random::size;
use crate::work::Work;

pub(crate) fn run(work: &mut Work) {
    let Some(dir) = work.scratch() else { return };
    let in_budget = work.random.once_in(3);
    let budget = MemoryBudget::new(work.random.next() % (2 * work.bytes as u64));
    let mut pair = Pair {
        disk: if in_budget {
            StrVec::with_budget_in(&budget, &dir)
        } else {
            StrVec::new_in(&dir)
        },
        dir,
        model: Vec::new(),
        most: work.bytes,
    };
    for step in 0..work.steps {
        work.step();
        match work.random.below(24) {
            0..=7 => pair.add(work),
            8..=11 => pair.take(work),
            12..=14 => pair.reside(work),
            15 | 16 => pair.space(work),
            17 => pair.copy(work),
            18 => pair.append(work),
            19 => pair.as_bytes(work),
            20 if work.random.once_in(3) => pair.arrange(work),
            _ => pair.read(work),
        }
        if step == work.steps / 2 && work.has_bug("lose") {
            pair.model.push("lost".to_owned());
        }
        assert_eq!(pair.disk.len(), pair.model.len(), "step {step}");
        if work.random.once_in(16) {
            pair.check("on the way");
        }
    }
    if work.has_space_again() {
        pair.disk.push("more").unwrap();
        pair.model.push("more".to_owned());
    }
    pair.check("at the end");
}

/// Returns a string that a number determines: short, or longer than a window.
fn make(number: u64) -> String {
    let len = match number % 512 {
        0 => 100_000,
        1..=9 => 3_000,
        few => few % 61,
    };
    let mut text = (number >> 9).to_string();
    text.extend(std::iter::repeat_n('\u{e9}', size(len / 2)));
    text
}

struct Pair {
    disk: StrVec,
    dir: ScratchDir,
    model: Vec<String>,
    most: usize,
}

impl Pair {
    #[track_caller]
    fn check(&self, what: &str) {
        let (disk, model) = (&self.disk, &self.model);
        assert_eq!(disk.len(), model.len(), "{what}");
        let bytes: usize = model.iter().map(String::len).sum();
        assert_eq!(disk.len_bytes(), bytes, "{what}");
        let differs = disk.iter().zip(model).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{what}: the first string that differs");
        let scanned = disk.scan().zip(model).position(|(a, b)| a != b);
        assert_eq!(scanned, None, "{what}: the first that differs in a scan");
    }

    fn made(&self, work: &mut Work, part: usize) -> Vec<String> {
        let room = self.most.saturating_sub(self.disk.len_bytes()) / 400;
        let count = work.random.len(room / part);
        let first = work.random.next() >> 8;
        (first..).take(count).map(make).collect()
    }

    fn add(&mut self, work: &mut Work) {
        match work.random.below(4) {
            0 => {
                let text = make(work.random.next());
                let answer = self.disk.push(&text);
                if work.grown("push", answer).is_some() || work.has_bug("believe") {
                    self.model.push(text);
                }
            }
            1 => {
                let added = self.made(work, 2);
                let answer = self.disk.extend_from_slice(&added);
                if work.grown("extend from a slice", answer).is_some() || work.has_bug("believe") {
                    self.model.extend(added);
                }
            }
            _ => {
                // Strings that were appended before the refusal stay.
                let added = self.made(work, 1);
                let before = self.disk.len();
                let answer = self.disk.try_extend(&added);
                let all = work.grown("extend", answer).is_some() || work.has_bug("believe");
                let kept = self.disk.len() - before;
                let kept = if all { added.len() } else { kept };
                self.model.extend(added.into_iter().take(kept));
            }
        }
    }

    fn take(&mut self, work: &mut Work) {
        let len = self.model.len();
        match work.random.below(4) {
            0 => assert_eq!(self.disk.pop(), self.model.pop()),
            1 | 2 => {
                let kept = len - work.random.len(len);
                self.disk.truncate(kept);
                self.model.truncate(kept);
            }
            _ if work.random.once_in(6) => {
                self.disk.clear();
                self.model.clear();
            }
            _ => {}
        }
    }

    fn range(&self, work: &mut Work) -> Range<usize> {
        let len = self.model.len();
        let start = work.random.below(len + 1);
        start..start + work.random.below(len - start + 1)
    }

    fn reside(&mut self, work: &mut Work) {
        let range = self.range(work);
        match work.random.below(4) {
            0 => {
                let answer = self.disk.prefetch(range);
                work.done("prefetch", answer);
            }
            1 => {
                let advice = [Advice::Normal, Advice::Random, Advice::Sequential];
                let answer = self.disk.advise(work.random.pick(&advice));
                work.done("advise", answer);
            }
            _ if work.random.once_in(3) => {
                let answer = self.disk.evict(range);
                work.done("evict", answer);
            }
            _ => {}
        }
    }

    fn space(&mut self, work: &mut Work) {
        if work.random.once_in(2) {
            let answer = self.disk.shrink_to_fit();
            work.grown("shrink", answer);
            return;
        }
        let bytes = work.random.len(self.most / 4);
        let answer = self.disk.reserve(bytes / 30, bytes);
        work.grown("reserve", answer);
        let refused = self.disk.reserve(usize::MAX / 2, 0).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::CapacityOverflow);
    }

    fn copy(&mut self, work: &mut Work) {
        let answer = self.disk.try_clone();
        if let Some(copy) = work.grown("copy", answer) {
            assert!(copy == self.disk, "the copy differs");
            if work.random.once_in(2) {
                self.disk = copy;
            }
        }
    }

    fn append(&mut self, work: &mut Work) {
        let mut other = StrVec::new_in(&self.dir);
        let answer = other.try_extend(self.made(work, 4));
        work.grown("extend another", answer);
        let moved: Vec<String> = other.iter().map(str::to_owned).collect();
        let answer = self.disk.append(&mut other);
        if work.grown("append", answer).is_some() {
            assert!(other.is_empty());
            self.model.extend(moved);
        } else {
            assert!(
                other == moved,
                "the strings that were not appended are gone"
            );
        }
    }

    /// Byte strings that are no text do not become any, and nothing of them is lost.
    fn as_bytes(&mut self, work: &mut Work) {
        let mut items = std::mem::take(&mut self.disk).into_bytes_vec();
        let answer = items.push([0xFF, 0]);
        if work.grown("push bytes", answer).is_some() {
            let Err(refused) = StrVec::from_utf8(items) else {
                panic!("bytes that are no text became text");
            };
            assert_eq!(refused.index(), self.model.len());
            items = refused.into_bytes_vec();
            assert_eq!(items.pop().as_deref(), Some(&[0xFF, 0][..]));
        }
        self.disk = StrVec::from_utf8(items).unwrap();
    }

    fn arrange(&mut self, work: &mut Work) {
        let budget = MemoryBudget::new(MemoryBudget::MIN_BYTES);
        let options = Options::from(&budget).dir(&self.dir);
        let seed = work.random.next();
        let operation = work.random.below(4);
        let answer = match operation {
            0 => self.disk.sort_external(options),
            1 => self.disk.sort_external_unique(options),
            2 => self.disk.sort_external_by_key(options, |text, key| {
                key.extend(text.bytes().rev().take(9));
            }),
            _ => self.disk.shuffle_external(options, seed),
        };
        assert_eq!(budget.used_bytes(), 0, "memory is kept");
        if work.grown("arrange", answer).is_none() {
            return;
        }
        match operation {
            0 => self.model.sort_unstable(),
            1 => {
                self.model.sort_unstable();
                self.model.dedup();
            }
            2 => self.model.sort_by_key(|text| {
                let key: Vec<u8> = text.bytes().rev().take(9).collect();
                key
            }),
            // The seed decides which order.
            _ => {
                let mut shuffled: Vec<String> = self.disk.iter().map(str::to_owned).collect();
                let order = shuffled.clone();
                shuffled.sort_unstable();
                self.model.sort_unstable();
                assert!(shuffled == self.model, "other strings");
                self.model = order;
            }
        }
        self.check("arranged");
    }

    fn read(&mut self, work: &mut Work) {
        let len = self.model.len();
        if len == 0 {
            assert_eq!(self.disk.get(0), None);
            return;
        }
        for _ in 0..20 {
            let index = work.random.below(len);
            assert_eq!(self.disk[index], self.model[index], "at {index}");
        }
        let wanted: Vec<usize> = (0..work.random.len(200))
            .map(|_| work.random.below(len))
            .collect();
        let answer = self.disk.gather(&wanted);
        if let Some(found) = work.grown("gather", answer) {
            let expected = wanted.iter().map(|index| &self.model[*index]);
            assert!(found.iter().eq(expected), "gathered others");
        }
    }
}

/// A vector in a file, and how many strings it has; for a case that forks.
pub(crate) fn filled(dir: &ScratchDir, count: usize) -> BytesVec {
    let mut items = BytesVec::new_in(dir);
    items.try_extend((0..count).map(text)).unwrap();
    items
}

/// Returns the string of a number in a [`filled`] vector.
pub(crate) fn text(number: usize) -> String {
    format!("string {number}")
}
