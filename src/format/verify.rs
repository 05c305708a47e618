//! The check of every byte of a sealed file.

use crate::error::{ErrorKind, Result};
use crate::format::description::{DESCRIPTION_BYTES, Description, IN_HEAD};
use crate::format::read::Sealed;
use crate::format::sums::{PAGE_SUMS, Part, SUM_BYTES, sum_of};
use crate::format::{DATA_START, PAGE_BYTES};
use crate::read::ReadOptions;

/// The bytes of one read.
const STEP_BYTES: u64 = 1 << 20;

/// The reads of one call.
const STEPS: usize = 8;

impl Sealed {
    /// Verifies every byte of the file, also those that were verified; tells `progress` how many
    /// bytes are done after each MiB or so.
    pub(crate) fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<()> {
        self.verify_ends()?;
        self.known.forget_verified();
        let covered = self.description.covered_bytes();
        let mut starts = (0..covered).step_by(usize::try_from(STEP_BYTES).unwrap_or(1));
        loop {
            let step = |start: u64| start..start.saturating_add(STEP_BYTES).min(covered);
            let steps: Vec<_> = starts.by_ref().take(STEPS).map(step).collect();
            let Some(last) = steps.last() else { break };
            self.read_covered(&ReadOptions::new(), &steps, &mut |_number, _bytes| {})?;
            progress(DATA_START.saturating_add(last.end));
        }
        progress(self.description.file_bytes());
        Ok(())
    }

    /// Verifies head and tail, both copies of the description, and the table.
    fn verify_ends(&self) -> Result<()> {
        let description = &self.description;
        let file_bytes = description.file_bytes();
        let damaged = |what: &str| {
            self.forget(0..PAGE_BYTES);
            self.forget(file_bytes.saturating_sub(PAGE_BYTES)..file_bytes);
            let reason = format!("{what} is damaged; the data do not depend on it");
            Err(self.refused(ErrorKind::Corrupt, reason))
        };
        let head = self.read_raw(0..PAGE_BYTES)?;
        let tail = self.read_raw(file_bytes.saturating_sub(PAGE_BYTES)..file_bytes)?;
        let (head, in_head) = head.split_at(usize::try_from(IN_HEAD).unwrap_or(0));
        let (in_tail, tail) = tail.split_at(DESCRIPTION_BYTES);
        for (copy, name) in [
            (in_head, "the description in its head"),
            (in_tail, "that in its tail"),
        ] {
            if Description::parse(copy, file_bytes).as_ref() != Ok(description) {
                return damaged(name);
            }
        }
        if sum_of(&description.id, Part::Head, 0, head) != description.head_sum {
            return damaged("the head of the file");
        }
        if sum_of(&description.id, Part::Tail, 0, tail) != description.tail_sum {
            return damaged("the tail of the file");
        }
        self.verify_table()
    }

    /// Verifies the index, and every page of the table with it.
    fn verify_table(&self) -> Result<()> {
        self.take_index(&self.read_raw(self.description.index())?)?;
        let table = self.description.table();
        let page_bytes = PAGE_SUMS.saturating_mul(SUM_BYTES);
        let page_len = usize::try_from(page_bytes).unwrap_or(usize::MAX);
        let mut number = 0;
        let mut at = table.start;
        while at < table.end {
            let end = at.saturating_add(STEP_BYTES).min(table.end);
            for page in self.read_raw(at..end)?.chunks(page_len) {
                self.take_page(number, page)?;
                number = number.saturating_add(1);
            }
            at = end;
        }
        Ok(())
    }
}
