//! A vector on disk, against std's.

use std::cell::Cell;
use std::fmt::Debug;

use outcore::{Advice, DiskVec};

use crate::bytes::Bytes;

/// The most bytes that the elements of one case take, and their number.
const BYTES_MAX: usize = 1 << 20;
const COUNT_MAX: usize = 200_000;

/// The element types.
trait Element: Clone + Debug + PartialEq {
    fn make(number: u64) -> Self;

    /// Gathers elements, if they are `Copy`.
    fn gather(_disk: &DiskVec<Self>, _model: &[Self], _bytes: &mut Bytes<'_>) {}
}

macro_rules! elements {
    ($($element:ty: $number:ident => $made:expr;)*) => {
        $(impl Element for $element {
            fn make($number: u64) -> Self {
                $made
            }

            fn gather(disk: &DiskVec<Self>, model: &[Self], bytes: &mut Bytes<'_>) {
                let count = if model.is_empty() { 0 } else { bytes.below(40) };
                let indices: Vec<usize> = (0..count).map(|_| bytes.below(model.len())).collect();
                disk.prefetch_many(&indices).unwrap();
                let expected: Vec<Self> = indices.iter().map(|index| model[*index]).collect();
                assert_eq!(disk.gather(&indices).unwrap(), expected);
                assert!(disk.try_copy().unwrap().as_slice() == model);
            }
        })*
    };
}

elements! {
    u8: number => number.to_le_bytes()[0];
    u64: number => number;
    [u8; 3]: number => [0, 1, 2].map(|at| number.to_le_bytes()[at]);
    [u64; 700]: number => std::array::from_fn(|at| number ^ at as u64);
    (): _number => ();
    Aligned: number => Aligned(number);
}

/// Aligned to a page.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(4096))]
struct Aligned(u64);

thread_local! {
    /// The number of live `Counted`.
    static ALIVE: Cell<usize> = const { Cell::new(0) };
}

/// Must be dropped exactly once.
#[derive(Debug, PartialEq)]
struct Counted(Box<u64>);

impl Counted {
    fn new(number: u64) -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self(Box::new(number))
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(*self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
    }
}

impl Element for Counted {
    fn make(number: u64) -> Self {
        Self::new(number)
    }
}

pub(crate) fn run(data: &[u8], planted: bool) {
    let mut bytes = Bytes::new(data);
    match bytes.byte() % 8 {
        0 => run_of::<u8>(bytes, planted),
        1 => run_of::<[u8; 3]>(bytes, planted),
        2 => run_of::<[u64; 700]>(bytes, planted),
        3 => run_of::<()>(bytes, planted),
        4 => run_of::<Aligned>(bytes, planted),
        5 | 6 => {
            // A case that panicked leaves some.
            ALIVE.set(0);
            run_of::<Counted>(bytes, planted);
            assert_eq!(ALIVE.get(), 0, "elements that were not dropped");
        }
        _ => run_of::<u64>(bytes, planted),
    }
}

struct Pair<T> {
    disk: DiskVec<T>,
    model: Vec<T>,
    most: usize,
    planted: bool,
}

fn run_of<T: Element>(mut bytes: Bytes<'_>, planted: bool) {
    let mut pair = Pair {
        disk: DiskVec::<T>::new(),
        model: Vec::new(),
        most: (BYTES_MAX / size_of::<T>().max(1)).min(COUNT_MAX),
        planted,
    };
    while !bytes.is_empty() {
        match bytes.byte() % 16 {
            0..=5 => pair.add(&mut bytes),
            6..=9 => pair.take(&mut bytes),
            10 | 11 => pair.space(&mut bytes),
            12 | 13 => pair.reside(&mut bytes),
            14 => pair.touch(&mut bytes),
            _ => pair.whole(&mut bytes),
        }
        assert_eq!(pair.disk.len(), pair.model.len());
        assert!(pair.disk.capacity() >= pair.disk.len());
    }
    pair.check();
    let Pair { disk, model, .. } = pair;
    let mut elements = disk.into_iter();
    assert_eq!(elements.len(), model.len());
    assert_eq!(elements.next(), model.first().cloned());
    if model.len() > 1 {
        assert_eq!(elements.next_back(), model.last().cloned());
    }
}

impl<T: Element> Pair<T> {
    fn check(&self) {
        assert!(self.disk.as_slice() == self.model.as_slice());
        let mut scanned = self.disk.scan().flatten().zip(&self.model);
        assert!(scanned.all(|(a, b)| a == b));
    }

    fn add(&mut self, bytes: &mut Bytes<'_>) {
        let room = self.most - self.model.len().min(self.most);
        let (disk, model) = (&mut self.disk, &mut self.model);
        let way = bytes.byte() % 8;
        let first = u64::from(bytes.byte());
        let count = if way < 3 { 1 } else { bytes.len(room) };
        if count > room {
            return;
        }
        let made: Vec<T> = (0..count as u64).map(|n| T::make(first ^ n)).collect();
        match way {
            0 => {
                disk.push(made[0].clone()).unwrap();
                model.push(made[0].clone());
            }
            1 => {
                let index = bytes.below(model.len() + 1);
                disk.insert(index, made[0].clone()).unwrap();
                model.insert(index, made[0].clone());
            }
            2 => {
                let has_room = disk.capacity() > disk.len();
                let pushed = disk.push_within_capacity(made[0].clone()).is_ok();
                assert_eq!(pushed, has_room);
                model.extend(made.into_iter().take(usize::from(pushed)));
            }
            3 => {
                disk.extend_from_slice(&made).unwrap();
                model.extend_from_slice(&made);
            }
            4 => {
                disk.try_extend(made.iter().cloned()).unwrap();
                model.extend(made);
            }
            5 => {
                let len = bytes.below(model.len() + count + 1);
                disk.resize(len, T::make(first)).unwrap();
                model.resize(len, T::make(first));
            }
            6 => {
                let (mut a, mut b) = (first, first);
                let next = |number: &mut u64| {
                    *number += 1;
                    T::make(*number)
                };
                disk.resize_with(model.len() + count, || next(&mut a))
                    .unwrap();
                model.resize_with(model.len() + count, || next(&mut b));
            }
            _ => {
                let mut other = DiskVec::new();
                other.try_extend(made.iter().cloned()).unwrap();
                disk.append(&mut other).unwrap();
                assert!(other.is_empty());
                model.extend(made);
            }
        }
    }

    fn take(&mut self, bytes: &mut Bytes<'_>) {
        let (disk, model) = (&mut self.disk, &mut self.model);
        let way = bytes.byte() % 10;
        let len = model.len();
        if len == 0 {
            assert!(disk.pop().is_none() && disk.drain(..).next().is_none());
            return;
        }
        let index = bytes.below(len);
        match way {
            0 => assert_eq!(disk.pop(), model.pop()),
            1 => assert_eq!(disk.remove(index), model.remove(index)),
            2 => assert_eq!(disk.swap_remove(index), model.swap_remove(index)),
            3 => {
                disk.truncate(index);
                model.truncate(index);
            }
            4 | 5 => {
                // Planted: one element too many is removed from the front.
                let more = usize::from(self.planted && index > 9 && index + 1 < len);
                disk.truncate_front(index + more);
                drop(model.drain(..index));
            }
            6 => self.drain(index, bytes),
            7 => {
                let pivot = model[index].clone();
                disk.retain_mut(|element| *element != pivot);
                model.retain_mut(|element| *element != pivot);
            }
            8 if bytes.byte() % 8 == 0 => {
                disk.clear();
                model.clear();
            }
            8 => {
                let mut number = 0_u32;
                disk.dedup_by_key(|_| {
                    number += 1;
                    number / 5
                });
                number = 0;
                model.dedup_by_key(|_| {
                    number += 1;
                    number / 5
                });
            }
            _ => {
                disk.dedup();
                model.dedup();
            }
        }
    }

    /// Drains a range, and takes only some of it, from both ends.
    fn drain(&mut self, start: usize, bytes: &mut Bytes<'_>) {
        let end = start + bytes.below(self.model.len() - start + 1);
        let (front, back) = (bytes.below(9), bytes.below(9));
        let mut drained = self.disk.drain(start..end);
        let mut expected = self.model.drain(start..end);
        assert_eq!(drained.len(), expected.len());
        for _ in 0..front {
            assert_eq!(drained.next(), expected.next());
        }
        for _ in 0..back {
            assert_eq!(drained.next_back(), expected.next_back());
        }
        assert!(drained.as_slice() == expected.as_slice());
    }

    fn space(&mut self, bytes: &mut Bytes<'_>) {
        let disk = &mut self.disk;
        let way = bytes.byte() % 4;
        let more = bytes.len(self.most);
        match way {
            0 => disk.shrink_to_fit().unwrap(),
            1 => disk.reserve(more).unwrap(),
            2 => disk.reserve_exact(more).unwrap(),
            _ => {
                let refused = disk.reserve(usize::MAX - more);
                // Zero-sized elements need no room.
                let may_be = size_of::<T>() == 0 && disk.len() <= more;
                assert!(refused.is_err() || may_be);
            }
        }
        assert!((1..=2).contains(&way) <= (disk.capacity() >= disk.len() + more));
    }

    fn reside(&mut self, bytes: &mut Bytes<'_>) {
        let len = self.model.len();
        let start = bytes.below(len + 1);
        let end = start + bytes.below(len - start + 1);
        let disk = &mut self.disk;
        match bytes.byte() % 6 {
            0 => disk.evict(start..end).unwrap(),
            1 => disk.prefetch(start..end).unwrap(),
            2 => {
                let all = [Advice::Normal, Advice::Random, Advice::Sequential];
                disk.advise(bytes.pick(&all)).unwrap();
            }
            3 => assert!(disk.resident_bytes().is_ok()),
            4 => T::gather(disk, &self.model, bytes),
            _ => self.check(),
        }
    }

    fn touch(&mut self, bytes: &mut Bytes<'_>) {
        for _ in 0..self.model.len().min(8) {
            let index = bytes.below(self.model.len());
            assert_eq!(self.disk[index], self.model[index]);
            let made = T::make(u64::from(bytes.byte()));
            self.disk[index] = made.clone();
            self.model[index] = made;
        }
        assert_eq!(self.disk.first(), self.model.first());
        assert_eq!(self.disk.last(), self.model.last());
    }

    fn whole(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.byte() % 3 {
            0 => {
                self.disk.reverse();
                self.model.reverse();
            }
            1 => {
                let middle = bytes.below(self.model.len() + 1);
                self.disk.rotate_left(middle);
                self.model.rotate_left(middle);
            }
            _ => {
                let clone = self.disk.try_clone().unwrap();
                assert!(clone == self.disk);
                self.disk = clone;
            }
        }
    }
}
