//! Grouping: values of equal keys are combined, however many keys there are.
//!
//! Groups are in a hash table. When memory is used up, they are written to disk: those of plain
//! keys in `partitions` by their hash, those of byte strings as sorted runs of a `Sorter`, whose
//! merge combines the rest. So most values never go to disk if a few keys have most of them, and no
//! result depends on the distribution of keys.

mod bytes;
#[cfg(test)]
mod faults;
mod joined;
mod keys;
mod ordered;
mod partitions;
mod plain;
mod table;
mod value;

pub use self::bytes::{BytesAdder, BytesAggregator};
pub use self::joined::Groups;
pub use self::ordered::BytesGroups;
pub use self::plain::{Adder, Aggregator};
pub use self::value::GroupValue;
