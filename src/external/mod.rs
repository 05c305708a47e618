//! Work on data larger than memory, within one [`MemoryBudget`]: sort, group, shuffle.
//!
//! | what you have | what to do with it |
//! |---|---|
//! | a [`DiskVec`], to be in order | [`sort_external`], [`sort_external_by_key`], [`sort_external_by`] |
//! | a [`DiskVec`], to be in no order | [`shuffle_external`] |
//! | records of bytes, from many threads | [`Sorter`]: sorted, unique, or with equal keys joined |
//! | records of bytes, to be in no order | [`Shuffler`] |
//! | values, to be combined by plain keys | [`Aggregator`] |
//! | values, to be combined by keys of bytes | [`BytesAggregator`] |
//! | iterators that ascend, to become one | [`merge`], [`merge_by`] |
//!
//! Each of these needs at most as much memory as the budget has. The rest is written to unnamed
//! files, which are deleted with the operation, also after `SIGKILL`. Too little memory is an error
//! at the start, and a full disk is an error that loses no data. Besides the budget, [`Options`]
//! set how many threads work, where the files are, and a [`Progress`] that reports how far the
//! operation is and can stop it.
//!
//! [`MemoryBudget`]: crate::MemoryBudget
//! [`DiskVec`]: crate::DiskVec
//! [`sort_external`]: crate::DiskVec::sort_external
//! [`sort_external_by_key`]: crate::DiskVec::sort_external_by_key
//! [`sort_external_by`]: crate::DiskVec::sort_external_by
//! [`shuffle_external`]: crate::DiskVec::shuffle_external

// The top floor. `options` says what an operation may use, `workers` distributes it over threads.
// `key` and `radix` sort by numbers, `tree` merges, `sampling` divides merges. `vec` has the operations on a `DiskVec`,
// `records` sorts byte strings, `shuffle` shuffles them, `strings` has the operations on a `StrVec`,
// `groups` combines values.
mod groups;
mod key;
mod merging;
mod options;
mod radix;
mod records;
mod sampling;
mod shuffle;
mod strings;
mod tree;
mod vec;
mod workers;

pub use self::groups::{
    Adder, Aggregator, BytesAdder, BytesAggregator, BytesGroups, GroupValue, Groups,
};
pub use self::key::{Back, SortKey};
pub use self::merging::{Merge, merge, merge_by};
pub use self::options::{Options, Progress};
pub use self::records::{Sorted, SortedPart, SortedParts, Sorter, SorterBuilder, SorterWriter};
pub use self::shuffle::{ShuffleWriter, Shuffled, ShuffledPart, Shuffler};
