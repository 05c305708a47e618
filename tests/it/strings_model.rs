//! Random operations on a `BytesVec` and on a `Vec<Vec<u8>>`, on a `StrVec` and on a `Vec<String>`;
//! the results must always agree.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test strings_model`. With
//! `OUTCORE_CAMPAIGN=long` there are 2,000 cases of each, all but the first of them small.

use std::any::type_name;
use std::fmt::Debug;

use outcore::{Advice, BytesVec, Result, ScratchDir, StrVec};

use crate::support::disk;
use crate::support::random::{Case, Random, cases};

const STEPS: usize = if cfg!(miri) { 15 } else { 250 };

#[test]
fn byte_strings_behave_like_a_vec() {
    play_all::<BytesVec>();
}

#[test]
fn strings_behave_like_a_vec() {
    play_all::<StrVec>();
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_difference_is_found() {
    Run::<StrVec>::new(Case::PLANTED).play(|run| run.model.push("x".to_owned()));
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_change_of_a_byte_is_found() {
    Run::<BytesVec>::new(Case::PLANTED).play(|run| {
        let long = run.model.iter_mut().find(|item| !item.is_empty());
        long.unwrap()[0] ^= 1;
    });
}

fn play_all<V: Items>() {
    for case in cases(24) {
        Run::<V>::new(case).play(|_run| {});
    }
}

/// What both vectors can do, and their items in std.
trait Items: Sized {
    type Owned: Clone + Debug + Ord;
    type Item: ?Sized + ToOwned<Owned = Self::Owned> + PartialEq + Debug;

    fn make(random: &mut Random, longest: usize) -> Self::Owned;
    fn new_in(dir: &ScratchDir) -> Self;
    fn with_capacity_in(count: usize, bytes: usize, dir: &ScratchDir) -> Result<Self>;
    fn item(owned: &Self::Owned) -> &Self::Item;
    fn bytes(item: &Self::Item) -> &[u8];
    fn push(&mut self, item: &Self::Item) -> Result<()>;
    fn pop(&mut self) -> Option<Self::Owned>;
    fn truncate(&mut self, len: usize);
    fn clear(&mut self);
    fn try_extend(&mut self, items: &[Self::Owned]) -> Result<()>;
    fn extend_from_slice(&mut self, items: &[Self::Owned]) -> Result<()>;
    fn append(&mut self, other: &mut Self) -> Result<()>;
    fn reserve(&mut self, count: usize, bytes: usize) -> Result<()>;
    fn shrink_to_fit(&mut self) -> Result<()>;
    fn len(&self) -> usize;
    fn len_bytes(&self) -> usize;
    fn disk_bytes(&self) -> u64;
    fn get(&self, index: usize) -> Option<&Self::Item>;
    fn all(&self) -> impl DoubleEndedIterator<Item = &Self::Item> + ExactSizeIterator + Clone;
    fn some(&self, start: usize, end: usize) -> impl Iterator<Item = &Self::Item>;
    fn scanned(&self) -> impl ExactSizeIterator<Item = &Self::Item>;
    fn binary_search(&self, item: &Self::Item) -> std::result::Result<usize, usize>;
    fn gather(&self, indices: &[usize]) -> Result<Vec<Self::Owned>>;
    fn get_many(
        &self,
        indices: &[usize],
        deliver: &mut dyn FnMut(usize, &Self::Item),
    ) -> Result<()>;
    fn try_clone(&self) -> Result<Self>;
    fn is_same(&self, other: &Self) -> bool;
    fn is_list(&self, list: &[Self::Owned]) -> bool;
    fn advise(&mut self, advice: Advice) -> Result<()>;
    fn prefetch(&self, start: usize, end: usize) -> Result<()>;
    fn evict(&self, start: usize, end: usize) -> Result<()>;
}

macro_rules! items {
    ($vec:ident, $owned:ty, $item:ty, $as_item:expr, $as_bytes:expr, $make:expr) => {
        impl Items for $vec {
            type Owned = $owned;
            type Item = $item;

            fn make(random: &mut Random, longest: usize) -> $owned {
                let make: fn(&mut Random, usize) -> $owned = $make;
                make(random, longest)
            }
            fn new_in(dir: &ScratchDir) -> Self {
                $vec::new_in(dir)
            }
            fn with_capacity_in(count: usize, bytes: usize, dir: &ScratchDir) -> Result<Self> {
                $vec::with_capacity_in(count, bytes, dir)
            }
            fn item(owned: &$owned) -> &$item {
                let as_item: fn(&$owned) -> &$item = $as_item;
                as_item(owned)
            }
            fn bytes(item: &$item) -> &[u8] {
                let as_bytes: fn(&$item) -> &[u8] = $as_bytes;
                as_bytes(item)
            }
            fn push(&mut self, item: &$item) -> Result<()> {
                $vec::push(self, item)
            }
            fn pop(&mut self) -> Option<$owned> {
                $vec::pop(self)
            }
            fn truncate(&mut self, len: usize) {
                $vec::truncate(self, len);
            }
            fn clear(&mut self) {
                $vec::clear(self);
            }
            fn try_extend(&mut self, items: &[$owned]) -> Result<()> {
                $vec::try_extend(self, items)
            }
            fn extend_from_slice(&mut self, items: &[$owned]) -> Result<()> {
                $vec::extend_from_slice(self, items)
            }
            fn append(&mut self, other: &mut Self) -> Result<()> {
                $vec::append(self, other)
            }
            fn reserve(&mut self, count: usize, bytes: usize) -> Result<()> {
                $vec::reserve(self, count, bytes)
            }
            fn shrink_to_fit(&mut self) -> Result<()> {
                $vec::shrink_to_fit(self)
            }
            fn len(&self) -> usize {
                $vec::len(self)
            }
            fn len_bytes(&self) -> usize {
                $vec::len_bytes(self)
            }
            fn disk_bytes(&self) -> u64 {
                $vec::disk_bytes(self)
            }
            fn get(&self, index: usize) -> Option<&$item> {
                $vec::get(self, index)
            }
            fn all(&self) -> impl DoubleEndedIterator<Item = &$item> + ExactSizeIterator + Clone {
                $vec::iter(self)
            }
            fn some(&self, start: usize, end: usize) -> impl Iterator<Item = &$item> {
                $vec::range(self, start..end)
            }
            fn scanned(&self) -> impl ExactSizeIterator<Item = &$item> {
                $vec::scan(self)
            }
            fn binary_search(&self, item: &$item) -> std::result::Result<usize, usize> {
                $vec::binary_search(self, item)
            }
            fn gather(&self, indices: &[usize]) -> Result<Vec<$owned>> {
                $vec::gather(self, indices)
            }
            fn get_many(
                &self,
                indices: &[usize],
                deliver: &mut dyn FnMut(usize, &$item),
            ) -> Result<()> {
                $vec::get_many(self, indices, deliver)
            }
            fn try_clone(&self) -> Result<Self> {
                $vec::try_clone(self)
            }
            fn is_same(&self, other: &Self) -> bool {
                self == other
            }
            fn is_list(&self, list: &[$owned]) -> bool {
                *self == *list
            }
            fn advise(&mut self, advice: Advice) -> Result<()> {
                $vec::advise(self, advice)
            }
            fn prefetch(&self, start: usize, end: usize) -> Result<()> {
                $vec::prefetch(self, start..end)
            }
            fn evict(&self, start: usize, end: usize) -> Result<()> {
                $vec::evict(self, start..end)
            }
        }
    };
}

items!(
    BytesVec,
    Vec<u8>,
    [u8],
    |owned| owned,
    |item| item,
    |random, longest| {
        let len = random.len(longest);
        let mut bytes = vec![0; len.next_multiple_of(8)];
        random.fill(&mut bytes);
        bytes.truncate(len);
        bytes
    }
);

items!(
    StrVec,
    String,
    str,
    |owned| owned,
    |item| item.as_bytes(),
    |random, longest| {
        // Letters of one to four bytes.
        let letters = ['a', 'Z', '\u{e9}', '\u{20ac}', '\u{1f980}', '\n'];
        let len = random.len(longest);
        (0..len / 2).map(|_| random.pick(&letters)).collect()
    }
);

struct Run<V: Items> {
    case: Case,
    step: usize,
    what: &'static str,
    random: Random,
    dir: ScratchDir,
    vec: V,
    model: Vec<V::Owned>,
}

impl<V: Items> Run<V> {
    fn new(case: Case) -> Self {
        let dir = disk();
        Self {
            case,
            step: 0,
            what: "new",
            random: Random::new(case.seed),
            vec: V::new_in(&dir),
            dir,
            model: Vec::new(),
        }
    }

    fn play(mut self, plant: impl FnOnce(&mut Self)) {
        let steps = self.case.either(STEPS, STEPS / 4);
        let mut plant = Some(plant);
        for step in 0..steps {
            self.step = step;
            self.operate();
            self.check_some();
            if step == steps / 2 {
                self.grow(100);
                plant
                    .take()
                    .map(|plant| plant(&mut self))
                    .unwrap_or_default();
                self.check_all();
            }
            if step % 16 == 15 {
                self.check_all();
            }
        }
        self.check_all();
    }

    #[track_caller]
    fn assert(&self, holds: bool, what: &str) {
        assert!(
            holds,
            "seed {}, step {}, {}, {}: {what}",
            self.case.seed,
            self.step,
            type_name::<V>(),
            self.what,
        );
    }

    fn make_items(&mut self, count: usize) -> Vec<V::Owned> {
        let longest = match self.random.below(20) {
            0 if !self.case.small => 200_000,
            1..6 => 3_000,
            _ => 60,
        };
        let count = if longest > 3_000 { count.min(3) } else { count };
        (0..count)
            .map(|_| V::make(&mut self.random, longest))
            .collect()
    }

    fn grow(&mut self, count: usize) {
        let items = self.make_items(count);
        self.vec.try_extend(&items).unwrap();
        self.model.extend(items);
    }

    fn operate(&mut self) {
        let most = self.case.either(3_000, 100);
        let count = self.random.len(if cfg!(miri) { 30 } else { most });
        match self.random.below(20) {
            0..4 => {
                self.what = "push";
                for item in self.make_items(count.min(50)) {
                    self.vec.push(V::item(&item)).unwrap();
                    self.model.push(item);
                }
            }
            4..7 => {
                self.what = "try_extend";
                self.grow(count);
            }
            7..9 => {
                self.what = "extend_from_slice";
                let items = self.make_items(count);
                self.vec.extend_from_slice(&items).unwrap();
                self.model.extend(items);
            }
            9 => {
                self.what = "append";
                let items = self.make_items(count);
                let mut other = V::new_in(&self.dir);
                other.try_extend(&items).unwrap();
                self.vec.append(&mut other).unwrap();
                self.model.extend(items);
                self.assert(other.len() == 0 && other.len_bytes() == 0, "items are left");
            }
            10..14 => self.remove(count),
            14 => {
                self.what = "reserve";
                self.vec.reserve(count, count * 9).unwrap();
            }
            15 => {
                self.what = "shrink_to_fit";
                self.vec.shrink_to_fit().unwrap();
            }
            16 => {
                self.what = "try_clone";
                let copy = self.vec.try_clone().unwrap();
                self.assert(copy.is_same(&self.vec), "the copy differs");
                self.vec = copy;
            }
            17 => {
                self.what = "with_capacity";
                let all = self.model.iter().map(|item| V::bytes(V::item(item)).len());
                let made = V::with_capacity_in(self.model.len(), all.sum(), &self.dir);
                let mut made = made.unwrap();
                let disk_bytes = made.disk_bytes();
                made.extend_from_slice(&self.model).unwrap();
                self.assert(made.disk_bytes() == disk_bytes, "it was not reserved");
                self.vec = made;
            }
            18 => {
                self.what = "advise";
                let all = [Advice::Normal, Advice::Sequential, Advice::Random];
                self.vec.advise(self.random.pick(&all)).unwrap();
            }
            _ => self.read(),
        }
    }

    fn remove(&mut self, count: usize) {
        match self.random.below(4) {
            0..2 => {
                self.what = "pop";
                for _ in 0..count.min(10) {
                    let (popped, expected) = (self.vec.pop(), self.model.pop());
                    self.assert(popped == expected, "another item");
                }
            }
            2 => {
                self.what = "truncate";
                let len = self.random.below(self.model.len() * 2 + 1);
                self.vec.truncate(len);
                self.model.truncate(len);
            }
            _ if self.random.once_in(3) => {
                self.what = "clear";
                self.vec.clear();
                self.model.clear();
            }
            _ => {}
        }
    }

    /// Returns a range of items.
    fn range(&mut self) -> (usize, usize) {
        let ends = [(); 2].map(|()| self.random.below(self.model.len() + 1));
        (ends[0].min(ends[1]), ends[0].max(ends[1]))
    }

    fn read(&mut self) {
        self.what = "read";
        let (start, end) = self.range();
        self.vec.evict(start, end).unwrap();
        self.vec.prefetch(start, end).unwrap();
        let part = self.vec.some(start, end);
        let expected = self.model[start..end].iter().map(V::item);
        self.assert(part.eq(expected), "a range differs");
        self.assert(
            self.vec.scanned().eq(self.model.iter().map(V::item)),
            "a scan differs",
        );
        if self.model.is_empty() {
            return;
        }
        let count = self.random.len(300);
        let indices: Vec<usize> = (0..count)
            .map(|_| self.random.below(self.model.len()))
            .collect();
        let copies = self.vec.gather(&indices).unwrap();
        let same = copies
            .iter()
            .eq(indices.iter().map(|index| &self.model[*index]));
        self.assert(copies.len() == indices.len() && same, "gather differs");
        let mut places = vec![0; indices.len()];
        let mut differ = 0;
        let deliver = &mut |place: usize, item: &V::Item| {
            places[place] += 1;
            differ += usize::from(item != V::item(&self.model[indices[place]]));
        };
        self.vec.get_many(&indices, deliver).unwrap();
        self.assert(differ == 0, "get_many differs");
        self.assert(places.iter().all(|times| *times == 1), "delivered once");
    }

    fn check_some(&mut self) {
        let index = self.random.below(self.model.len() + 2);
        let found = self.vec.get(index);
        let same = found == self.model.get(index).map(V::item);
        self.assert(same, "an item differs");
        let sum: usize = self
            .model
            .iter()
            .map(|item| V::bytes(V::item(item)).len())
            .sum();
        let same = self.vec.len() == self.model.len() && self.vec.len_bytes() == sum;
        self.assert(same, "another number of items or bytes");
        let used = self.dir.used_bytes();
        self.assert(used == self.vec.disk_bytes(), "the budget differs");
    }

    fn check_all(&mut self) {
        self.assert(self.vec.is_list(&self.model), "the items differ");
        let all = self.vec.all();
        self.assert(all.len() == self.model.len(), "another length");
        let same = all.clone().rev().eq(self.model.iter().rev().map(V::item));
        self.assert(same, "from the back, the items differ");
        let step = self.random.below(9) + 1;
        let same = all
            .step_by(step)
            .eq(self.model.iter().step_by(step).map(V::item));
        self.assert(same, "in steps, the items differ");
        if self.random.once_in(3) {
            let mut sorted = self.model.clone();
            sorted.sort();
            sorted.dedup();
            let mut vec = V::new_in(&self.dir);
            vec.try_extend(&sorted).unwrap();
            for _ in 0..20 {
                let item = V::make(&mut self.random, 60);
                let item = match self.random.below(2) {
                    0 if !sorted.is_empty() => sorted[self.random.below(sorted.len())].clone(),
                    _ => item,
                };
                let found = vec.binary_search(V::item(&item));
                self.assert(found == sorted.binary_search(&item), "a search differs");
            }
        }
    }
}
