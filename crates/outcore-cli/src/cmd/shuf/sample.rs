//! A sample of the lines with the smallest chances, as long as memory holds it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The lines that one thread has for the sample.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Lines that are wanted.
    count: usize,
    bytes_max: usize,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    chance: u64,
    number: u64,
    start: usize,
    len: usize,
}

/// Memory has no room for the sample.
#[derive(Debug)]
pub(crate) struct Full;

impl Sample {
    pub(crate) fn new(count: u64, bytes_max: usize) -> Self {
        Self {
            count: usize::try_from(count).unwrap_or(usize::MAX),
            bytes_max,
            bytes: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Takes a line whose chance is below `limit`, which all threads share: no line with another
    /// chance can be in the sample.
    ///
    /// # Errors
    ///
    /// There is no room for it, and it is not taken.
    pub(crate) fn offer(
        &mut self,
        (number, chance): (u64, u64),
        line: &[u8],
        limit: &AtomicU64,
    ) -> Result<(), Full> {
        if chance >= limit.load(Relaxed) {
            return Ok(());
        }
        if !self.has_room(line.len()) || self.entries.len() / 2 >= self.count {
            self.shrink(limit);
            // What is left should last for a while.
            if !self.has_room(line.len() + self.bytes_max / 4) {
                return Err(Full);
            }
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(line);
        self.entries.push(Entry {
            chance,
            number,
            start,
            len: line.len(),
        });
        Ok(())
    }

    /// Whether there is room for so many bytes more; vectors that grow have twice what they need.
    fn has_room(&self, len: usize) -> bool {
        let entries = (self.entries.len() + 1) * size_of::<Entry>();
        2 * (self.bytes.len() + len + entries) <= self.bytes_max
    }

    /// Drops all lines but those with the smallest chances.
    fn shrink(&mut self, limit: &AtomicU64) {
        if self.count == 0 {
            self.entries.clear();
            self.bytes.clear();
            limit.store(0, Relaxed);
            return;
        }
        if self.entries.len() <= self.count {
            return;
        }
        let (_, last, _) = self
            .entries
            .select_nth_unstable_by_key(self.count - 1, |entry| entry.chance);
        // Chances differ, so that no other line has that of the last one.
        limit.fetch_min(last.chance.saturating_add(1), Relaxed);
        self.entries.truncate(self.count);
        self.entries.sort_unstable_by_key(|entry| entry.start);
        let mut end = 0;
        for entry in &mut self.entries {
            self.bytes
                .copy_within(entry.start..entry.start + entry.len, end);
            entry.start = end;
            end += entry.len;
        }
        self.bytes.truncate(end);
    }

    /// Passes on all lines with their numbers and chances, in no order.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (u64, u64, &[u8])> {
        self.entries.iter().map(|entry| {
            let line = &self.bytes[entry.start..entry.start + entry.len];
            (entry.number, entry.chance, line)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn the_lines_with_the_smallest_chances_are_kept() {
        for count in [0, 1, 7, 1000, 5000] {
            let limit = AtomicU64::new(u64::MAX);
            let mut sample = Sample::new(count, 1 << 20);
            let mut random = Random::new(count);
            let mut model = Vec::new();
            for number in 0..4000_u64 {
                let chance = random.next();
                let line = number.to_string().repeat(1 + random.index(3));
                sample
                    .offer((number, chance), line.as_bytes(), &limit)
                    .unwrap();
                model.push((chance, line));
            }
            model.sort_unstable();
            model.truncate(usize::try_from(count).unwrap());
            let lines = sample.lines().map(|(_, chance, line)| (chance, line));
            let mut found: Vec<_> = lines.collect();
            found.sort_unstable();
            found.truncate(model.len());
            let model = model
                .iter()
                .map(|(chance, line)| (*chance, line.as_bytes()));
            assert!(found.into_iter().eq(model), "{count}");
        }
    }

    #[test]
    fn a_sample_without_room_says_so_and_keeps_what_it_has() {
        let limit = AtomicU64::new(u64::MAX);
        let mut sample = Sample::new(1 << 40, 10_000);
        let line = [b'x'; 50];
        let taken = (0..1000_u64).take_while(|n| sample.offer((*n, *n), &line, &limit).is_ok());
        let taken = taken.count();
        assert!((20..200).contains(&taken), "{taken}");
        assert_eq!(sample.lines().count(), taken);
    }
}
