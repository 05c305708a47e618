//! Groups of byte strings as results: from the sorted tables of all adders, or from sorted runs.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "numbers of groups, which the budget bounds"
)]

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::external::groups::bytes::Combine;
use crate::external::groups::keys::{Group, Left};
use crate::external::groups::value::GroupValue;
use crate::external::records::Sorted;
use crate::external::tree::Tree;

/// The groups of a [`BytesAggregator`](super::BytesAggregator) in the order of their keys; made by
/// [`BytesAggregator::finish`](super::BytesAggregator::finish).
///
/// It lends one key at a time, so it is no [`Iterator`].
pub struct BytesGroups<V: GroupValue> {
    source: Source<V>,
    combine: Arc<Combine<V>>,
}

enum Source<V> {
    Memory(Tables<V>),
    Disk(Box<Sorted>),
    Empty,
}

/// Sorted tables, and for each the number of its next group.
struct Tables<V> {
    tables: Vec<(Left<V>, usize)>,
    tree: Tree,
}

impl<V: Copy> Tables<V> {
    /// Merges what adders left, at least one of them.
    fn new(lefts: Vec<Left<V>>) -> Self {
        let sorted = lefts.into_iter().map(|mut left| {
            left.sort();
            (left, 0)
        });
        let tables: Vec<_> = sorted.collect();
        let tree = Tree::new(tables.len(), |a, b| precedes(&tables, a, b));
        Self { tables, tree }
    }

    /// Returns the group of the least key, and the table that has it.
    fn least(&self) -> Option<(usize, Group<V>)> {
        let table = self.tree.winner();
        Some((table, next_of(&self.tables, table)?))
    }

    fn key(&self, table: usize, group: &Group<V>) -> &[u8] {
        let table = self.tables.get(table);
        table.map_or(&[][..], |(left, _next)| left.keys.of(group))
    }

    /// Goes on to the next group of the table that has the least key.
    fn advance(&mut self) {
        if let Some((_left, next)) = self.tables.get_mut(self.tree.winner()) {
            *next += 1;
        }
        let tables = &self.tables;
        self.tree.replay(|a, b| precedes(tables, a, b));
    }
}

/// Returns the next group of a table.
fn next_of<V: Copy>(tables: &[(Left<V>, usize)], table: usize) -> Option<Group<V>> {
    let (left, next) = tables.get(table)?;
    let (_hash, group) = left.table.get(*next)?;
    Some(group)
}

/// Returns whether the next key of a table precedes that of another, or is the same and the table
/// comes first. A table that has ended comes last.
fn precedes<V: Copy>(tables: &[(Left<V>, usize)], a: usize, b: usize) -> bool {
    let key = |table: usize| {
        let group = next_of(tables, table)?;
        let (left, _next) = tables.get(table)?;
        Some(left.keys.of(&group))
    };
    let order = match (key(a), key(b)) {
        (Some(first), Some(second)) => first.cmp(second),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    order.then(a.cmp(&b)).is_lt()
}

impl<V: GroupValue> BytesGroups<V> {
    pub(super) fn empty(combine: &Arc<Combine<V>>) -> Self {
        Self {
            source: Source::Empty,
            combine: Arc::clone(combine),
        }
    }

    pub(super) fn on_disk(sorted: Sorted, combine: &Arc<Combine<V>>) -> Self {
        Self {
            source: Source::Disk(Box::new(sorted)),
            combine: Arc::clone(combine),
        }
    }

    pub(super) fn in_memory(lefts: Vec<Left<V>>, combine: &Arc<Combine<V>>) -> Self {
        if lefts.is_empty() {
            return Self::empty(combine);
        }
        Self {
            source: Source::Memory(Tables::new(lefts)),
            combine: Arc::clone(combine),
        }
    }

    /// Returns the next group, key and value, or `None` at the end.
    ///
    /// # Errors
    ///
    /// Those of [`Sorted::next`].
    ///
    /// # Panics
    ///
    /// If the function that combines panics.
    #[expect(
        clippy::should_implement_trait,
        reason = "what it returns is lent, which an iterator cannot"
    )]
    pub fn next(&mut self) -> Result<Option<(&[u8], V)>> {
        match &mut self.source {
            Source::Empty => Ok(None),
            Source::Disk(sorted) => {
                let record = sorted.next()?;
                Ok(record.map(|(key, mut value)| (key, V::take_from(&mut value))))
            }
            Source::Memory(tables) => {
                let Some((table, group)) = tables.least() else {
                    return Ok(None);
                };
                tables.advance();
                let mut value = group.value;
                // Other adders may have groups of the key, and after an error so may this one.
                while let Some((other_table, other)) = tables.least() {
                    if tables.key(other_table, &other) != tables.key(table, &group) {
                        break;
                    }
                    (self.combine)(&mut value, other.value);
                    tables.advance();
                }
                Ok(Some((tables.key(table, &group), value)))
            }
        }
    }
}

impl<V: GroupValue> fmt::Debug for BytesGroups<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BytesGroups").finish_non_exhaustive()
    }
}
