//! A vector as a queue: appended to at the end and cut at the front, until more went through it than
//! its file may be long.

use outcore::{DiskVec, Error, ErrorKind};

use crate::random::size;
use crate::work::Work;

/// From this limit of file size on, windows and pages are few beside it.
const LIMIT_MIN: u64 = 1 << 20;

/// Pieces that make a file as long as it may be.
const PIECES: u64 = 32;

/// The elements are those of the numbers from `first` to before `next`.
struct Queue {
    disk: DiskVec<u64>,
    first: u64,
    next: u64,
    /// Elements of a piece.
    piece: u64,
    /// Elements in front that are only passed over: a planted bug.
    passed: usize,
}

fn element(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

pub(crate) fn run(work: &mut Work) {
    let Some(dir) = work.scratch() else { return };
    let most = work.file_size_max.unwrap_or(u64::MAX).min(4 << 20);
    let mut queue = Queue {
        disk: DiskVec::new_in(&dir),
        first: work.random.next() >> 1,
        next: 0,
        piece: (most / PIECES / 8).max(100),
        passed: 0,
    };
    queue.next = queue.first;
    for step in 0..work.steps {
        work.step();
        queue.push(work);
        queue.cut(work);
        if work.random.once_in(20) {
            let answer = queue.disk.shrink_to_fit();
            work.grown("shrink", answer);
        }
        if work.random.once_in(16) || step + 1 == work.steps {
            queue.check_all();
        }
        queue.check();
    }
}

impl Queue {
    fn len(&self) -> u64 {
        self.next - self.first
    }

    fn push(&mut self, work: &mut Work) {
        let count = work.random.next() % (2 * self.piece) + 1;
        let before = self.disk.len();
        let answer = self
            .disk
            .try_extend((self.next..self.next + count).map(element));
        if let Err(refused) = &answer {
            self.check_refusal(work, count, refused);
        }
        let all = work.grown("push", answer).is_some() || work.has_bug("believe");
        let kept = self.disk.len() - before;
        self.next += if all { count } else { kept as u64 };
    }

    /// A file that can get no longer ends no queue that is short: what is left goes to another.
    fn check_refusal(&self, work: &Work, count: u64, refused: &Error) {
        let Some(limit) = work.file_size_max.filter(|limit| *limit >= LIMIT_MIN) else {
            return;
        };
        let is_short = (self.len() + count) * 8 <= limit / 4;
        let is_end = refused.kind() == ErrorKind::FileTooLarge;
        assert!(
            !(is_short && is_end),
            "a short queue came to an end: {refused}"
        );
    }

    /// Cuts off all but some pieces at most times, and little at others.
    fn cut(&mut self, work: &mut Work) {
        let len = self.len();
        let kept = match work.random.below(8) {
            0 => len,
            1 => 0,
            2 => len / 2,
            _ => work.random.next() % (4 * self.piece),
        };
        let count = len.saturating_sub(kept);
        if work.has_bug("never-cut") {
            // The file has all that ever was in the queue.
            self.passed += size(count);
        } else {
            self.disk.truncate_front(size(count));
        }
        self.first += count;
    }

    #[track_caller]
    fn check(&self) {
        let disk = &self.disk[self.passed..];
        assert_eq!(disk.len() as u64, self.len(), "the length");
        if self.len() > 0 {
            let ends = (disk.first(), disk.last());
            let expected = (element(self.first), element(self.next - 1));
            assert_eq!(ends, (Some(&expected.0), Some(&expected.1)), "the ends");
        }
    }

    fn check_all(&self) {
        let numbers = self.first..self.next;
        let differs = self.disk[self.passed..]
            .iter()
            .zip(numbers)
            .position(|(found, number)| *found != element(number));
        assert_eq!(differs, None, "the first element that differs");
    }
}
