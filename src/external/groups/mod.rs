//! Grouping: values of equal keys are combined, however many keys there are.
//!
//! Groups are kept in a hash table. When memory is used up they are put aside: those of plain keys
//! by `partitions` of their hash, those of byte strings as sorted runs of a `Sorter`, whose merge
//! combines what is left to combine. So most of what is added never goes to disk where few keys have
//! most of it, and nothing depends on how keys are spread.

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
