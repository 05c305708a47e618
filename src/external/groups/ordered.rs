//! Groups of byte strings as results: from memory, or from sorted runs.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "numbers of groups, which the budget bounds"
)]

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::external::groups::bytes::Combine;
use crate::external::groups::keys::{Left, sort};
use crate::external::groups::value::GroupValue;
use crate::external::records::Sorted;

/// The groups of a [`BytesAggregator`](super::BytesAggregator) in the order of their keys; made by
/// [`BytesAggregator::finish`](super::BytesAggregator::finish).
///
/// It lends one key at a time, so it is no [`Iterator`].
pub struct BytesGroups<V: GroupValue> {
    source: Source<V>,
    combine: Arc<Combine<V>>,
}

enum Source<V> {
    /// Groups at the first slots of the table, sorted, and the number of the next.
    Memory(Box<Left<V>>, usize),
    Disk(Box<Sorted>),
    Empty,
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

    pub(super) fn in_memory(mut left: Left<V>, combine: &Arc<Combine<V>>) -> Self {
        sort(&mut left.table, &left.keys);
        Self {
            source: Source::Memory(Box::new(left), 0),
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
            Source::Memory(left, next) => {
                let Some((_hash, group)) = left.table.get(*next) else {
                    return Ok(None);
                };
                *next += 1;
                let key = left.keys.of(&group);
                let mut value = group.value;
                // Two groups of one key, after an error.
                while let Some((_hash, other)) = left.table.get(*next) {
                    if left.keys.of(&other) != key {
                        break;
                    }
                    (self.combine)(&mut value, other.value);
                    *next += 1;
                }
                Ok(Some((key, value)))
            }
        }
    }
}

impl<V: GroupValue> fmt::Debug for BytesGroups<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BytesGroups").finish_non_exhaustive()
    }
}
