//! Containers as the columns of a table, and the table as a stream of record batches of limited size.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, LargeBinaryArray, LargeStringArray, PrimitiveArray,
    RecordBatch, RecordBatchOptions, RecordBatchReader,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use outcore::{Arena, BytesVec, DiskVec, Location, StrVec};

use crate::array::{binary_array, primitive_array, string_array};
use crate::error::{Error, Result};
use crate::items::{items_array, text_items_array};

/// A column of a [`Table`]: a container, or an Arrow array that was made of one.
///
/// `From` makes one of a [`DiskVec`] of numbers, a [`StrVec`] or a [`BytesVec`], or of an [`Arc`] of
/// such a vector; and of a [`PrimitiveArray`], for types that Rust's numbers do not have, such as
/// `primitive_array::<TimestampSecondType>(times).with_timezone("UTC")`.
#[derive(Clone)]
pub struct Column(Kind);

#[derive(Clone)]
enum Kind {
    Numbers { array: ArrayRef, row_bytes: u64 },
    Text(LargeStringArray),
    Bytes(LargeBinaryArray),
    Items(Items),
}

/// Items of an arena, gathered batch by batch.
#[derive(Clone)]
struct Items {
    arena: Arena,
    locations: Arc<DiskVec<Location>>,
    are_text: bool,
}

/// The bytes of an offset of 64 bits.
const OFFSET_BYTES: u64 = 8;

impl Column {
    /// Makes a column of the items of an arena at `locations`, as `LargeBinary`.
    ///
    /// Each batch gathers its items, with one copy of their bytes. The column shares the arena, and
    /// finds items that are flushed when their batch is made.
    pub fn items(arena: &Arena, locations: impl Into<Arc<DiskVec<Location>>>) -> Self {
        Self(Kind::Items(Items {
            arena: arena.clone(),
            locations: locations.into(),
            are_text: false,
        }))
    }

    /// Makes a column of the items of an arena at `locations`, which are text, as `LargeUtf8`.
    ///
    /// As [`items`](Self::items); a batch with an item that is not UTF-8 is an error.
    pub fn text_items(arena: &Arena, locations: impl Into<Arc<DiskVec<Location>>>) -> Self {
        Self(Kind::Items(Items {
            arena: arena.clone(),
            locations: locations.into(),
            are_text: true,
        }))
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        match &self.0 {
            Kind::Numbers { array, .. } => array.len(),
            Kind::Text(array) => array.len(),
            Kind::Bytes(array) => array.len(),
            Kind::Items(items) => items.locations.len(),
        }
    }

    fn data_type(&self) -> DataType {
        match &self.0 {
            Kind::Numbers { array, .. } => array.data_type().clone(),
            Kind::Text(_) => DataType::LargeUtf8,
            Kind::Items(items) if items.are_text => DataType::LargeUtf8,
            Kind::Bytes(_) | Kind::Items(_) => DataType::LargeBinary,
        }
    }

    fn has_nulls(&self) -> bool {
        match &self.0 {
            Kind::Numbers { array, .. } => array.null_count() > 0,
            Kind::Text(array) => array.null_count() > 0,
            Kind::Bytes(array) => array.null_count() > 0,
            Kind::Items(_) => false,
        }
    }

    /// Returns the bytes of a row that is there.
    fn row_bytes(&self, row: usize) -> u64 {
        let of = |offsets: &[i64]| match offsets.get(row..) {
            Some([start, end, ..]) => end.saturating_sub(*start).unsigned_abs(),
            _ => 0,
        };
        let item = match &self.0 {
            Kind::Numbers { row_bytes, .. } => return *row_bytes,
            Kind::Text(array) => of(array.value_offsets()),
            Kind::Bytes(array) => of(array.value_offsets()),
            Kind::Items(items) => items.locations.get(row).map_or(0, |item| item.len().into()),
        };
        item.saturating_add(OFFSET_BYTES)
    }

    /// Returns the rows of a range that is there.
    fn array(&self, rows: Range<usize>) -> Result<ArrayRef> {
        let (start, len) = (rows.start, rows.len());
        Ok(match &self.0 {
            Kind::Numbers { array, .. } => array.slice(start, len),
            Kind::Text(array) => Arc::new(array.slice(start, len)),
            Kind::Bytes(array) => Arc::new(array.slice(start, len)),
            Kind::Items(items) => {
                let locations = items.locations.get(rows).unwrap_or_default();
                if items.are_text {
                    Arc::new(text_items_array(&items.arena, locations)?)
                } else {
                    Arc::new(items_array(&items.arena, locations)?)
                }
            }
        })
    }
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Column")
            .field("data_type", &self.data_type())
            .field("rows", &self.rows())
            .finish_non_exhaustive()
    }
}

impl<T: ArrowPrimitiveType> From<PrimitiveArray<T>> for Column {
    fn from(array: PrimitiveArray<T>) -> Self {
        Self(Kind::Numbers {
            array: Arc::new(array),
            row_bytes: size_of::<T::Native>() as u64,
        })
    }
}

impl From<LargeStringArray> for Column {
    fn from(array: LargeStringArray) -> Self {
        Self(Kind::Text(array))
    }
}

impl From<LargeBinaryArray> for Column {
    fn from(array: LargeBinaryArray) -> Self {
        Self(Kind::Bytes(array))
    }
}

/// Columns of vectors and of shared ones.
macro_rules! columns {
    ($($vec:ty => $array:expr;)*) => {$(
        impl From<$vec> for Column {
            fn from(vec: $vec) -> Self {
                $array(vec).into()
            }
        }

        impl From<Arc<$vec>> for Column {
            fn from(vec: Arc<$vec>) -> Self {
                $array(vec).into()
            }
        }
    )*};
}

columns! {
    StrVec => string_array;
    BytesVec => binary_array;
    DiskVec<u8> => primitive_array::<UInt8Type>;
    DiskVec<u16> => primitive_array::<UInt16Type>;
    DiskVec<u32> => primitive_array::<UInt32Type>;
    DiskVec<u64> => primitive_array::<UInt64Type>;
    DiskVec<i8> => primitive_array::<Int8Type>;
    DiskVec<i16> => primitive_array::<Int16Type>;
    DiskVec<i32> => primitive_array::<Int32Type>;
    DiskVec<i64> => primitive_array::<Int64Type>;
    DiskVec<f32> => primitive_array::<Float32Type>;
    DiskVec<f64> => primitive_array::<Float64Type>;
}

/// Containers of the same length, as the columns of a table.
///
/// # Examples
///
/// ```
/// use outcore::{DiskVec, StrVec};
/// use outcore_arrow::{BatchOptions, Table};
///
/// let (mut squares, mut names) = (DiskVec::new(), StrVec::new());
/// for n in 0..100_000_u64 {
///     squares.push(n * n)?;
///     names.push(format!("name {n}"))?;
/// }
/// let table = Table::new().with("name", names)?.with("square", squares)?;
///
/// let mut rows = 0;
/// for batch in table.batches(&BatchOptions::new().rows(1000)) {
///     rows += batch?.num_rows();
/// }
/// assert_eq!(rows, 100_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    schema: SchemaRef,
    columns: Vec<Column>,
}

impl Table {
    /// Makes a table without columns.
    pub fn new() -> Self {
        Self {
            schema: Arc::new(Schema::empty()),
            columns: Vec::new(),
        }
    }

    /// Returns the table with one more column.
    ///
    /// # Errors
    ///
    /// The column is dropped. A container that is to be kept is passed as an [`Arc`].
    ///
    /// * [`Error::WrongLength`]: it has another number of rows than the columns before it.
    /// * [`Error::SameName`]: the table has a column of that name.
    pub fn with(mut self, name: impl Into<String>, column: impl Into<Column>) -> Result<Self> {
        let (name, column) = (name.into(), column.into());
        if !self.columns.is_empty() && column.rows() != self.rows() {
            return Err(Error::WrongLength {
                column: name,
                found: column.rows(),
                expected: self.rows(),
            });
        }
        if self.schema.index_of(&name).is_ok() {
            return Err(Error::SameName { column: name });
        }
        let field = Arc::new(Field::new(name, column.data_type(), column.has_nulls()));
        let fields = self.schema.fields().iter().cloned().chain([field]);
        self.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        self.columns.push(column);
        Ok(self)
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Column::rows)
    }

    /// Returns names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Returns an iterator over the rows in batches of limited size.
    ///
    /// It shares the columns, and can outlive the table. Numbers and strings of a batch are slices of
    /// the containers; items of an arena are copied, so one batch of them is in memory at a time.
    ///
    /// # Cost
    ///
    /// The lengths of strings and items are read for each batch, to see how many rows fit.
    pub fn batches(&self, options: &BatchOptions) -> Batches {
        Batches {
            table: self.clone(),
            options: options.clone(),
            next: 0,
        }
    }

    /// Returns how many rows from `start` fit into a batch: at least one, if there is one.
    fn fitting(&self, start: usize, options: &BatchOptions) -> usize {
        let rows_max = self.rows().saturating_sub(start).min(options.rows_max);
        let (mut rows, mut bytes) = (0_usize, 0_u64);
        while rows < rows_max {
            let row = start.saturating_add(rows);
            for column in &self.columns {
                bytes = bytes.saturating_add(column.row_bytes(row));
            }
            if bytes > options.bytes_max && rows > 0 {
                break;
            }
            rows = rows.saturating_add(1);
        }
        rows
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

/// How large record batches are at most.
///
/// # Examples
///
/// ```
/// use outcore_arrow::BatchOptions;
///
/// let small = BatchOptions::new().rows(1024).bytes(1 << 20);
/// # drop(small);
/// ```
#[derive(Clone, Debug)]
pub struct BatchOptions {
    rows_max: usize,
    bytes_max: u64,
}

impl BatchOptions {
    /// At most 8192 rows and 8 MiB.
    pub fn new() -> Self {
        Self {
            rows_max: 8192,
            bytes_max: 8 << 20,
        }
    }

    /// Sets the most rows of a batch; 0 means 1.
    #[must_use]
    pub fn rows(mut self, rows_max: usize) -> Self {
        self.rows_max = rows_max.max(1);
        self
    }

    /// Sets the most bytes of a batch, with 8 for each string or item. A row that is longer is a batch
    /// of its own.
    #[must_use]
    pub fn bytes(mut self, bytes_max: u64) -> Self {
        self.bytes_max = bytes_max;
        self
    }
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The rows of a [`Table`] in batches; made by [`Table::batches`].
///
/// Arrow's own reader of batches, so it goes to whatever takes one. An error is
/// [`ArrowError::ExternalError`] with an [`Error`] in it. The same batch is then the next one, so the
/// caller can go on once the cause is removed.
#[derive(Clone, Debug)]
pub struct Batches {
    table: Table,
    options: BatchOptions,
    next: usize,
}

impl Batches {
    /// Returns the next batch, with the error as it is.
    pub(crate) fn try_next(&mut self) -> Result<Option<RecordBatch>> {
        let rows = self.table.fitting(self.next, &self.options);
        if rows == 0 {
            return Ok(None);
        }
        let end = self.next.saturating_add(rows);
        let mut columns = Vec::new();
        for column in &self.table.columns {
            columns.push(column.array(self.next..end)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.table.schema(), columns, &options)?;
        self.next = end;
        Ok(Some(batch))
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.try_next().map_err(ArrowError::from).transpose()
    }
}

impl FusedIterator for Batches {}

impl RecordBatchReader for Batches {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }
}
