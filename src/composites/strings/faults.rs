//! The fault campaign of the vector of byte strings: whatever call fails, both of its parts agree,
//! and it keeps being the `Vec<Vec<u8>>` that its model is.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a panic in a test is a failed test"
)]

use crate::composites::strings::BytesVec;
use crate::error::Result;
use crate::io::dir::ScratchDir;
use crate::mapping::advice::Advice;
use crate::mapping::growth::WINDOW_BYTES_MIN as WINDOW;
use crate::testing::{Campaign, Life};

#[test]
fn items_stay_what_they_are_whatever_call_fails() {
    // How many calls a batch of reads makes depends on what is in memory.
    Campaign::new("strings", 80, live)
        .inexact()
        .plants("another item", "at pop, the items differ")
        .run();
}

fn live(life: &mut Life) {
    let dir = life.scratch_dir();
    let mut run = Run {
        life,
        items: BytesVec::new_in(&dir),
        model: Vec::new(),
        dir,
    };
    run.live();
    let Run {
        life, dir, items, ..
    } = run;
    drop(items);
    assert_eq!(
        dir.used_bytes(),
        0,
        "{}: the budget is not back",
        life.name()
    );
}

struct Run<'life> {
    life: &'life mut Life,
    dir: ScratchDir,
    items: BytesVec,
    model: Vec<Vec<u8>>,
}

impl Run<'_> {
    /// Does everything that the vector can do.
    fn live(&mut self) {
        // Many places and few bytes, so that the offsets meet calls, then the reverse.
        self.extend(WINDOW / 4, 3);
        self.push(10);
        self.extend(20, WINDOW / 10);
        self.push(3 * WINDOW);
        self.push(0);
        let count = self.model.len();
        self.attempt("reserve", |run| run.items.reserve(WINDOW / 4, 3 * WINDOW));
        self.extend_from_slice(WINDOW / 8, 20);
        assert!(self.model.len() > count);
        self.read();
        self.append(WINDOW / 8, 9);
        self.pop();
        let copy = self.attempt("try_clone", |run| run.items.try_clone());
        assert!(copy == self.items, "{}: another copy", self.life.name());
        drop(copy);
        self.items.truncate(WINDOW / 8);
        self.model.truncate(WINDOW / 8);
        self.check("truncate");
        self.attempt("shrink_to_fit", |run| run.items.shrink_to_fit());
        self.attempt("advise", |run| run.items.advise(Advice::Sequential));
        self.extend(WINDOW / 8, 40);
        self.items.truncate(2);
        self.model.truncate(2);
        self.attempt("shrink_to_fit", |run| run.items.shrink_to_fit());
        self.push(4);
        self.items.clear();
        self.model.clear();
        self.check("clear");
        self.extend(WINDOW / 4, 1);
    }

    /// Does what a caller does: tries again when an operation failed, which changed no item.
    fn attempt<R>(&mut self, what: &str, operation: impl Fn(&mut Self) -> Result<R>) -> R {
        loop {
            match operation(self) {
                Ok(result) => return result,
                Err(refused) => {
                    self.life.refused(what, &refused);
                    self.check(what);
                }
            }
        }
    }

    #[track_caller]
    fn check(&self, what: &str) {
        let name = self.life.name();
        let sum: usize = self.model.iter().map(Vec::len).sum();
        assert_eq!(self.items.len_bytes(), sum, "{name}: {what}: other bytes");
        let same = self.items == self.model;
        assert!(same, "{name}: at {what}, the items differ");
        let (used, claimed) = (self.dir.used_bytes(), self.items.disk_bytes());
        assert_eq!(used, claimed, "{name}: {what}: the budget differs");
    }

    fn make(&self, count: usize, len: usize) -> Vec<Vec<u8>> {
        let start = self.model.len();
        let item = |n: usize| vec![n.to_le_bytes()[0]; len];
        (start..start + count).map(item).collect()
    }

    fn push(&mut self, len: usize) {
        let item = vec![9; len];
        self.attempt("push", |run| run.items.push(&item));
        self.model.push(item);
        self.check("push");
    }

    /// Appends items one by one; what was appended before an error stays.
    fn extend(&mut self, count: usize, len: usize) {
        let mut left = self.make(count, len);
        let goal = self.model.len() + count;
        loop {
            let extended = self.items.try_extend(&left);
            let appended = self.items.len() - self.model.len();
            self.model.extend(left.drain(..appended));
            match extended {
                Ok(()) => break,
                Err(refused) => self.life.refused("try_extend", &refused),
            }
            self.check("try_extend");
        }
        assert_eq!(self.items.len(), goal, "{}: too many", self.life.name());
        self.check("try_extend");
    }

    fn extend_from_slice(&mut self, count: usize, len: usize) {
        let more = self.make(count, len);
        self.attempt("extend_from_slice", |run| {
            run.items.extend_from_slice(&more)
        });
        self.model.extend(more);
        self.check("extend_from_slice");
    }

    fn append(&mut self, count: usize, len: usize) {
        let more = self.make(count, len);
        let mut other = BytesVec::new_in(&self.dir);
        while let Err(refused) = other.extend_from_slice(&more) {
            self.life.refused("extend_from_slice", &refused);
        }
        while let Err(refused) = self.items.append(&mut other) {
            self.life.refused("append", &refused);
            let same = self.items == self.model && other == more;
            assert!(same, "{}: half of it moved", self.life.name());
        }
        assert!(other.is_empty(), "{}: it is in both", self.life.name());
        drop(other);
        self.model.extend(more);
        self.check("append");
    }

    fn pop(&mut self) {
        if self.life.is_planted("another item") {
            self.model[0] = vec![77];
        }
        let same = self.items.pop() == self.model.pop();
        assert!(same, "{}: another was taken", self.life.name());
        let same = self.items == self.model;
        assert!(same, "{}: at pop, the items differ", self.life.name());
    }

    /// Everything that takes items out of memory and lets them come back.
    fn read(&mut self) {
        let third = self.model.len() / 3;
        self.attempt("evict", |run| match run.items.evict(third..) {
            // What is refused for good after a sync failed.
            Err(refused) if refused.to_string().contains("an earlier sync failed") => {
                let met = run.life.errors().any(|error| error.contains("cannot sync"));
                assert!(met, "{}: no sync failed: {refused}", run.life.name());
                Ok(())
            }
            answer => answer,
        });
        self.attempt("prefetch", |run| run.items.prefetch(..third));
        let scanned = self.items.scan().eq(&self.model);
        assert!(scanned, "{}: a scan differs", self.life.name());
        let wanted: Vec<usize> = (0..self.model.len()).rev().step_by(7).collect();
        let copies = self.attempt("gather", |run| run.items.gather(&wanted));
        let expected = wanted.iter().map(|index| &self.model[*index]);
        assert!(
            copies.iter().eq(expected),
            "{}: gather differs",
            self.life.name()
        );
        self.attempt("resident_bytes", |run| run.items.resident_bytes());
        self.check("read");
    }
}
