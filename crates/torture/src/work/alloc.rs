//! Collections in an allocator on disk: a map of byte strings, and one long list, against std's.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;

use allocator_api2::vec::Vec as AllocVec;
use hashbrown::HashMap;
use outcore::{Advice, DiskAlloc};

use crate::random::item;
use crate::work::Work;

type Bytes = AllocVec<u8, DiskAlloc>;
/// With a hasher that is the same in each run.
type Map = HashMap<u64, Bytes, BuildHasherDefault<DefaultHasher>, DiskAlloc>;

struct Pair {
    alloc: DiskAlloc,
    map: Map,
    list: AllocVec<u64, DiskAlloc>,
    map_model: BTreeMap<u64, Vec<u8>>,
    list_model: Vec<u64>,
    bytes: usize,
}

pub(crate) fn run(work: &mut Work) {
    let Some(dir) = work.scratch() else { return };
    let made = DiskAlloc::new_in(&dir);
    let Some(alloc) = work.grown("make an allocator", made) else {
        return;
    };
    let mut pair = Pair {
        map: Map::with_hasher_in(BuildHasherDefault::default(), alloc.clone()),
        list: AllocVec::new_in(alloc.clone()),
        alloc,
        map_model: BTreeMap::new(),
        list_model: Vec::new(),
        bytes: 0,
    };
    for step in 0..work.steps {
        work.step();
        match work.random.below(20) {
            0..=8 => pair.insert(work),
            9 | 10 => pair.remove(work),
            11 | 12 => pair.lengthen(work),
            13..=15 => pair.extend_list(work),
            16 => {
                let len = work.random.below(pair.list.len() + 1);
                pair.list.truncate(len);
                pair.list_model.truncate(len);
                if work.random.once_in(2) {
                    pair.list.shrink_to_fit();
                }
            }
            17 => pair.look(work),
            18 if work.random.once_in(3) => {
                let answer = pair.alloc.evict();
                work.done("evict", answer);
            }
            _ => {
                let advice = work.random.pick(&[Advice::Normal, Advice::Random]);
                let answer = pair.alloc.advise(advice);
                work.done("advise", answer);
            }
        }
        if step == work.steps / 2 && work.has_bug("lose") {
            if let Some(number) = pair.list_model.last_mut() {
                *number ^= 1;
            } else if let Some(bytes) = pair.map_model.values_mut().next() {
                bytes.push(0);
            }
        }
        if work.random.once_in(16) {
            pair.check("on the way");
        }
    }
    if work.has_space_again() {
        let mut block = Bytes::new_in(pair.alloc.clone());
        block.try_reserve_exact(10_000).unwrap();
        block.extend_from_slice(&item(1, 10_000));
    }
    pair.check("at the end");
}

impl Pair {
    #[track_caller]
    fn check(&self, what: &str) {
        assert_eq!(self.map.len(), self.map_model.len(), "{what}");
        for (key, bytes) in &self.map_model {
            let found = self
                .map
                .get(key)
                .map(|found| found.as_slice() == bytes.as_slice());
            assert_eq!(found, Some(true), "{what}: {key}");
        }
        assert!(
            self.list.as_slice() == self.list_model.as_slice(),
            "{what}: the list"
        );
    }

    /// Makes a block of `len` bytes, aligned as `u8`.
    fn make(&self, work: &mut Work, id: u64, len: usize) -> Option<Bytes> {
        let mut bytes = Bytes::new_in(self.alloc.clone());
        work.allocated("reserve bytes", bytes.try_reserve_exact(len))?;
        bytes.extend_from_slice(&item(id, len));
        Some(bytes)
    }

    fn insert(&mut self, work: &mut Work) {
        if self.bytes > work.bytes {
            return;
        }
        let longest = if work.random.once_in(12) {
            600_000
        } else {
            5_000
        };
        let (key, len) = (work.random.next() % 512, work.random.len(longest));
        let made = self.make(work, key, len);
        let room = work.allocated("reserve in the map", self.map.try_reserve(1));
        match (made, room) {
            (Some(bytes), Some(())) => {
                self.bytes += len;
                self.map.insert(key, bytes);
            }
            _ if work.has_bug("believe") => {}
            _ => return,
        }
        self.map_model.insert(key, item(key, len));
    }

    fn remove(&mut self, work: &mut Work) {
        let key = work.random.next() % 512;
        let (found, expected) = (self.map.remove(&key), self.map_model.remove(&key));
        assert_eq!(found.is_some(), expected.is_some(), "{key}");
        if let (Some(found), Some(expected)) = (found, expected) {
            assert!(found.as_slice() == expected, "{key}");
            self.bytes -= expected.len().min(self.bytes);
        }
    }

    /// Makes blocks longer and shorter, in place or not.
    fn lengthen(&mut self, work: &mut Work) {
        let key = work.random.next() % 512;
        let more = work.random.len(200_000.min(work.bytes / 4));
        let (Some(bytes), Some(model)) = (self.map.get_mut(&key), self.map_model.get_mut(&key))
        else {
            return;
        };
        if work.random.once_in(3) {
            let len = work.random.below(model.len() + 1);
            bytes.truncate(len);
            bytes.shrink_to_fit();
            model.truncate(len);
        } else if self.bytes < work.bytes
            && work.allocated("grow", bytes.try_reserve(more)).is_some()
        {
            bytes.resize(bytes.len() + more, 7);
            model.resize(model.len() + more, 7);
            self.bytes += more;
        }
    }

    fn extend_list(&mut self, work: &mut Work) {
        let room = (work.bytes / 8).saturating_sub(self.list.len());
        let (first, count) = (work.random.next() >> 1, work.random.len(room / 2));
        let answer = self.list.try_reserve(count);
        if work.allocated("reserve in the list", answer).is_some() {
            self.list.extend(first..first + count as u64);
            self.list_model.extend(first..first + count as u64);
        } else if work.has_bug("believe") {
            self.list_model.extend(first..first + count as u64);
        }
    }

    fn look(&mut self, work: &mut Work) {
        for _ in 0..self.list.len().min(50) {
            let index = work.random.below(self.list.len());
            assert_eq!(self.list[index], self.list_model[index], "at {index}");
            let number = work.random.next();
            self.list[index] = number;
            self.list_model[index] = number;
        }
    }
}
