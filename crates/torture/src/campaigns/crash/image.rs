//! What a crash could leave of the files and names that some calls have written.
//!
//! What was synced is there. Of the rest, any part may be: each page or sector of a write alone, the
//! length of a file apart from its bytes, and each name apart from the file that it leads to. Bytes
//! within the length of a file that were not written are zeros, or whatever the device had there.

use std::collections::BTreeMap;

use crate::campaigns::crash::trace::Event;
use crate::random::Random;

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The file that was there before.
    Old,
    /// A file that the calls have created.
    New(usize),
}

/// What a crash leaves after the first `at` calls.
pub(crate) struct Crash<'a> {
    pub(crate) events: &'a [Event],
    pub(crate) at: usize,
}

impl Crash<'_> {
    fn before(&self) -> impl DoubleEndedIterator<Item = (usize, &Event)> {
        self.events.iter().take(self.at).enumerate()
    }

    /// Returns the end of the calls that a sync made last.
    fn synced(&self, by: &Event) -> usize {
        let last = self.before().rev().find(|(_number, event)| *event == by);
        last.map_or(0, |(number, _sync)| number)
    }

    /// Returns the names, which were `before` the first call.
    pub(crate) fn names(
        &self,
        before: &BTreeMap<String, Found>,
        random: &mut Random,
    ) -> BTreeMap<String, Found> {
        let (mut running, mut left) = (before.clone(), before.clone());
        let synced = self.synced(&Event::SyncDirectory);
        for (number, event) in self.before() {
            let is_kept = number < synced || random.once_in(2);
            match event {
                Event::Link { file, name } => {
                    running.insert(name.clone(), Found::New(*file));
                    if is_kept {
                        left.insert(name.clone(), Found::New(*file));
                    }
                }
                Event::Rename { from, to } => {
                    let Some(moved) = running.remove(from) else {
                        continue;
                    };
                    running.insert(to.clone(), moved);
                    if is_kept {
                        left.remove(from);
                        left.insert(to.clone(), moved);
                    }
                }
                Event::Unlink(name) => {
                    running.remove(name);
                    if is_kept {
                        left.remove(name);
                    }
                }
                Event::Write { .. }
                | Event::Reserve { .. }
                | Event::SetLen { .. }
                | Event::SyncFile(_)
                | Event::SyncDirectory => {}
            }
        }
        left
    }

    /// Returns the bytes of a file, and how many pieces of its writes are lost.
    pub(crate) fn bytes(&self, file: usize, random: &mut Random) -> (Vec<u8>, u64) {
        let synced = self.synced(&Event::SyncFile(file));
        let changes: Vec<_> = self
            .before()
            .filter(|(_number, event)| event.file() == Some(file))
            .collect();
        let (mut running, mut at_sync) = (0, 0);
        let mut later = Vec::new();
        for (number, event) in &changes {
            running = match event {
                Event::Write { offset, bytes, .. } => running.max(offset + bytes.len()),
                Event::Reserve { end, .. } => running.max(*end),
                Event::SetLen { len, .. } => *len,
                _ => running,
            };
            if *number < synced {
                at_sync = running;
            } else {
                later.push(running);
            }
        }
        let least = later.iter().fold(at_sync, |least, len| least.min(*len));
        let most = later.iter().fold(at_sync, |most, len| most.max(*len));
        let len = match random.below(4) {
            0 => least,
            1 => least + random.below(most - least + 1),
            _ => most,
        };
        let mut left = vec![0; len.next_multiple_of(8)];
        if random.once_in(3) {
            random.fill(&mut left);
        }
        left.truncate(len);
        let piece = random.pick(&[512, 4096, 65_536, 1 << 20]);
        let kept_in_8 = random.pick(&[0, 1, 4, 7, 8]);
        let mut lost = 0;
        for (number, event) in changes {
            let mut is_kept = || number < synced || random.below(8) < kept_in_8;
            let (offset, bytes) = match event {
                Event::Write { offset, bytes, .. } => (*offset, bytes),
                Event::SetLen { len: cut, .. } => {
                    if *cut < len && is_kept() {
                        left[*cut..].fill(0);
                    }
                    continue;
                }
                _ => continue,
            };
            for (part, bytes) in bytes.chunks(piece).enumerate() {
                let start = offset + part * piece;
                let end = (start + bytes.len()).min(len);
                if !is_kept() || start >= end {
                    lost += 1;
                    continue;
                }
                left[start..end].copy_from_slice(&bytes[..end - start]);
            }
        }
        (left, lost)
    }
}
