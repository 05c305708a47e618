//! A range file, against its bytes in memory; at the end it is published and read from outside.

use std::fs;
use std::path::PathBuf;

use outcore::range_file::ALIGNMENT;
use outcore::{ErrorKind, FileRange, FileRangeMut, RangeFile};

use crate::random::{item, size};
use crate::work::{PUBLISHED, THERE_BEFORE, Work};

struct Pair {
    file: RangeFile,
    model: Vec<u8>,
    ranges: Vec<FileRangeMut>,
    frozen: Vec<FileRange>,
    /// The ranges that a refused write may have written in part.
    unsure: Vec<(usize, usize)>,
}

pub(crate) fn run(work: &mut Work) {
    let path = work.dir.join(PUBLISHED);
    let len = work.random.len(work.bytes / 2) + 1;
    let made = RangeFile::create(&path, len as u64);
    let Some(file) = work.grown("create", made) else {
        return;
    };
    let mut pair = Pair {
        model: vec![0; len],
        file,
        ranges: Vec::new(),
        frozen: Vec::new(),
        unsure: Vec::new(),
    };
    for step in 0..work.steps {
        work.step();
        match work.random.below(20) {
            0..=4 => pair.allocate(work),
            5 => pair.claim(work),
            6..=10 => pair.write(work),
            11 => pair.split(work),
            12 | 13 => pair.freeze(work),
            14 => {
                if !pair.ranges.is_empty() {
                    let chosen = work.random.below(pair.ranges.len());
                    drop(pair.ranges.swap_remove(chosen));
                }
            }
            15 | 16 => pair.grow(work),
            17 if work.random.once_in(3) => {
                if let Some(frozen) = pair.frozen.last() {
                    work.done("flush", frozen.flush());
                }
            }
            18 if work.random.once_in(4) => {
                let answer = pair.file.sync_all();
                work.done("sync", answer);
            }
            _ => pair.check("on the way"),
        }
        if step == work.steps / 2 && work.has_bug("lose") {
            pair.model[0] ^= 1;
        }
    }
    if work.has_space_again() {
        let len = pair.model.len() + 10_000;
        pair.file.grow(len as u64).unwrap();
        pair.model.resize(len, 0);
    }
    pair.check("at the end");
    publish(work, pair, &path);
}

/// Publishes, retries if that is refused, and compares the file that others see.
fn publish(work: &mut Work, pair: Pair, path: &PathBuf) {
    let Pair {
        mut file,
        model,
        ranges,
        frozen,
        unsure,
    } = pair;
    // Empty ranges hold nothing.
    if ranges.iter().any(|range| !range.is_empty()) {
        let refused = file.publish().unwrap_err();
        assert_eq!(refused.error().kind(), ErrorKind::RangesInUse);
        file = refused.into_file();
    }
    drop((ranges, frozen));
    let mut unpublished = Some(file);
    for _attempt in 0..3 {
        let Some(file) = unpublished.take() else {
            break;
        };
        match file.publish() {
            Ok(()) => work.operations += 1,
            Err(refused) => {
                work.refused("publish", refused.error(), true);
                unpublished = Some(refused.into_file());
            }
        }
    }
    let published = unpublished.is_none();
    // Drop an unpublished file before reading the path.
    drop(unpublished);
    // The name may exist although its directory could not be synced.
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(refused) if refused.kind() == std::io::ErrorKind::NotFound => {
            assert!(!published, "published, but absent");
            return;
        }
        // The read was made to fail.
        Err(_refused) => return,
    };
    if !published && bytes == THERE_BEFORE.as_bytes() {
        return;
    }
    assert_bytes(&bytes, &model, &unsure, "published");
}

impl Pair {
    /// Compares what is visible: lengths, the lent ranges and the frozen ones.
    fn check(&self, what: &str) {
        assert_eq!(self.file.len(), self.model.len() as u64, "{what}");
        for range in &self.ranges {
            self.assert_part(range.start(), range, what);
        }
        for range in &self.frozen {
            self.assert_part(range.start(), range, what);
        }
        let out: u64 = self.ranges.iter().map(|range| range.len() as u64).sum();
        let written = self.file.written().bytes();
        assert!(
            out + written <= self.file.len(),
            "{what}: more is lent than exists"
        );
    }

    fn assert_part(&self, start: u64, bytes: &[u8], what: &str) {
        let start = size(start);
        let end = start + bytes.len();
        let sure = !self
            .unsure
            .iter()
            .any(|(from, to)| *from < end && start < *to);
        if sure {
            let same = bytes == &self.model[start..end];
            assert!(same, "{what}: {start}..{end} differs");
        }
    }

    /// The range must be free, and its bytes those that were there.
    fn took(&mut self, range: FileRangeMut) {
        let overlaps =
            |start: u64, end: u64| start < end && start < range.end() && range.start() < end;
        let twice = self
            .ranges
            .iter()
            .any(|other| overlaps(other.start(), other.end()))
            || self
                .frozen
                .iter()
                .any(|other| overlaps(other.start(), other.end()));
        assert!(!twice || range.is_empty(), "{range:?} was given out twice");
        self.assert_part(range.start(), &range, "just given out");
        self.ranges.push(range);
    }

    fn allocate(&mut self, work: &mut Work) {
        let len = work.random.len(self.model.len() / 4) as u64;
        if let Some(range) = self.file.allocate(len) {
            assert!(range.start() % ALIGNMENT == 0 && range.len() as u64 >= len);
            self.took(range);
        }
        work.operations += 1;
    }

    fn claim(&mut self, work: &mut Work) {
        let start = work.random.below(self.model.len());
        let end = start + work.random.len(self.model.len() - start);
        work.operations += 1;
        match self.file.claim(start as u64..end as u64) {
            Ok(range) => self.took(range),
            Err(refused) => assert_eq!(refused.kind(), ErrorKind::RangesInUse),
        }
    }

    fn write(&mut self, work: &mut Work) {
        if self.ranges.is_empty() {
            return;
        }
        let chosen = work.random.below(self.ranges.len());
        let range = &mut self.ranges[chosen];
        let from = work.random.below(range.len() + 1);
        let bytes = item(work.random.next(), work.random.len(range.len() - from));
        let at = size(range.start()) + from;
        if work.random.once_in(2) {
            range[from..from + bytes.len()].copy_from_slice(&bytes);
        } else {
            let answer = range.write_all_at(&bytes, from as u64);
            if work.done("write", answer).is_none() {
                self.unsure.push((at, at + bytes.len()));
            }
        }
        self.model[at..at + bytes.len()].copy_from_slice(&bytes);
        let refused = range.write_all_at(&[1, 2], range.len() as u64).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OutOfBounds);
    }

    fn split(&mut self, work: &mut Work) {
        if self.ranges.is_empty() {
            return;
        }
        let chosen = work.random.below(self.ranges.len());
        let range = self.ranges.swap_remove(chosen);
        let middle = work.random.below(range.len() + 1) as u64;
        let (low, high) = match work.random.below(3) {
            0 => range.split_at_aligned_up(middle),
            1 => range.split_at_aligned_down(middle),
            _ => range.split_at(middle),
        };
        assert_eq!(low.end(), high.start());
        self.ranges.extend([low, high]);
    }

    fn freeze(&mut self, work: &mut Work) {
        if self.ranges.is_empty() {
            return;
        }
        let chosen = work.random.below(self.ranges.len());
        let frozen = self.ranges.swap_remove(chosen).freeze();
        if work.random.once_in(2) {
            self.frozen.push(frozen);
        }
    }

    fn grow(&mut self, work: &mut Work) {
        let len = self.model.len() + work.random.len(work.bytes / 4);
        if len > work.bytes {
            return;
        }
        let answer = self.file.grow(len as u64);
        if work.grown("grow", answer).is_some() || work.has_bug("believe") {
            self.model.resize(len, 0);
        }
    }
}

/// Panics unless both are equal, except in the ranges that are not known.
fn assert_bytes(found: &[u8], model: &[u8], unsure: &[(usize, usize)], what: &str) {
    assert_eq!(found.len(), model.len(), "{what}: the length");
    let is_sure = |at: usize| !unsure.iter().any(|(from, to)| (*from..*to).contains(&at));
    let differs = (0..model.len()).find(|at| found[*at] != model[*at] && is_sure(*at));
    assert_eq!(differs, None, "{what}: the first byte that differs");
}
