//! Containers of [`outcore`], which are larger than RAM, for the engines and formats that read Arrow.
//!
//! | from | to | copies |
//! |---|---|---|
//! | [`DiskVec`](outcore::DiskVec) of numbers | [`primitive_array`] | none |
//! | [`StrVec`](outcore::StrVec) | [`string_array`]: `LargeUtf8` | none |
//! | [`BytesVec`](outcore::BytesVec) | [`binary_array`]: `LargeBinary` | none |
//! | items of an [`Arena`](outcore::Arena) | [`items_array`], [`text_items_array`]: `LargeBinary`, `LargeUtf8` | one |
//! | several of them | [`Table`], and its [`batches`](Table::batches) of limited size | as above |
//! | a [`Table`] | a Parquet file in limited memory, `Table::write_parquet` (feature `parquet`) | |
//! | an array or a column of a record batch | [`append_numbers`], [`append_strings`], [`append_bytes`], [`append_items`] | one |
//!
//! An array that shares the memory of a container keeps it alive, and the container cannot change as
//! long as there is such an array: it is in an [`Arc`](std::sync::Arc), which only lends it for reading.
//!
//! Files that `DiskVec::seal` and `StrVec::seal` have written are Arrow IPC files, and need none of
//! this.
//!
//! Containers have no nulls. An array with nulls is refused by [`Error::Nulls`].
//!
//! # Features
//!
//! `parquet`: `Table::write_parquet`. It brings the crate `parquet` with one codec, Snappy.

mod append;
mod array;
mod error;
mod items;
#[cfg(feature = "parquet")]
mod parquet_file;
mod table;

pub use crate::append::{append_bytes, append_items, append_numbers, append_strings};
pub use crate::array::{binary_array, primitive_array, string_array};
pub use crate::error::{Error, Result};
pub use crate::items::{items_array, text_items_array};
#[cfg(feature = "parquet")]
pub use crate::parquet_file::ParquetOptions;
pub use crate::table::{BatchOptions, Batches, Column, Table};

// The versions whose types are in the functions of this crate.
#[cfg(feature = "parquet")]
pub use parquet;
pub use {arrow_array, arrow_schema};

#[cfg(all(doctest, feature = "parquet"))]
#[doc = include_str!("../README.md")]
struct Readme;
