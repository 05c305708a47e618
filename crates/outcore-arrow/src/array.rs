//! Containers as Arrow arrays, without a copy: the buffers of the array are the memory of the container.
#![expect(
    unsafe_code,
    reason = "lends the memory of a container to buffers that keep it alive"
)]

use std::panic::RefUnwindSafe;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow_array::{ArrowPrimitiveType, LargeBinaryArray, LargeStringArray, PrimitiveArray};
use arrow_buffer::{ArrowNativeType, Buffer, OffsetBuffer, ScalarBuffer};
use outcore::{BytesVec, DiskVec, StrVec};

/// Returns a vector of numbers as an Arrow array, without a copy.
///
/// The array, its slices and its clones keep the vector alive. A vector that is to be used further is
/// passed as an [`Arc`]: it can be read all the while, and `Arc::into_inner` returns it when the last
/// array is gone. Until then it cannot grow or change, so the elements keep their addresses.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use outcore::DiskVec;
/// use outcore_arrow::arrow_array::types::UInt64Type;
/// use outcore_arrow::primitive_array;
///
/// let mut squares = DiskVec::new();
/// squares.try_extend((0..1_000_000_u64).map(|n| n * n))?;
/// let squares = Arc::new(squares);
///
/// let array = primitive_array::<UInt64Type>(Arc::clone(&squares));
/// assert_eq!(array.value(999_999), 999_998_000_001);
/// assert_eq!(array.values().as_ptr(), squares.as_ptr());
///
/// drop(array);
/// let mut squares = Arc::into_inner(squares).expect("the array is gone");
/// squares.push(7)?;
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Cost
///
/// A few small allocations, however long the vector is. The elements stay where they are; reading one
/// that is not in memory costs a read of the device, as with the vector.
///
/// # In a forked child
///
/// The array has the elements that a [`DiskVec`] has there: a child must not read those in a file.
pub fn primitive_array<T: ArrowPrimitiveType>(
    vec: impl Into<Arc<DiskVec<T::Native>>>,
) -> PrimitiveArray<T> {
    let vec = vec.into();
    PrimitiveArray::new(scalars(&vec, DiskVec::as_slice), None)
}

/// Returns a vector of strings as an Arrow array, without a copy.
///
/// Text and offsets of the array are those of the vector. What [`primitive_array`] says about the life
/// of the vector holds here too.
///
/// # Examples
///
/// ```
/// let mut names = outcore::StrVec::new();
/// names.try_extend(["Ada", "Grace"])?;
/// let array = outcore_arrow::string_array(names);
/// assert_eq!(array.value(1), "Grace");
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Cost
///
/// A few small allocations. Neither text nor offsets are read: the vector has checked them.
pub fn string_array(vec: impl Into<Arc<StrVec>>) -> LargeStringArray {
    let vec = vec.into();
    let (text, offsets) = parts(&vec, StrVec::as_bytes_vec);
    // SAFETY: `parts` returns the offsets and the bytes of the items of a `StrVec`, so each item is
    // UTF-8. Items follow each other without gaps, so the whole is UTF-8, and offsets are between
    // characters.
    unsafe { LargeStringArray::new_unchecked(offsets, text, None) }
}

/// Returns a vector of byte strings as an Arrow array, without a copy.
///
/// Bytes and offsets of the array are those of the vector. What [`primitive_array`] says about the life
/// of the vector holds here too.
///
/// # Examples
///
/// ```
/// let mut blobs = outcore::BytesVec::new();
/// blobs.push([0xFF, 0])?;
/// let array = outcore_arrow::binary_array(blobs);
/// assert_eq!(array.value(0), [0xFF, 0]);
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Cost
///
/// A few small allocations. Neither bytes nor offsets are read.
pub fn binary_array(vec: impl Into<Arc<BytesVec>>) -> LargeBinaryArray {
    let vec = vec.into();
    let (bytes, offsets) = parts(&vec, |vec| vec);
    // SAFETY: `parts` returns offsets that ascend and end within the bytes.
    unsafe { LargeBinaryArray::new_unchecked(offsets, bytes, None) }
}

/// Returns the bytes of all items, and their offsets.
fn parts<O>(owner: &Arc<O>, items: fn(&O) -> &BytesVec) -> (Buffer, OffsetBuffer<i64>)
where
    O: Container,
{
    let bytes = scalars(owner, move |owner| items(owner).as_parts().0).into_inner();
    if items(owner).is_empty() {
        // The vector may have no offsets, where Arrow wants one.
        return (bytes, OffsetBuffer::new_empty());
    }
    let offsets = scalars(owner, move |owner| items(owner).as_parts().1).into_inner();
    let offsets = ScalarBuffer::<i64>::from(offsets);
    // SAFETY: `BytesVec::as_parts` promises offsets that begin with 0, ascend, and end with the
    // length of the bytes. That is the length of a slice, so none passes `i64::MAX`, and each is the
    // same number as `i64`. There are at least two, as the vector is not empty.
    let offsets = unsafe { OffsetBuffer::new_unchecked(offsets) };
    (bytes, offsets)
}

/// A container that lends slices of numbers.
///
/// # Safety
///
/// 1. A slice that `&self` lends stays valid and unchanged until `self` is changed through `&mut self`,
///    moved, or dropped. No call through `&self` ends it, whatever thread makes it.
unsafe trait Container: Send + Sync + 'static {}

// SAFETY: it lends its elements as `Vec` does. `&self` changes which pages are in memory, and no byte
// of them. The elements are numbers without interior mutability.
unsafe impl<T: ArrowNativeType> Container for DiskVec<T> {}
// SAFETY: it lends the elements of its two `DiskVec`s.
unsafe impl Container for BytesVec {}
// SAFETY: as above.
unsafe impl Container for StrVec {}

/// Returns the numbers that a container lends as a buffer that keeps the container alive.
fn scalars<O: Container, T: ArrowNativeType>(
    owner: &Arc<O>,
    lend: impl FnOnce(&O) -> &[T],
) -> ScalarBuffer<T> {
    let numbers = lend(owner);
    let first = NonNull::from(numbers).cast::<u8>();
    // SAFETY: the bytes are those of a slice of numbers without padding, so they are initialized.
    // They stay valid and unchanged as long as the buffer exists: it has an `Arc` of the container, so
    // there is no `&mut` to the container, and it is neither moved nor dropped (duty 1 of
    // `Container`). The bytes of a custom allocation are never written to or freed by a buffer.
    let buffer = unsafe {
        Buffer::from_custom_allocation(
            first,
            size_of_val(numbers),
            Arc::new(Keep(Arc::clone(owner))),
        )
    };
    ScalarBuffer::from(buffer)
}

/// Keeps a container alive for a buffer, and is good for nothing else.
struct Keep<O>(#[expect(dead_code, reason = "its drop is its use")] Arc<O>);

// Nothing is read through it, so a panic leaves nothing that could be seen.
impl<O> RefUnwindSafe for Keep<O> {}
