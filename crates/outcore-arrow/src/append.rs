//! Arrays of record batches into containers.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrowPrimitiveType};
use arrow_schema::DataType;
use outcore::{ArenaWriter, BytesVec, DiskVec, Location, StrVec};

use crate::error::{Error, Result};

/// Appends the elements of an array of numbers to a vector.
///
/// # Examples
///
/// ```
/// use outcore::DiskVec;
/// use outcore_arrow::append_numbers;
/// use outcore_arrow::arrow_array::types::Int64Type;
/// use outcore_arrow::arrow_array::{ArrayRef, Int64Array, RecordBatch};
///
/// let ids: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![3, 1, 2]));
/// let batch = RecordBatch::try_from_iter([("id", ids)])?;
/// let mut ids = DiskVec::new();
/// append_numbers::<Int64Type>(&mut ids, batch.column(0))?;
/// assert_eq!(ids, [3, 1, 2]);
/// # Ok::<(), outcore_arrow::Error>(())
/// ```
///
/// # Errors
///
/// The vector is unchanged after each of them.
///
/// * [`Error::WrongType`]: the array is none of `T`.
/// * [`Error::Nulls`]: it has nulls.
/// * [`Error::Storage`]: those of [`DiskVec::extend_from_slice`].
pub fn append_numbers<T: ArrowPrimitiveType>(
    vec: &mut DiskVec<T::Native>,
    array: &dyn Array,
) -> Result<()> {
    let Some(numbers) = array.as_primitive_opt::<T>() else {
        return Err(wrong_type(&T::DATA_TYPE.to_string(), array));
    };
    refuse_nulls(array)?;
    Ok(vec.extend_from_slice(numbers.values())?)
}

/// Appends the strings of an array (`Utf8`, `LargeUtf8` or `Utf8View`) to a vector.
///
/// # Errors
///
/// The vector is unchanged after each of them.
///
/// * [`Error::WrongType`]: the array has no strings.
/// * [`Error::Nulls`]: it has nulls.
/// * [`Error::Storage`]: those of [`StrVec::push`].
pub fn append_strings(vec: &mut StrVec, array: &dyn Array) -> Result<()> {
    let len = vec.len();
    let pushed = each_string(array, "Utf8, LargeUtf8 or Utf8View", &mut |string| {
        Ok(vec.push(string)?)
    });
    pushed.inspect_err(|_refused| vec.truncate(len))
}

/// Appends the byte strings of an array to a vector: `Binary`, `LargeBinary`, `BinaryView`,
/// `FixedSizeBinary`, or any type of strings.
///
/// # Errors
///
/// The vector is unchanged after each of them.
///
/// * [`Error::WrongType`]: the array has no byte strings.
/// * [`Error::Nulls`]: it has nulls.
/// * [`Error::Storage`]: those of [`BytesVec::push`].
pub fn append_bytes(vec: &mut BytesVec, array: &dyn Array) -> Result<()> {
    let len = vec.len();
    let pushed = each_item(array, &mut |item| Ok(vec.push(item)?));
    pushed.inspect_err(|_refused| vec.truncate(len))
}

/// Pushes the byte strings of an array, of the types that [`append_bytes`] takes, to an arena, and
/// appends their locations to a vector.
///
/// # Examples
///
/// ```
/// use outcore::{Arena, DiskVec};
/// use outcore_arrow::append_items;
/// use outcore_arrow::arrow_array::StringArray;
///
/// let arena = Arena::new()?;
/// let mut writer = arena.writer()?;
/// let mut locations = DiskVec::new();
/// append_items(&mut writer, &mut locations, &StringArray::from(vec!["one", "two"]))?;
/// writer.finish()?;
/// assert_eq!(arena.get(locations[1])?, b"two");
/// # Ok::<(), outcore_arrow::Error>(())
/// ```
///
/// # Errors
///
/// The locations are unchanged after each of them. Items that were pushed before the failure stay in
/// the arena, and nothing leads to them.
///
/// * [`Error::WrongType`]: the array has no byte strings.
/// * [`Error::Nulls`]: it has nulls.
/// * [`Error::Storage`]: those of [`ArenaWriter::push`] and of [`DiskVec::push`].
pub fn append_items(
    writer: &mut ArenaWriter,
    locations: &mut DiskVec<Location>,
    array: &dyn Array,
) -> Result<()> {
    let len = locations.len();
    let pushed = each_item(array, &mut |item| Ok(locations.push(writer.push(item)?)?));
    pushed.inspect_err(|_refused| locations.truncate(len))
}

/// Passes the byte strings of an array to `take`, until it refuses one.
fn each_item(array: &dyn Array, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    // The values of an array without nulls are its elements.
    let mut all = |items: &mut dyn Iterator<Item = Option<&[u8]>>| {
        refuse_nulls(array)?;
        items.flatten().try_for_each(&mut *take)
    };
    match array.data_type() {
        DataType::Binary => all(&mut array.as_binary::<i32>().iter()),
        DataType::LargeBinary => all(&mut array.as_binary::<i64>().iter()),
        DataType::BinaryView => all(&mut array.as_binary_view().iter()),
        DataType::FixedSizeBinary(_) => all(&mut array.as_fixed_size_binary().iter()),
        _ => each_string(array, "byte strings or strings", &mut |string| {
            take(string.as_bytes())
        }),
    }
}

/// Passes the strings of an array to `take`, until it refuses one.
fn each_string(
    array: &dyn Array,
    expected: &str,
    take: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    let mut all = |strings: &mut dyn Iterator<Item = Option<&str>>| {
        refuse_nulls(array)?;
        strings.flatten().try_for_each(&mut *take)
    };
    match array.data_type() {
        DataType::Utf8 => all(&mut array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => all(&mut array.as_string::<i64>().iter()),
        DataType::Utf8View => all(&mut array.as_string_view().iter()),
        _ => Err(wrong_type(expected, array)),
    }
}

fn refuse_nulls(array: &dyn Array) -> Result<()> {
    match array.logical_null_count() {
        0 => Ok(()),
        nulls => Err(Error::Nulls { nulls }),
    }
}

#[cold]
fn wrong_type(expected: &str, array: &dyn Array) -> Error {
    Error::WrongType {
        expected: expected.to_owned(),
        found: array.data_type().clone(),
    }
}
