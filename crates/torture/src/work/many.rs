//! Many vectors at a time, most of a few elements: more than there may be files and mappings.

use outcore::{DiskVec, ScratchDir};

use crate::work::Work;

/// As many elements stay in memory.
const SHORT: usize = (64 << 10) / size_of::<u32>();

struct One {
    disk: DiskVec<u32>,
    /// The elements are those of the numbers below.
    len: usize,
    /// Whether it ever had more than stays in memory.
    was_long: bool,
}

fn element(vector: usize, index: usize) -> u32 {
    let number = (vector as u64) << 32 | index as u64;
    let [.., high] = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
    u32::from(high) << 16 | u32::from(index.to_le_bytes()[0])
}

pub(crate) fn run(work: &mut Work) {
    let Some(dir) = work.scratch() else { return };
    let count = 300 + work.random.below(3_000);
    let mut all: Vec<One> = (0..count).map(|_| One::new(&dir)).collect();
    for _ in 0..work.steps {
        work.step();
        for _ in 0..64 {
            let number = work.random.below(count);
            let one = &mut all[number];
            match work.random.below(16) {
                0..=9 => one.push(work, number),
                10..=12 => one.truncate(work),
                13 => one.cut_all(work),
                14 => *one = One::new(&dir),
                _ => one.check(number),
            }
        }
    }
    for (number, one) in all.iter().enumerate() {
        one.check(number);
    }
}

impl One {
    fn new(dir: &ScratchDir) -> Self {
        Self {
            disk: DiskVec::new_in(dir),
            len: 0,
            was_long: false,
        }
    }

    fn push(&mut self, work: &mut Work, number: usize) {
        let count = match work.random.below(100) {
            0 => work.random.below(3 * SHORT / 2),
            _ => work.random.below(60) + 1,
        };
        // As if each vector took a file at once.
        let reserved = if work.has_bug("files") {
            self.disk.reserve(2 * SHORT)
        } else {
            Ok(())
        };
        let made = (self.len..self.len + count).map(|index| element(number, index));
        let answer = reserved.and_then(|()| self.disk.try_extend(made));
        self.was_long |= self.len + count > SHORT;
        if let Err(refused) = &answer {
            let needs_file = self.was_long || !work.is_short_of_files;
            assert!(needs_file, "a short vector needs no file: {refused}");
        }
        let all = work.grown("push", answer).is_some() || work.has_bug("believe");
        // What was appended before a refusal stays.
        self.len = if all {
            self.len + count
        } else {
            self.disk.len()
        };
    }

    fn truncate(&mut self, work: &mut Work) {
        self.len = work.random.below(self.len + 1);
        self.disk.truncate(self.len);
        if work.random.once_in(3) {
            let answer = self.disk.shrink_to_fit();
            work.grown("shrink", answer);
        }
    }

    /// Cuts all off at the front.
    fn cut_all(&mut self, work: &mut Work) {
        if work.random.once_in(2) {
            self.disk.truncate_front(self.len);
            self.len = 0;
        }
    }

    #[track_caller]
    fn check(&self, number: usize) {
        assert_eq!(self.disk.len(), self.len, "the length of vector {number}");
        let mut elements = self.disk.iter().enumerate();
        let differs = elements.find(|(index, found)| **found != element(number, *index));
        assert_eq!(differs, None, "in vector {number}");
    }
}
