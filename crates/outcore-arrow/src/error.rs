//! The error type: what did not fit together, or what a library below refused.

use std::fmt;

use arrow_schema::{ArrowError, DataType};

/// A result whose error is [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a conversion did not work. Each function says what state it leaves.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The array has nulls, which containers cannot store. Fill or filter them first.
    Nulls {
        /// How many elements are null.
        nulls: usize,
    },
    /// The array has another type than the container can store.
    WrongType {
        /// The types that the container can store.
        expected: String,
        /// The type of the array.
        found: DataType,
    },
    /// A column has another number of rows than those before it.
    WrongLength {
        /// The name of the column.
        column: String,
        /// Its number of rows.
        found: usize,
        /// The number of rows of the columns before it.
        expected: usize,
    },
    /// A column has the name of a column before it.
    SameName {
        /// The name.
        column: String,
    },
    /// An item that should be text is not UTF-8.
    InvalidUtf8 {
        /// Its place among the items of one batch, or of one call.
        item: usize,
    },
    /// Items of one batch need more memory than the process can get. Take smaller batches.
    OutOfMemory {
        /// How many bytes were asked for.
        bytes: u64,
    },
    /// The memory that the caller allows is too little for this table.
    OverBudget {
        /// How many bytes are the least.
        needed_bytes: usize,
        /// How many bytes were allowed.
        given_bytes: usize,
    },
    /// A container refused, or the system did.
    Storage(outcore::Error),
    /// Arrow refused.
    Arrow(ArrowError),
    /// The Parquet writer refused, or the target that it writes to.
    #[cfg(feature = "parquet")]
    Parquet(parquet::errors::ParquetError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nulls { nulls } => write!(
                f,
                "cannot append an array: {nulls} of its elements are null; fill or filter them first"
            ),
            Self::WrongType { expected, found } => write!(
                f,
                "cannot append an array: its type is {found}, and {expected} is expected"
            ),
            Self::WrongLength {
                column,
                found,
                expected,
            } => write!(
                f,
                "cannot add column {column}: it has {found} rows, and the table has {expected}"
            ),
            Self::SameName { column } => {
                write!(
                    f,
                    "cannot add column {column}: the table has one of that name"
                )
            }
            Self::InvalidUtf8 { item } => {
                write!(f, "cannot gather items as text: item {item} is not UTF-8")
            }
            Self::OutOfMemory { bytes } => write!(
                f,
                "cannot gather items: there is no memory for {bytes} bytes; take smaller batches"
            ),
            Self::OverBudget {
                needed_bytes,
                given_bytes,
            } => write!(
                f,
                "cannot write the table: it needs {needed_bytes} bytes of memory, and {given_bytes} \
                 are allowed"
            ),
            Self::Storage(error) => error.fmt(f),
            Self::Arrow(error) => error.fmt(f),
            #[cfg(feature = "parquet")]
            Self::Parquet(error) => error.fmt(f),
        }
    }
}

// No `source`: the message ends with the cause.
impl std::error::Error for Error {}

impl From<outcore::Error> for Error {
    fn from(error: outcore::Error) -> Self {
        Self::Storage(error)
    }
}

impl From<outcore::FinishError> for Error {
    /// Keeps the error, and drops the writer with what it has not written.
    fn from(error: outcore::FinishError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

#[cfg(feature = "parquet")]
impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Parquet(error)
    }
}

impl From<Error> for ArrowError {
    /// Wraps the error, so that `downcast_ref` finds it.
    fn from(error: Error) -> Self {
        match error {
            Error::Arrow(error) => error,
            error => Self::ExternalError(Box::new(error)),
        }
    }
}
