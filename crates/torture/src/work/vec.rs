//! A vector on disk, against a `Vec`.

use std::fmt::Debug;

use outcore::{Advice, DiskVec};

use crate::work::Work;

/// The element types.
trait Element: Clone + Debug + PartialEq {
    /// Bytes that one element takes, with the memory that it owns elsewhere.
    const COST: usize = size_of::<Self>();

    fn make(number: u64) -> Self;
}

impl Element for u8 {
    fn make(number: u64) -> Self {
        number.to_le_bytes()[0]
    }
}

impl Element for u64 {
    fn make(number: u64) -> Self {
        number
    }
}

impl Element for [u32; 5] {
    fn make(number: u64) -> Self {
        [0, 8, 16, 24, 32].map(|shift| u32::from((number >> shift).to_le_bytes()[0]))
    }
}

/// Longer than a page.
impl Element for [u64; 600] {
    fn make(number: u64) -> Self {
        std::array::from_fn(|index| number ^ index as u64)
    }
}

/// An element that must be dropped.
impl Element for Box<u64> {
    const COST: usize = 128;

    fn make(number: u64) -> Self {
        Self::new(number)
    }
}

pub(crate) fn run(work: &mut Work) {
    match work.random.below(5) {
        0 => run_of::<u8>(work),
        1 => run_of::<[u32; 5]>(work),
        2 => run_of::<[u64; 600]>(work),
        3 => run_of::<Box<u64>>(work),
        _ => run_of::<u64>(work),
    }
}

struct Pair<T> {
    disk: DiskVec<T>,
    model: Vec<T>,
    most: usize,
}

fn run_of<T: Element>(work: &mut Work) {
    let Some(dir) = work.scratch() else { return };
    let mut pair = Pair {
        disk: DiskVec::<T>::new_in(&dir),
        model: Vec::new(),
        most: work.bytes / T::COST,
    };
    for step in 0..work.steps {
        work.step();
        match work.random.below(28) {
            0..=7 => pair.add(work),
            8..=13 => pair.take(work),
            14..=17 => pair.reside(work),
            18..=20 => pair.space(work),
            21 => pair.clone(work),
            22 => pair.append(work),
            23 => {
                if work.random.once_in(3) {
                    pair.disk.reverse();
                    pair.model.reverse();
                }
            }
            _ => pair.touch(work),
        }
        if step == work.steps / 2 && work.has_bug("lose") {
            let lost = T::make(work.random.next());
            if let Some(last) = pair.disk.last_mut() {
                *last = lost;
            }
        }
        assert_eq!(pair.disk.len(), pair.model.len(), "step {step}");
        if work.random.once_in(16) {
            pair.check("on the way");
        }
    }
    if work.has_space_again() {
        let number = T::make(1);
        pair.disk.push(number.clone()).unwrap();
        pair.model.push(number);
    }
    pair.check("at the end");
}

impl<T: Element> Pair<T> {
    #[track_caller]
    fn check(&self, what: &str) {
        let (disk, model) = (&self.disk, &self.model);
        assert_eq!(disk.len(), model.len(), "{what}");
        let differs = disk.iter().zip(model).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{what}: the first element that differs");
        let scanned = disk.scan().flatten().zip(model).position(|(a, b)| a != b);
        assert_eq!(scanned, None, "{what}: the first that differs in a scan");
    }

    fn add(&mut self, work: &mut Work) {
        let room = self.most.saturating_sub(self.model.len());
        let count = work.random.len(room / 2);
        let first = work.random.next();
        let made = (0..count as u64).map(|n| T::make(first.wrapping_add(n)));
        let (disk, model) = (&mut self.disk, &mut self.model);
        match work.random.below(5) {
            0 => {
                let added: Vec<T> = made.collect();
                let answer = disk.extend_from_slice(&added);
                if work.grown("extend from a slice", answer).is_some() || work.has_bug("believe") {
                    model.extend(added);
                }
            }
            1 => {
                let len = model.len() + count;
                let answer = disk.resize(len, T::make(first));
                if work.grown("resize", answer).is_some() || work.has_bug("believe") {
                    model.resize(len, T::make(first));
                }
            }
            2 => {
                let index = work.random.below(model.len() + 1);
                let answer = disk.insert(index, T::make(first));
                if work.grown("insert", answer).is_some() || work.has_bug("believe") {
                    model.insert(index, T::make(first));
                }
            }
            3 => {
                let answer = disk.push(T::make(first));
                if work.grown("push", answer).is_some() || work.has_bug("believe") {
                    model.push(T::make(first));
                }
            }
            _ => {
                // Elements that were appended before the refusal stay.
                let before = disk.len();
                let added: Vec<T> = made.collect();
                let answer = disk.try_extend(added.iter().cloned());
                let all = work.grown("extend", answer).is_some() || work.has_bug("believe");
                let kept = if all {
                    added.len()
                } else {
                    disk.len() - before
                };
                model.extend_from_slice(&added[..kept]);
            }
        }
    }

    fn take(&mut self, work: &mut Work) {
        let len = self.model.len();
        let (disk, model) = (&mut self.disk, &mut self.model);
        if len == 0 {
            return;
        }
        let (index, kept) = (work.random.below(len), work.random.len(len));
        match work.random.below(9) {
            0 => assert_eq!(disk.pop(), model.pop()),
            1 => assert_eq!(disk.remove(index), model.remove(index)),
            2 => assert_eq!(disk.swap_remove(index), model.swap_remove(index)),
            3 => {
                disk.truncate(len - kept);
                model.truncate(len - kept);
            }
            4 => {
                disk.truncate_front(kept);
                drop(model.drain(..kept));
            }
            5 => {
                let end = index + work.random.below(len - index + 1);
                let taken: Vec<T> = disk.drain(index..end).collect();
                let expected: Vec<T> = model.drain(index..end).collect();
                assert!(taken == expected, "drained other elements");
            }
            6 => {
                let pivot = model[index].clone();
                disk.retain(|element| *element != pivot);
                model.retain(|element| *element != pivot);
            }
            7 if work.random.once_in(3) => {
                disk.clear();
                model.clear();
            }
            _ => {
                disk.dedup();
                model.dedup();
            }
        }
    }

    fn reside(&mut self, work: &mut Work) {
        let len = self.model.len();
        let from = work.random.below(len + 1);
        let to = from + work.random.below(len - from + 1);
        let disk = &mut self.disk;
        match work.random.below(4) {
            0 => {
                let answer = disk.prefetch(from..to);
                work.done("prefetch", answer);
            }
            1 => {
                let advice = [Advice::Normal, Advice::Random, Advice::Sequential];
                let answer = disk.advise(work.random.pick(&advice));
                work.done("advise", answer);
            }
            _ if work.random.once_in(3) => {
                let answer = disk.evict(from..to);
                work.done("evict", answer);
            }
            _ => {}
        }
    }

    fn space(&mut self, work: &mut Work) {
        let more = work.random.len(self.most);
        let disk = &mut self.disk;
        match work.random.below(4) {
            0 => {
                let answer = disk.shrink_to_fit();
                work.grown("shrink", answer);
            }
            1 => {
                let answer = disk.reserve_exact(more);
                work.grown("reserve exactly", answer);
            }
            2 => {
                // Reserved space is usable.
                let answer = disk.reserve(more);
                if work.grown("reserve", answer).is_some() {
                    assert!(disk.capacity() >= disk.len() + more);
                    for _ in 0..more.min(100) {
                        let element = T::make(more as u64);
                        match disk.push_within_capacity(element.clone()) {
                            Ok(()) => self.model.push(element),
                            // The space is there. Writing the window to it can fail for other
                            // reasons.
                            Err(_element) => {
                                assert!(
                                    work.can_fail_in_reserved_space(),
                                    "no room in reserved space"
                                );
                                work.refusals += 1;
                                break;
                            }
                        }
                    }
                }
            }
            _ => {
                let refused = disk.reserve(usize::MAX / 2).unwrap_err();
                assert_eq!(refused.kind(), outcore::ErrorKind::CapacityOverflow);
            }
        }
    }

    /// A clone has its own file, and dropping it harms nothing.
    fn clone(&mut self, work: &mut Work) {
        let answer = self.disk.try_clone();
        if let Some(clone) = work.grown("clone", answer) {
            assert!(
                clone.as_slice() == self.model.as_slice(),
                "the clone differs"
            );
            if work.random.once_in(2) {
                self.disk = clone;
            }
        }
    }

    fn append(&mut self, work: &mut Work) {
        let Some(dir) = work.scratch() else { return };
        let first = work.random.next();
        let count = work
            .random
            .len(self.most.saturating_sub(self.model.len()) / 4);
        let mut other = DiskVec::new_in(&dir);
        let answer = other.try_extend((0..count as u64).map(|n| T::make(first.wrapping_add(n))));
        work.grown("extend another", answer);
        let moved: Vec<T> = other.to_vec();
        let answer = self.disk.append(&mut other);
        if work.grown("append", answer).is_some() {
            assert!(other.is_empty());
            self.model.extend(moved);
        } else {
            assert!(
                other.as_slice() == moved.as_slice(),
                "the elements that were not appended are gone"
            );
        }
    }

    fn touch(&mut self, work: &mut Work) {
        let len = self.model.len();
        for _ in 0..len.min(20) {
            let index = work.random.below(len);
            assert_eq!(self.disk[index], self.model[index], "at {index}");
            let element = T::make(work.random.next());
            self.disk[index] = element.clone();
            self.model[index] = element;
        }
    }
}
