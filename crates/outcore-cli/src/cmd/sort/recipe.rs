//! What a record becomes for the sorter, and the record that is in there.
//!
//! | what decides among equal keys | key of the sorter | value |
//! |---|---|---|
//! | the record | key, record | length of the key |
//! | the record, turned around | key, record so that greater ones come first | length of the key |
//! | the place in the input | key, place | record |
//! | only the first one stays | key | place, record |

use std::cmp::Ordering;

use outcore::external::SorterBuilder;

use crate::record::key::Bad;
use crate::record::order::text::{push_reversed, restore_reversed};
use crate::record::order::{Order, Spare};

/// What decides among records whose keys are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    /// All of the record.
    Record,
    /// The same, turned around.
    Reversed,
    /// The place in the input.
    Place,
    /// Nothing: the first in the input stays, and the others go.
    First,
}

/// Bytes of a place in the input.
pub(crate) const PLACE_BYTES: usize = 8;

/// How records are compared.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) order: Order,
    pub(crate) tie: Tie,
    /// Whether of equal records one stays; those of [`Tie::First`] are equal if their keys are.
    pub(crate) is_unique: bool,
}

/// Memory that is used again for each record.
#[derive(Debug, Default)]
pub(crate) struct Made {
    key: Vec<u8>,
    value: Vec<u8>,
    spare: Spare,
}

impl Recipe {
    /// Chooses what decides among records of equal keys.
    pub(crate) fn new(order: Order, is_reverse: bool, is_stable: bool, is_unique: bool) -> Self {
        let tie = if order.is_empty() || !(is_stable || is_unique) {
            // Records that are equal byte for byte need no place.
            if is_reverse {
                Tie::Reversed
            } else {
                Tie::Record
            }
        } else if is_unique {
            Tie::First
        } else {
            Tie::Place
        };
        Self {
            order,
            tie,
            is_unique,
        }
    }

    /// Returns whether a key has to be made before records can be compared.
    pub(crate) fn has_keys(&self) -> bool {
        !self.order.is_empty()
    }

    /// Makes a sorter drop what is not to stay.
    pub(crate) fn configure(&self, sorter: SorterBuilder) -> SorterBuilder {
        match self.tie {
            _ if !self.is_unique => sorter,
            Tie::First => sorter.combine(|value, other| {
                if other.get(..PLACE_BYTES) < value.get(..PLACE_BYTES) {
                    value.clear();
                    value.extend_from_slice(other);
                }
            }),
            Tie::Record | Tie::Reversed | Tie::Place => sorter.unique(),
        }
    }

    /// Makes key and value of a record for the sorter. `compared` is the record without what does
    /// not count: a carriage return at its end, in CSV.
    ///
    /// # Errors
    ///
    /// The record has no key.
    #[inline]
    pub(crate) fn make<'a>(
        &self,
        record: &'a [u8],
        compared: &[u8],
        place: u64,
        made: &'a mut Made,
    ) -> Result<(&'a [u8], &'a [u8]), Bad> {
        if self.tie == Tie::Record && !self.has_keys() {
            return Ok((record, &[]));
        }
        made.key.clear();
        made.value.clear();
        self.order
            .push_key(compared, &mut made.key, &mut made.spare)?;
        if matches!(self.tie, Tie::Record | Tie::Reversed) && self.has_keys() {
            push_len(made.key.len(), &mut made.value);
        }
        match self.tie {
            Tie::Record => made.key.extend_from_slice(record),
            Tie::Reversed => push_reversed(record, &mut made.key),
            Tie::Place => {
                made.key.extend_from_slice(&place.to_be_bytes());
                return Ok((&made.key, record));
            }
            Tie::First => {
                made.value.extend_from_slice(&place.to_be_bytes());
                made.value.extend_from_slice(record);
            }
        }
        Ok((&made.key, &made.value))
    }

    /// Makes the key alone, and appends it.
    ///
    /// # Errors
    ///
    /// The record has none.
    pub(crate) fn push_key(
        &self,
        compared: &[u8],
        key: &mut Vec<u8>,
        made: &mut Made,
    ) -> Result<(), Bad> {
        self.order.push_key(compared, key, &mut made.spare)
    }

    /// Returns the record of a key and a value of the sorter.
    #[inline]
    pub(crate) fn record<'a>(
        &self,
        key: &'a [u8],
        value: &'a [u8],
        spare: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        match self.tie {
            Tie::Record => &key[len_of(value)..],
            Tie::Reversed => {
                spare.clear();
                restore_reversed(&key[len_of(value)..], spare);
                spare
            }
            Tie::Place => value,
            Tie::First => &value[PLACE_BYTES..],
        }
    }

    /// Compares records of which the keys are made, for those who keep both.
    pub(crate) fn compare(&self, a: (&[u8], &[u8]), b: (&[u8], &[u8])) -> Ordering {
        let by_key = a.0.cmp(b.0);
        match self.tie {
            Tie::Record => by_key.then_with(|| a.1.cmp(b.1)),
            Tie::Reversed => by_key.then_with(|| b.1.cmp(a.1)),
            Tie::Place | Tie::First => by_key,
        }
    }
}

/// Appends a length, in as few bytes as it takes.
fn push_len(len: usize, value: &mut Vec<u8>) {
    let bytes = len.to_le_bytes();
    let used = bytes.iter().rposition(|&byte| byte != 0);
    value.extend_from_slice(&bytes[..used.map_or(0, |last| last + 1)]);
}

#[inline]
fn len_of(value: &[u8]) -> usize {
    let digits = value.iter().rev();
    digits.fold(0, |len, &byte| len << 8 | usize::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::order::flags::Flags;

    #[test]
    fn a_record_comes_back_from_what_it_became() {
        let orders = || {
            let none: [&str; 0] = [];
            let empty = Order::of_text(&none, Flags::default(), None).unwrap();
            let second = Order::of_text(&["2,2n", "1"], Flags::default(), Some(b',')).unwrap();
            [empty, second]
        };
        let long = [b'x'; 700];
        for record in [&b""[..], b"a,1", b"\0\xff,\xff\0", &long] {
            for (reverse, stable, unique) in
                (0..8).map(|bits| (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0))
            {
                for order in orders() {
                    let recipe = Recipe::new(order, reverse, stable, unique);
                    let mut made = Made::default();
                    let (key, value) = recipe.make(record, record, 77, &mut made).unwrap();
                    let mut spare = Vec::new();
                    assert_eq!(recipe.record(key, value, &mut spare), record, "{recipe:?}");
                }
            }
        }
    }

    #[test]
    fn lengths_take_few_bytes() {
        for (len, bytes) in [(0, 0), (1, 1), (255, 1), (256, 2), (70_000, 3)] {
            let mut value = Vec::new();
            push_len(len, &mut value);
            assert_eq!((value.len(), len_of(&value)), (bytes, len));
        }
    }
}
