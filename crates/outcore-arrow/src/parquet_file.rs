//! A table as a Parquet file, written in limited memory.

use std::io::Write;

use parquet::arrow::ArrowWriter;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;

use crate::error::{Error, Result};
use crate::table::{BatchOptions, Table};

/// The least memory for each column: its page, its dictionary, and what the encoder has beside them.
const COLUMN_BYTES_MIN: usize = 8 << 20;

/// How a Parquet file is written.
///
/// # Examples
///
/// ```
/// use outcore_arrow::ParquetOptions;
/// use outcore_arrow::parquet::basic::Compression;
/// use outcore_arrow::parquet::file::properties::WriterProperties;
///
/// let packed = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
/// let options = ParquetOptions::new().memory(64 << 20).properties(packed);
/// # drop(options);
/// ```
#[derive(Clone, Debug)]
pub struct ParquetOptions {
    memory_bytes: usize,
    properties: WriterProperties,
}

impl ParquetOptions {
    /// 256 MiB of memory, and the properties that `parquet` has by default.
    pub fn new() -> Self {
        Self {
            memory_bytes: 256 << 20,
            properties: WriterProperties::default(),
        }
    }

    /// Sets how many bytes of memory the writer may take, at least 8 MiB for each column.
    ///
    /// A row group ends when the writer has a half of it, so less memory makes more row groups.
    #[must_use]
    pub fn memory(mut self, memory_bytes: usize) -> Self {
        self.memory_bytes = memory_bytes;
        self
    }

    /// Sets compression, encodings, and all else that `parquet` lets its callers choose. Its limits of
    /// row groups hold as well; longer pages and dictionaries than its defaults take more memory.
    #[must_use]
    pub fn properties(mut self, properties: WriterProperties) -> Self {
        self.properties = properties;
        self
    }
}

impl Default for ParquetOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// Writes the table as a Parquet file, and returns what its footer says.
    ///
    /// Rows are encoded batch by batch, and a row group is written when the writer has a half of the
    /// memory that the options allow. An [`AtomicFile`](outcore::AtomicFile) as the target makes the
    /// file appear under its name when it is complete.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut names = outcore::StrVec::new();
    /// names.try_extend((0..1000).map(|n| format!("name {n}")))?;
    /// let table = outcore_arrow::Table::new().with("name", names)?;
    /// let mut file = Vec::new();
    /// let written = table.write_parquet(&mut file, &outcore_arrow::ParquetOptions::new())?;
    /// assert_eq!(written.file_metadata().num_rows(), 1000);
    /// # Ok::<(), outcore_arrow::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What was written is no Parquet file after each of them but the first, after which nothing was.
    ///
    /// * [`Error::OverBudget`]: the options allow too little memory for that many columns.
    /// * [`Error::Storage`], [`Error::InvalidUtf8`], [`Error::OutOfMemory`]: a batch of items cannot be
    ///   made.
    /// * [`Error::Parquet`]: the target refuses, or the writer does.
    ///
    /// # Cost
    ///
    /// Memory: as the options say, and a few hundred bytes for each page that was written, which the footer
    /// lists: a page has 20,000 rows, if the properties say nothing else. A row that is longer than an
    /// eighth of the memory takes as much as its length on top, a few times over.
    pub fn write_parquet(
        &self,
        target: impl Write + Send,
        options: &ParquetOptions,
    ) -> Result<ParquetMetaData> {
        let schema = self.schema();
        let needed_bytes = schema.fields().len().saturating_mul(COLUMN_BYTES_MIN);
        let given_bytes = options.memory_bytes;
        if given_bytes < needed_bytes {
            return Err(Error::OverBudget {
                needed_bytes,
                given_bytes,
            });
        }
        let properties = Some(options.properties.clone());
        let mut writer = ArrowWriter::try_new(target, schema, properties)?;
        // A batch may be in memory, and once more in the writer.
        let batch_bytes = (given_bytes / 8) as u64;
        let mut batches = self.batches(&BatchOptions::new().bytes(batch_bytes));
        while let Some(batch) = batches.try_next()? {
            writer.write(&batch)?;
            if writer.memory_size() >= given_bytes / 2 {
                writer.flush()?;
            }
        }
        Ok(writer.close()?)
    }
}
