//! The second half of the work: groups in the order of their keys, or of their counts, are written.

use indicatif::ProgressBar;
use outcore::MemoryBudget;
use outcore::external::{BytesGroups, Options, Sorter};

use crate::cmd::count::args::Format;
use crate::cmd::count::format::Writer;
use crate::cmd::count::longs::LongGroups;
use crate::cmd::count::rank::Ranks;
use crate::cmd::count::tally::Tally;
use crate::failure::{Failure, Result};
use crate::output::writing::Filling;
use crate::scratch::Scratch;

/// A key, or the number of a long line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item<'a> {
    Key(&'a [u8]),
    Long(usize),
}

/// Which groups are written, and how.
pub(crate) struct Groups<'a> {
    pub(crate) writer: Writer<'a>,
    pub(crate) scratch: &'a Scratch,
    pub(crate) bar: &'a ProgressBar,
    pub(crate) is_by_key: bool,
    pub(crate) top: Option<u64>,
    pub(crate) min: u64,
    /// Threads with which the library merges.
    pub(crate) threads: usize,
    pub(crate) rank_bytes: u64,
    /// Counts from one on whose groups are put aside as they are written.
    pub(crate) classes: usize,
}

/// What was there, and what was written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) distinct: u64,
    pub(crate) groups: u64,
}

impl Groups<'_> {
    /// Writes all of them.
    ///
    /// # Errors
    ///
    /// Whatever ends the run early.
    pub(crate) fn write_all<V: Tally>(
        &self,
        mut groups: BytesGroups<V>,
        longs: &mut LongGroups<'_>,
        filling: &mut Filling<'_>,
    ) -> Result<Written> {
        let mut written = Written::default();
        let mut header = Vec::new();
        self.writer.header(&mut header);
        filling.push(&header)?;
        if self.is_by_key {
            let mut text = Vec::new();
            self.each(&mut groups, longs, |item, tally, longs| {
                written.distinct += 1;
                if tally.count() >= self.min && self.top.is_none_or(|top| written.groups < top) {
                    self.write(item, tally, longs, &mut text, |text| filling.push(text))?;
                    filling.count_record();
                    written.groups += 1;
                }
                Ok(())
            })?;
            return Ok(written);
        }
        let memory = MemoryBudget::new(self.rank_bytes);
        let mut options = Options::from(&memory).threads(self.threads);
        if let Ok(dir) = self.scratch.dir() {
            options = options.dir(dir);
        }
        let mut ranks = Ranks::new(Sorter::new(options)?, self.top)?;
        self.each(&mut groups, longs, |item, tally: V, longs| {
            written.distinct += 1;
            if tally.count() >= self.min {
                ranks.push(item, tally, self, longs, self.scratch)?;
            }
            Ok(())
        })?;
        drop(groups);
        self.bar.set_message("writing");
        written.groups = ranks.write::<V>(self, longs, filling)?;
        Ok(written)
    }

    /// Passes on groups and long lines in the order of their keys.
    fn each<V: Tally>(
        &self,
        groups: &mut BytesGroups<V>,
        longs: &mut LongGroups<'_>,
        mut each: impl FnMut(Item<'_>, V, &mut LongGroups<'_>) -> Result<()>,
    ) -> Result<()> {
        /// Groups after which the bar moves.
        const STEP: u64 = 1 << 12;
        let has_longs = !longs.is_empty();
        let mut count = 0;
        while let Some((key, tally)) = groups.next()? {
            // Most inputs have none.
            if has_longs {
                while let Some((number, count)) = longs.next_before(Some(key))? {
                    each(Item::Long(number), tally_of(count), longs)?;
                }
            }
            each(Item::Key(key), tally, longs)?;
            count += 1;
            if count % STEP == 0 {
                self.bar.tick();
            }
        }
        while let Some((number, count)) = longs.next_before(None)? {
            each(Item::Long(number), tally_of(count), longs)?;
        }
        Ok(())
    }

    /// Passes on the text of a group, in pieces.
    ///
    /// # Errors
    ///
    /// Those of `each`, or a long line cannot be read.
    pub(crate) fn write<V: Tally>(
        &self,
        item: Item<'_>,
        tally: V,
        longs: &mut LongGroups<'_>,
        text: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        text.clear();
        let number = match item {
            Item::Key(key) => {
                self.writer.group(tally.count(), tally.sum(), key, text);
                return each(text);
            }
            Item::Long(number) => number,
        };
        self.writer.begin(tally.count(), tally.sum(), text);
        let is_csv = self.writer.format == Format::Csv;
        if self.writer.format == Format::Json {
            return Err(Failure::new(
                "a line is too long to be written as JSON; give more --memory, or another --format",
            ));
        }
        if is_csv {
            text.extend_from_slice(b",\"");
        }
        each(text)?;
        longs.pieces(number, |piece| {
            if !is_csv {
                return each(piece);
            }
            for part in piece.split_inclusive(|&byte| byte == b'"') {
                each(part)?;
                if part.ends_with(b"\"") {
                    each(b"\"")?;
                }
            }
            Ok(())
        })?;
        text.clear();
        if is_csv {
            text.push(b'"');
        }
        text.push(self.writer.end);
        each(text)
    }
}

/// Returns the value of a line that occurs so often.
fn tally_of<V: Tally>(count: u64) -> V {
    let mut tally = V::of(0);
    tally.set_count(count);
    tally
}
