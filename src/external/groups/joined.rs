//! Groups of plain keys as results: from a table, or combined partition by partition.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "sizes of memory, which the budget bounds"
)]

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use crate::budget::{Lease, MemoryBudget, Slots};
use crate::error::Result;
use crate::external::groups::partitions::{Chain, ChainReader, ChainWriter, Collector};
use crate::external::groups::plain::{Entry, Left, Shared};
use crate::external::groups::table::{Slot, Table};

/// So many keys are looked up at a time.
const HASHES: usize = 16;

/// The groups of an [`Aggregator`](super::Aggregator); made by
/// [`Aggregator::finish`](super::Aggregator::finish).
///
/// An error ends the iterator.
pub struct Groups<K: Copy, V: Copy> {
    shared: Arc<Shared<K, V>>,
    /// `None` where there are no groups at all.
    table: Option<Table<Entry<K, V>>>,
    /// The next slot of the table.
    slot: usize,
    /// Groups that are not in the table yet.
    disk: Option<Disk<K, V>>,
}

/// The groups on disk.
struct Disk<K: Copy, V: Copy> {
    /// The chains of each remaining partition.
    partitions: Vec<Vec<Chain>>,
    reader: ChainReader<Entry<K, V>>,
    writer: ChainWriter<Entry<K, V>>,
    /// Entries for which the table has no room, for another round.
    over: Slots<Entry<K, V>>,
    /// Pays for what has no memory of the budget itself.
    _reserve: Option<Lease>,
}

impl<K: Copy + Eq + Hash, V: Copy> Groups<K, V> {
    /// Combines what adders left, with the memory of `reserve` and what the budget has besides.
    pub(super) fn new(
        shared: Arc<Shared<K, V>>,
        mut left: Vec<Left<K, V>>,
        reserve: Option<Lease>,
    ) -> Result<Self> {
        if let [] | [Left::Table(_)] = left.as_slice() {
            let table = match left.pop() {
                Some(Left::Table(table)) => Some(table),
                _ => None,
            };
            return Ok(Self {
                shared,
                table,
                slot: 0,
                disk: None,
            });
        }
        let reserved = MemoryBudget::new(reserve.as_ref().map_or(0, Lease::bytes) as u64);
        let partitions = chains_of(&shared, left, &reserved)?;
        let count = |chains: &Vec<Chain>| chains.iter().map(|chain| chain.count).sum::<u64>();
        let largest = partitions.iter().map(count).max().unwrap_or(0);
        let reader = ChainReader::new(&shared.spool, shared.blocks, &reserved)?;
        let over = Slots::new(&reserved, shared.blocks.entries(), "put groups together")?;
        let largest = usize::try_from(largest).unwrap_or(usize::MAX / 8);
        let mut slots = (largest.saturating_mul(4) / 3 + 2).next_power_of_two();
        let mut table = loop {
            let is_reserved = Table::<Entry<K, V>>::bytes(slots) <= reserved.free();
            let budget = if is_reserved {
                &reserved
            } else {
                shared.budget()
            };
            match Table::new(budget, slots) {
                Ok(table) => break table,
                Err(refused) if slots == 2 => return Err(refused),
                Err(_refused) => slots /= 2,
            }
        };
        table.clear_for(0);
        let writer = ChainWriter::new(&shared.spool, shared.blocks);
        if let Some(chain) = partitions.last().and_then(|chains| chains.first()) {
            reader.will_need(chain);
        }
        Ok(Self {
            table: Some(table),
            slot: usize::MAX,
            disk: Some(Disk {
                partitions,
                reader,
                writer,
                over,
                _reserve: reserve,
            }),
            shared,
        })
    }

    /// Fills the table from the next partition; returns whether there was one.
    fn next_partition(&mut self) -> Result<bool> {
        let (Some(disk), Some(table)) = (&mut self.disk, &mut self.table) else {
            return Ok(false);
        };
        let Some(mut chains) = disk.partitions.pop() else {
            return Ok(false);
        };
        let count: u64 = chains.iter().map(|chain| chain.count).sum();
        table.clear_for(usize::try_from(count).unwrap_or(usize::MAX));
        self.slot = 0;
        let mut rest = Chain::EMPTY;
        let mut waiting = 0;
        let mut hashes = [0; HASHES];
        let mut left = chains.as_mut_slice();
        while let Some((chain, others)) = left.split_first_mut() {
            let next = disk.partitions.last().and_then(|chains| chains.first());
            if let Some(next) = others.first().or(next) {
                disk.reader.will_need(next);
            }
            left = others;
            while let Some(entries) = disk.reader.read(chain)? {
                for (number, entry) in entries.iter().enumerate() {
                    if number % HASHES == 0 {
                        let next = entries.get(number..).unwrap_or_default();
                        for (hash, entry) in hashes.iter_mut().zip(next) {
                            *hash = self.shared.secret.hash_one(entry.key);
                        }
                        table.look(&hashes);
                    }
                    let hash = hashes[number % HASHES];
                    match table.find(hash, |other| other.key == entry.key) {
                        Slot::Taken(slot) => {
                            if let Some(other) = table.get_mut(slot) {
                                (self.shared.combine)(&mut other.value, entry.value);
                            }
                        }
                        Slot::Free(slot) if !table.is_full() => {
                            table.insert(slot, hash, *entry);
                        }
                        Slot::Free(_) => {
                            if waiting == disk.over.len() {
                                disk.writer.write(&mut rest, &disk.over)?;
                                waiting = 0;
                            }
                            disk.over[waiting].write(*entry);
                            waiting += 1;
                        }
                    }
                }
                let bytes = size_of_val(entries);
                self.shared.options.progress_handle().add(bytes)?;
            }
        }
        disk.writer.write(&mut rest, &disk.over[..waiting])?;
        if rest.count > 0 {
            // Keys that are in the table now are not among them.
            disk.partitions.push(vec![rest]);
        }
        Ok(true)
    }

    fn next_group(&mut self) -> Result<Option<(K, V)>> {
        loop {
            if let Some(table) = &self.table {
                while self.slot < table.slots() {
                    let slot = self.slot;
                    self.slot += 1;
                    if let Some((_hash, entry)) = table.get(slot) {
                        return Ok(Some((entry.key, entry.value)));
                    }
                }
            }
            if !self.next_partition()? {
                return Ok(None);
            }
        }
    }
}

/// Writes everything that adders left to disk, by partitions.
fn chains_of<K: Copy, V: Copy>(
    shared: &Shared<K, V>,
    left: Vec<Left<K, V>>,
    reserved: &MemoryBudget,
) -> Result<Vec<Vec<Chain>>> {
    let mut partitions = vec![Vec::new(); shared.partitions];
    let mut add = |chains: Vec<Chain>| {
        for (partition, chain) in partitions.iter_mut().zip(chains) {
            if chain.count > 0 {
                partition.push(chain);
            }
        }
    };
    let mut tables = Vec::new();
    for left in left {
        match left {
            Left::Chains(chains) => add(chains),
            Left::Table(table) => tables.push(table),
        }
    }
    if !tables.is_empty() {
        let mut collector = Collector::new(reserved, shared.partitions, shared.blocks)?;
        let mut writer = ChainWriter::new(&shared.spool, shared.blocks);
        for table in tables {
            for (hash, entry) in table.iter() {
                collector.add(hash, entry, &mut writer)?;
            }
        }
        collector.finish(&mut writer)?;
        add(std::mem::take(&mut collector.chains));
    }
    partitions.retain(|chains| !chains.is_empty());
    Ok(partitions)
}

impl<K: Copy + Eq + Hash, V: Copy> Iterator for Groups<K, V> {
    type Item = Result<(K, V)>;

    fn next(&mut self) -> Option<Result<(K, V)>> {
        let next = self.next_group();
        if next.is_err() {
            self.slot = usize::MAX;
            self.disk = None;
        }
        next.transpose()
    }
}

impl<K: Copy + Eq + Hash, V: Copy> std::iter::FusedIterator for Groups<K, V> {}

impl<K: Copy, V: Copy> fmt::Debug for Groups<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}
