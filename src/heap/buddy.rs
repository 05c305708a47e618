//! The buddy system over units: blocks of `1 << order` units, each aligned to its length.
//!
//! After Knowlton, "A Fast Storage Allocator", CACM 8 (1965). The zone is opened from its start, a
//! piece at a time, so that a small heap stays in one corner of it.

use std::io;

use crate::bug::bug;
use crate::exact::{difference, narrow, sum};
use crate::heap::table::{Kind, Table, Unit, first_of, link, unit_of, unlink};

/// Orders of blocks: the largest has 2^24 units, which is 1 TiB.
const ORDERS: usize = 25;

/// The least by which the zone is opened: 256 units, 16 MiB.
const OPEN_ORDER: u32 = 8;

/// The free blocks of zone A.
#[derive(Debug)]
pub(crate) struct Buddy {
    /// For each order, the list of free blocks.
    free: [u32; ORDERS],
    /// Units that have been opened; all before are in a block.
    opened: usize,
    units_max: usize,
}

impl Buddy {
    pub(crate) const fn new(units_max: usize) -> Self {
        Self {
            free: [0; ORDERS],
            opened: 0,
            units_max,
        }
    }

    /// Returns how many units have been opened, from the first one on.
    pub(crate) fn opened(&self) -> usize {
        self.opened
    }

    /// Takes a block of `1 << order` units and returns the number of its first.
    pub(crate) fn take(&mut self, table: &Table<Unit>, order: u32) -> io::Result<usize> {
        let wanted = narrow(order);
        loop {
            let found = (wanted..ORDERS).find_map(|at| Some((at, first_of(*self.free.get(at)?)?)));
            let Some((mut at, number)) = found else {
                self.open(table, order)?;
                continue;
            };
            let units = table.units();
            self.unlink(units, at, number);
            // Split it; the upper halves stay free.
            while at > wanted {
                at = difference(at, 1);
                self.add_free(units, at, sum(number, 1 << at));
            }
            mark(units, number, Kind::Whole, order);
            return Ok(number);
        }
    }

    /// Frees a block, and joins it with its buddies while they are free.
    pub(crate) fn give_back(&mut self, table: &Table<Unit>, mut number: usize, order: u32) {
        let units = table.units();
        let mut at = narrow(order);
        mark(units, number, Kind::Inside, 0);
        while sum(at, 1) < ORDERS {
            let buddy = number ^ (1 << at);
            if !is_free(units, buddy, at) {
                break;
            }
            self.unlink(units, at, buddy);
            number = number.min(buddy);
            at = sum(at, 1);
        }
        self.add_free(units, at, number);
    }

    /// Opens more of the zone, so that it has a free block of this order.
    fn open(&mut self, table: &Table<Unit>, order: u32) -> io::Result<()> {
        let left = difference(self.units_max, self.opened);
        let order = order.max(OPEN_ORDER.min(left.checked_ilog2().unwrap_or(0)));
        let len = 1_usize << order;
        let start = self.opened.next_multiple_of(len);
        let end = sum(start, len);
        if narrow::<_, usize>(order) >= ORDERS || end > self.units_max {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        table.grow(end)?;
        let units = table.units();
        // The units skipped for the alignment become smaller blocks.
        let mut at = self.opened;
        while at < start {
            let gap = at.trailing_zeros().min(difference(start, at).ilog2());
            self.add_free(units, narrow(gap), at);
            at = sum(at, 1 << gap);
        }
        self.opened = end;
        self.give_back(table, start, order);
        Ok(())
    }

    fn add_free(&mut self, units: &[Unit], at: usize, number: usize) {
        mark(units, number, Kind::Free, narrow(at));
        link(units, self.free(at), number);
    }

    fn unlink(&mut self, units: &[Unit], at: usize, number: usize) {
        mark(units, number, Kind::Inside, 0);
        unlink(units, self.free(at), number);
    }

    /// Returns the list of the free blocks of an order.
    fn free(&mut self, at: usize) -> &mut u32 {
        let list = self.free.get_mut(at);
        list.unwrap_or_else(|| bug!("order {at} of {ORDERS}"))
    }
}

fn is_free(units: &[Unit], number: usize, at: usize) -> bool {
    let unit = units.get(number);
    unit.is_some_and(|unit| unit.kind() == Kind::Free && usize::from(unit.order()) == at)
}

fn mark(units: &[Unit], number: usize, kind: Kind, order: u32) {
    let unit = unit_of(units, number);
    unit.set_kind(kind);
    unit.set_order(narrow(order));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the lengths of the free blocks, ascending.
    fn free_blocks(buddy: &Buddy, table: &Table<Unit>) -> Vec<usize> {
        let units = table.units();
        let mut lengths = Vec::new();
        for (order, head) in buddy.free.iter().enumerate() {
            let mut next = first_of(*head);
            while let Some(number) = next {
                assert!(is_free(units, number, order));
                lengths.push(1 << order);
                next = first_of(units[number].next());
            }
        }
        lengths
    }

    /// Returns whether everything opened is free and joined: one block for each bit of its length.
    fn is_whole(buddy: &Buddy, table: &Table<Unit>) -> bool {
        let bits = (0..ORDERS).map(|order| buddy.opened & (1 << order));
        let expected: Vec<_> = bits.filter(|length| *length > 0).collect();
        free_blocks(buddy, table) == expected
    }

    /// Every block is aligned, inside the zone, and apart from all others; when all are freed, the
    /// zone is whole.
    #[test]
    fn blocks_never_overlap_and_join_again() {
        let table = Table::reserve(1 << 12).unwrap();
        let mut buddy = Buddy::new(1 << 12);
        let mut owner = vec![0_usize; 1 << 12];
        let mut live: Vec<(usize, u32)> = Vec::new();
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % below
        };
        for id in 1..20_000 {
            if random(2) == 0 {
                let largest = if random(20) == 0 { 11 } else { 6 };
                let order = u32::try_from(random(largest)).unwrap();
                let Ok(number) = buddy.take(&table, order) else {
                    continue;
                };
                assert_eq!(number % (1 << order), 0);
                let units = &mut owner[number..number + (1 << order)];
                assert!(units.iter().all(|owner| *owner == 0), "overlap at {number}");
                units.fill(id);
                live.push((number, order));
            } else if !live.is_empty() {
                let (number, order) = live.swap_remove(random(live.len()));
                owner[number..number + (1 << order)].fill(0);
                buddy.give_back(&table, number, order);
            }
        }
        for (number, order) in live {
            buddy.give_back(&table, number, order);
        }
        assert!(buddy.opened > 1 << 11, "{}", buddy.opened);
        assert!(is_whole(&buddy, &table), "{buddy:?}");
    }

    /// The table may be longer than the zone.
    #[test]
    fn a_zone_is_handed_out_to_its_last_unit_and_no_further() {
        let table = Table::reserve(1 << 13).unwrap();
        let mut buddy = Buddy::new(1 << 12);
        assert!(buddy.take(&table, 13).is_err());
        assert_eq!(buddy.take(&table, 12).unwrap(), 0);
        assert!(buddy.take(&table, 0).is_err());
        buddy.give_back(&table, 0, 12);
        assert!(buddy.take(&table, 13).is_err());
        assert!(is_whole(&buddy, &table), "{buddy:?}");

        let table = Table::reserve(1 << 13).unwrap();
        let mut buddy = Buddy::new(300);
        let taken: Vec<_> = (0..400).map_while(|_| buddy.take(&table, 0).ok()).collect();
        assert_eq!(taken, (0..300).collect::<Vec<_>>());
        for number in taken {
            buddy.give_back(&table, number, 0);
        }
        assert_eq!(buddy.opened, 300);
        assert!(is_whole(&buddy, &table), "{buddy:?}");
    }

    /// The units skipped for the alignment of a large block serve smaller ones.
    #[test]
    fn no_unit_is_lost_before_an_aligned_block() {
        let table = Table::reserve(1 << 12).unwrap();
        let mut buddy = Buddy::new(1 << 12);
        assert_eq!(buddy.take(&table, 0).unwrap(), 0);
        assert_eq!(buddy.take(&table, 11).unwrap(), 1 << 11);
        assert_eq!(buddy.take(&table, 10).unwrap(), 1 << 10);
        assert_eq!(buddy.take(&table, 9).unwrap(), 1 << 9);
        assert_eq!(buddy.take(&table, 8).unwrap(), 1 << 8);
    }

    /// Two neighbours of the largest length stay two: no list would hold the block that they would
    /// make.
    #[test]
    #[cfg_attr(
        any(miri, memory_backend),
        ignore = "a table of 800 MB, of which little is touched"
    )]
    fn the_largest_blocks_stay_apart() {
        let largest = u32::try_from(ORDERS - 1).unwrap();
        let table = Table::reserve(1 << 26).unwrap();
        let mut buddy = Buddy::new(1 << 26);
        assert!(buddy.take(&table, largest + 1).is_err());
        let both = [0, 1 << largest];
        for _ in 0..2 {
            let mut taken = both.map(|_| buddy.take(&table, largest).unwrap());
            taken.sort_unstable();
            assert_eq!(taken, both);
            for number in both {
                buddy.give_back(&table, number, largest);
            }
            assert_eq!(free_blocks(&buddy, &table), [1 << largest; 2]);
        }
    }
}
