//! A range file against its bytes in memory and their owners; and the record of written ranges.

use std::io::Write;
use std::ops::Range;

use outcore::range_file::ALIGNMENT;
use outcore::{ErrorKind, FileRange, FileRangeMut, RangeFile, Written};

use crate::bytes::{Bytes, item};

/// The longest file of most cases, and of the others: a range of more than 1 MiB takes another code
/// path.
const LEN_MAX: usize = 100_000;
const LEN_MAX_RARE: usize = 3 << 20;

struct Run {
    file: RangeFile,
    bytes: Vec<u8>,
    /// Which bytes are lent, and which were frozen.
    out: Vec<bool>,
    written: Vec<bool>,
    ranges: Vec<FileRangeMut>,
    frozen: Vec<FileRange>,
    next: u64,
    most: usize,
    planted: bool,
}

pub(crate) fn run(data: &[u8], planted: bool) {
    let mut bytes = Bytes::new(data);
    let path = crate::named_files().with_extension("ranged");
    let most = if bytes.byte() < 8 {
        LEN_MAX_RARE
    } else {
        LEN_MAX
    };
    let len = bytes.len(most / 2);
    let mut run = Run {
        file: RangeFile::create(&path, len as u64).unwrap(),
        bytes: vec![0; len],
        out: vec![false; len],
        written: vec![false; len],
        ranges: Vec::new(),
        frozen: Vec::new(),
        next: 0,
        most,
        planted,
    };
    while !bytes.is_empty() {
        match bytes.byte() % 16 {
            0..=3 => run.allocate(&mut bytes),
            4 | 5 => run.claim(&mut bytes),
            6..=8 => run.write(&mut bytes),
            9 => run.split(&mut bytes),
            10 => run.freeze(&mut bytes),
            11 | 12 => run.give_back(&mut bytes),
            13 => run.grow(&mut bytes),
            14 => run.slice(&mut bytes),
            _ => run.check(),
        }
    }
    run.check();
    let Run {
        file,
        bytes,
        ranges,
        frozen,
        ..
    } = run;
    let in_use = ranges.iter().any(|range| !range.is_empty());
    drop(frozen);
    let file = if in_use {
        let refused = file.publish().unwrap_err();
        assert_eq!(refused.error().kind(), ErrorKind::RangesInUse);
        refused.into_file()
    } else {
        file
    };
    drop(ranges);
    file.publish().unwrap();
    if cfg!(not(memory_backend)) {
        assert!(
            std::fs::read(&path).unwrap() == bytes,
            "published something else"
        );
        std::fs::remove_file(&path).unwrap();
    }
}

/// Returns the indices of a range of the file.
fn indices(start: u64, end: u64) -> Range<usize> {
    usize::try_from(start).unwrap()..usize::try_from(end).unwrap()
}

impl Run {
    fn check(&self) {
        assert_eq!(self.file.len(), self.bytes.len() as u64);
        for range in &self.ranges {
            assert!(
                range[..] == self.bytes[indices(range.start(), range.end())],
                "{range:?}"
            );
        }
        for range in &self.frozen {
            assert!(
                range[..] == self.bytes[indices(range.start(), range.end())],
                "{range:?}"
            );
        }
        let taken = self
            .out
            .iter()
            .zip(&self.written)
            .filter(|(out, written)| **out || **written);
        assert_eq!(
            self.file.remaining(),
            (self.bytes.len() - taken.count()) as u64
        );
        let written = self.file.written();
        let mut model = vec![false; self.bytes.len()];
        for span in written.spans() {
            model[indices(span.start, span.end)].fill(true);
        }
        assert!(model == self.written, "{written:?}");
        let mut missing = vec![true; self.bytes.len()];
        for gap in written.gaps(self.file.len()) {
            missing[indices(gap.start, gap.end)].fill(false);
        }
        assert!(missing == self.written, "{written:?} and its gaps");
        let count = self.written.iter().filter(|written| **written).count();
        assert_eq!(written.bytes(), count as u64);
        let text = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<Written>(&text).unwrap(), written);
    }

    /// The range must be free, and its bytes those that were there.
    fn took(&mut self, range: FileRangeMut) {
        let at = indices(range.start(), range.end());
        let is_free = |taken: &[bool]| taken[at.clone()].iter().all(|taken| !taken);
        assert!(
            is_free(&self.out) && is_free(&self.written),
            "{range:?} was given out twice"
        );
        assert!(
            range[..] == self.bytes[at.clone()],
            "{range:?} has wrong bytes"
        );
        // Planted: a range that starts in the middle of a block is not recorded.
        self.out[at].fill(!self.planted || range.start() % ALIGNMENT == 0);
        self.ranges.push(range);
    }

    fn allocate(&mut self, bytes: &mut Bytes<'_>) {
        let len = bytes.len(self.bytes.len() + 1) as u64;
        match self.file.allocate(len) {
            Some(range) => {
                assert!(len > 0 && range.start() % ALIGNMENT == 0 && range.len() as u64 >= len);
                self.took(range);
            }
            // In a fresh file all bytes are free.
            None => assert!(len == 0 || self.next > 0 || len > self.file.len()),
        }
        self.next += 1;
    }

    fn claim(&mut self, bytes: &mut Bytes<'_>) {
        let start = bytes.below(self.bytes.len() + 3);
        let end = start + bytes.len(self.bytes.len());
        self.next += 1;
        let answer = self.file.claim(start as u64..end as u64);
        match answer {
            Ok(range) => {
                assert_eq!(indices(range.start(), range.end()), start..end);
                self.took(range);
            }
            Err(refused) if refused.kind() == ErrorKind::OutOfBounds => {
                assert!(end > self.bytes.len());
            }
            Err(refused) => {
                assert_eq!(refused.kind(), ErrorKind::RangesInUse);
                let taken = |taken: &[bool]| taken[start..end].contains(&true);
                assert!(
                    taken(&self.out) || taken(&self.written),
                    "{start}..{end} is free"
                );
            }
        }
    }

    fn write(&mut self, bytes: &mut Bytes<'_>) {
        if self.ranges.is_empty() {
            return;
        }
        let chosen = bytes.below(self.ranges.len());
        let range = &mut self.ranges[chosen];
        let from = bytes.below(range.len() + 1);
        let made = item(self.next, bytes.len(range.len() - from));
        self.next += 1;
        let at = usize::try_from(range.start()).unwrap() + from;
        match bytes.byte() % 3 {
            0 => range[from..from + made.len()].copy_from_slice(&made),
            1 => range.write_all_at(&made, from as u64).unwrap(),
            _ => {
                // The cursor of a range is in the range, and only the range reads these bytes.
                let before = range.to_vec();
                let count = range.write(&made).unwrap();
                let differs = range.iter().zip(&before).filter(|(a, b)| a != b).count();
                assert!(differs <= count && count <= made.len());
                let at = indices(range.start(), range.end());
                self.bytes[at].copy_from_slice(range);
                return;
            }
        }
        self.bytes[at..at + made.len()].copy_from_slice(&made);
        let refused = range.write_all_at(&[1, 2], range.len() as u64).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OutOfBounds);
    }

    fn split(&mut self, bytes: &mut Bytes<'_>) {
        if self.ranges.is_empty() {
            return;
        }
        let chosen = bytes.below(self.ranges.len());
        let range = self.ranges.swap_remove(chosen);
        let middle = bytes.below(range.len() + 1) as u64;
        let (start, end, at) = (range.start(), range.end(), range.start() + middle);
        let ((low, high), expected) = match bytes.byte() % 3 {
            0 => (range.split_at(middle), at),
            1 => {
                let up = at.div_ceil(ALIGNMENT) * ALIGNMENT;
                (range.split_at_aligned_up(middle), up.min(end))
            }
            _ => {
                let down = at / ALIGNMENT * ALIGNMENT;
                (range.split_at_aligned_down(middle), down.max(start))
            }
        };
        assert_eq!((low.start(), high.end()), (start, end));
        assert_eq!((low.end(), high.start()), (expected, expected));
        self.ranges.extend([low, high]);
    }

    fn freeze(&mut self, bytes: &mut Bytes<'_>) {
        if self.ranges.is_empty() {
            return;
        }
        let chosen = bytes.below(self.ranges.len());
        let frozen = self.ranges.swap_remove(chosen).freeze();
        let at = indices(frozen.start(), frozen.end());
        self.out[at.clone()].fill(false);
        self.written[at].fill(true);
        if bytes.flag() {
            frozen.flush().unwrap();
            self.frozen.push(frozen);
        }
    }

    fn give_back(&mut self, bytes: &mut Bytes<'_>) {
        if !self.ranges.is_empty() {
            let chosen = bytes.below(self.ranges.len());
            let range = self.ranges.swap_remove(chosen);
            self.out[indices(range.start(), range.end())].fill(false);
        }
    }

    fn grow(&mut self, bytes: &mut Bytes<'_>) {
        let len = bytes.len(self.most);
        self.file.grow(len as u64).unwrap();
        let len = len.max(self.bytes.len());
        self.bytes.resize(len, 0);
        self.out.resize(len, false);
        self.written.resize(len, false);
    }

    fn slice(&mut self, bytes: &mut Bytes<'_>) {
        if let Some(range) = self.frozen.last() {
            let start = bytes.below(range.len() + 1);
            let end = start + bytes.below(range.len() - start + 1);
            let part = range.slice(start as u64..end as u64);
            assert!(part[..] == range[start..end]);
            if self.frozen.len() < 8 {
                self.frozen.push(part);
            }
        }
    }
}
