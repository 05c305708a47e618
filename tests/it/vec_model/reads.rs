//! The steps that convert a vector, change elements in place, and read them.

use outcore::{Advice, DiskVec};

use crate::vec_items::Item;
use crate::vec_model::Run;

impl<T: Item> Run<T> {
    pub(super) fn convert(&mut self) {
        match self.random.below(9) {
            0 => {
                self.what = "try_clone";
                self.vec = self.vec.try_clone().unwrap();
                self.model = self.model.clone();
            }
            1 => {
                self.what = self
                    .random
                    .pick(&["with_capacity_in", "with_capacity", "new"]);
                let len = self.model.len();
                let mut other = match self.what {
                    "new" => DiskVec::new(),
                    "with_capacity" => DiskVec::with_capacity(len).unwrap(),
                    _ => DiskVec::with_capacity_in(len, &self.dir).unwrap(),
                };
                other.append(&mut self.vec).unwrap();
                self.vec = other;
                self.come_home();
            }
            2 => {
                self.what = "into_iter";
                let (mut ours, mut theirs) = (
                    std::mem::replace(&mut self.vec, DiskVec::new_in(&self.dir)).into_iter(),
                    std::mem::take(&mut self.model).into_iter(),
                );
                let front = ours.next() == theirs.next();
                let back = ours.next_back() == theirs.next_back();
                let rest = ours.as_slice() == theirs.as_slice();
                assert!(front && back && rest, "{}", self.here());
                assert_eq!(ours.len(), theirs.len(), "{}", self.here());
                if self.random.below(2) == 0 {
                    self.vec.try_extend(ours).unwrap();
                    self.model.extend(theirs);
                }
            }
            3 => {
                self.what = "iter_mut";
                let change = |item: &mut T| *item = T::make(item.number() ^ 1);
                self.vec.iter_mut().for_each(change);
                self.model.iter_mut().for_each(change);
            }
            4 => {
                self.what = "start of try_copy";
                if let Some(copy) = T::copy(&self.vec) {
                    self.what = "try_copy";
                    self.vec = copy.unwrap();
                }
            }
            5 => {
                self.what = "try_from";
                let ours = self.model.clone();
                let copied = self.random.below(2) == 0;
                self.vec = if copied {
                    DiskVec::try_from(&ours[..]).unwrap()
                } else {
                    DiskVec::try_from(ours).unwrap()
                };
                self.come_home();
            }
            6 => self.compare_with_others(),
            7 => self.change_some(),
            // rustc 1.95 optimizes std's stable sort of elements that are aligned to more than a
            // page into a function that returns to its caller's caller: the rest of the case would
            // be skipped silently.
            _ if align_of::<T>() > 4096 => self.what = "start of sort_by_key",
            _ => {
                self.what = "sort_by_key";
                self.vec.sort_by_key(T::number);
                self.model.sort_by_key(T::number);
            }
        }
    }

    /// Moves the elements to the directory in which bytes are counted. Vectors that are made from
    /// others, or by `new`, are in the directory of the environment, which other objects share.
    fn come_home(&mut self) {
        assert!(self.vec == self.model, "{}", self.here());
        let mut here = DiskVec::new_in(&self.dir);
        here.append(&mut self.vec).unwrap();
        self.vec = here;
    }

    /// Comparisons with types of std, with an equal value and a different one.
    fn compare_with_others(&mut self) {
        self.what = "compare";
        let other = self.vec.try_clone().unwrap();
        assert!(self.vec == other, "{}", self.here());
        assert!(self.model == self.vec, "{}", self.here());
        let (ours, theirs): (&[T], &[T]) = (self.vec.as_ref(), &self.model);
        assert!(ours == theirs && self.vec == *theirs, "{}", self.here());
        let shorter = &theirs[..theirs.len().saturating_sub(1)];
        assert_eq!(self.vec == *shorter, theirs.is_empty(), "{}", self.here());
    }

    /// Writes to elements in each possible way.
    fn change_some(&mut self) {
        self.what = "as_mut_slice";
        for _ in 0..20 {
            let Some(at) = self.index() else { return };
            let (ours, theirs) = self.item();
            match self.random.below(3) {
                0 => self.vec[at] = ours,
                1 => self.vec.as_mut_slice()[at] = ours,
                _ => AsMut::<[T]>::as_mut(&mut self.vec)[at] = ours,
            }
            self.model[at] = theirs;
        }
        self.vec.as_mut_slice().reverse();
        self.model.reverse();
        assert_eq!(
            self.vec.as_mut_ptr().cast_const(),
            self.vec.as_ptr(),
            "{}",
            self.here()
        );
    }

    pub(super) fn residency(&mut self) {
        let range = self.range();
        let advice = [Advice::Normal, Advice::Sequential, Advice::Random];
        // Few evictions, since each waits for the disk.
        match self.random.below(10) {
            0 => {
                self.what = "advise";
                let advice = self.random.pick(&advice);
                self.vec.advise(advice).unwrap();
                assert_eq!(self.vec.advice(), advice, "{}", self.here());
            }
            1 => {
                self.what = "evict";
                self.vec.evict(range).unwrap();
            }
            2..=3 => {
                self.what = "prefetch";
                self.vec.prefetch(range).unwrap();
            }
            4..=6 => self.read_at_random(),
            _ => {
                self.what = "scan";
                let scanned = self.vec.scan().flatten();
                assert!(scanned.eq(&self.model), "{}", self.here());
                self.vec.resident_bytes().unwrap();
            }
        }
        self.check(true);
    }

    /// Elements at positions that may repeat, in any order.
    fn read_at_random(&mut self) {
        self.what = "read_at_random";
        let count = self.random.below(60);
        let indices: Vec<usize> = (0..count).filter_map(|_| self.index()).collect();
        self.vec.prefetch_many(&indices).unwrap();
        self.tally.met("prefetch_many");
        if let Some(copies) = T::gather(&self.vec, &indices) {
            let expected = indices.iter().map(|at| &self.model[*at]);
            assert!(copies.unwrap().iter().eq(expected), "{}", self.here());
            self.tally.met("gather");
        }
    }
}
