//! Groups of plain keys as results: from a table, or combined partition by partition.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "sizes of memory, which the budget bounds"
)]

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use crate::budget::Slots;
use crate::error::Result;
use crate::external::groups::partitions::{Chain, ChainReader, ChainWriter, Collector};
use crate::external::groups::plain::{Entry, Left, Shared};
use crate::external::groups::table::{SLOTS_MIN, Slot, Table};

/// The groups of an [`Aggregator`](super::Aggregator); made by
/// [`Aggregator::finish`](super::Aggregator::finish).
///
/// An error ends the iterator.
pub struct Groups<K: Copy, V: Copy> {
    shared: Arc<Shared<K, V>>,
    table: Table<Entry<K, V>>,
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
}

impl<K: Copy + Eq + Hash, V: Copy> Groups<K, V> {
    pub(super) fn new(shared: Arc<Shared<K, V>>, mut left: Vec<Left<K, V>>) -> Result<Self> {
        let budget = shared.budget();
        if let [] | [Left::Table(_)] = left.as_slice() {
            let table = match left.pop() {
                Some(Left::Table(table)) => table,
                _ => Table::new(budget, 2)?,
            };
            return Ok(Self {
                shared,
                table,
                slot: 0,
                disk: None,
            });
        }
        let partitions = chains_of(&shared, left)?;
        let count = |chains: &Vec<Chain>| chains.iter().map(|chain| chain.count).sum::<u64>();
        let largest = partitions.iter().map(count).max().unwrap_or(0);
        let reader = ChainReader::new(&shared.spool, shared.blocks, budget)?;
        let over = Slots::new(budget, shared.blocks.entries(), "put groups together")?;
        let largest = usize::try_from(largest).unwrap_or(usize::MAX / 8);
        let mut slots = (largest.saturating_mul(4) / 3 + 2).next_power_of_two();
        let fits = |slots| Table::<Entry<K, V>>::bytes(slots) <= budget.free();
        while slots > SLOTS_MIN && !fits(slots) {
            slots /= 2;
        }
        let mut table = Table::new(budget, slots)?;
        table.clear_for(0);
        let writer = ChainWriter::new(&shared.spool, shared.blocks);
        Ok(Self {
            table,
            slot: usize::MAX,
            disk: Some(Disk {
                partitions,
                reader,
                writer,
                over,
            }),
            shared,
        })
    }

    /// Fills the table from the next partition; returns whether there was one.
    fn next_partition(&mut self) -> Result<bool> {
        let Some(disk) = &mut self.disk else {
            return Ok(false);
        };
        let Some(mut chains) = disk.partitions.pop() else {
            return Ok(false);
        };
        let count: u64 = chains.iter().map(|chain| chain.count).sum();
        self.table
            .clear_for(usize::try_from(count).unwrap_or(usize::MAX));
        self.slot = 0;
        let mut rest = Chain::EMPTY;
        let mut waiting = 0;
        for chain in &mut chains {
            while let Some(entries) = disk.reader.read(chain)? {
                for entry in entries {
                    let hash = self.shared.secret.hash_one(entry.key);
                    match self.table.find(hash, |other| other.key == entry.key) {
                        Slot::Taken(slot) => {
                            if let Some(other) = self.table.get_mut(slot) {
                                (self.shared.combine)(&mut other.value, entry.value);
                            }
                        }
                        Slot::Free(slot) if !self.table.is_full() => {
                            self.table.insert(slot, hash, *entry);
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
        disk.writer
            .write(&mut rest, disk.over.get(..waiting).unwrap_or_default())?;
        if rest.count > 0 {
            // Keys that are in the table now are not among them.
            disk.partitions.push(vec![rest]);
        }
        Ok(true)
    }

    fn next_group(&mut self) -> Result<Option<(K, V)>> {
        loop {
            while self.slot < self.table.slots() {
                let slot = self.slot;
                self.slot += 1;
                if let Some((_hash, entry)) = self.table.get(slot) {
                    return Ok(Some((entry.key, entry.value)));
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
        let mut collector = Collector::new(shared.budget(), shared.partitions, shared.blocks)?;
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
