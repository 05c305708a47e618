//! Items of an arena as Arrow arrays: gathered, with one copy of their bytes.

use arrow_array::{LargeBinaryArray, LargeStringArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use outcore::{Arena, Location};

use crate::error::{Error, Result};

/// Returns the items of an arena at `locations`, in their order, as an Arrow array.
///
/// Items are anywhere in the files of the arena, so their bytes are copied, once, into memory. For more
/// items than fit there, stream a [`Table`](crate::Table) with
/// [`Column::items`](crate::Column::items).
///
/// # Examples
///
/// ```
/// let arena = outcore::Arena::new()?;
/// let mut writer = arena.writer()?;
/// let locations = [writer.push("one")?, writer.push([0xFF])?];
/// writer.finish()?;
/// let array = outcore_arrow::items_array(&arena, &locations)?;
/// assert_eq!((array.value(0), array.value(1)), (&b"one"[..], &[0xFF][..]));
/// # Ok::<(), outcore_arrow::Error>(())
/// ```
///
/// # Errors
///
/// * [`Error::Storage`]: those of [`Arena::get_many`].
/// * [`Error::OutOfMemory`]: there is no memory for the bytes of all items.
/// * [`Error::Arrow`]: Arrow refuses the array.
///
/// # Cost
///
/// One [`Arena::get_many`], two allocations, and one copy of the bytes.
pub fn items_array(arena: &Arena, locations: &[Location]) -> Result<LargeBinaryArray> {
    let (offsets, bytes) = gather(arena, locations)?;
    Ok(LargeBinaryArray::try_new(offsets, bytes, None)?)
}

/// Returns the items of an arena at `locations`, which are text, as an Arrow array.
///
/// # Errors
///
/// Those of [`items_array`], and [`Error::InvalidUtf8`] if an item is not UTF-8.
///
/// # Cost
///
/// That of [`items_array`], and a check of the bytes.
pub fn text_items_array(arena: &Arena, locations: &[Location]) -> Result<LargeStringArray> {
    let (offsets, bytes) = gather(arena, locations)?;
    let array = LargeStringArray::try_new(offsets.clone(), bytes.clone(), None);
    array.map_err(|refused| match first_that_is_no_text(&offsets, &bytes) {
        Some(item) => Error::InvalidUtf8 { item },
        None => refused.into(),
    })
}

/// Returns the offsets and the bytes of items.
fn gather(arena: &Arena, locations: &[Location]) -> Result<(OffsetBuffer<i64>, Buffer)> {
    let no_memory = |bytes: u64| Error::OutOfMemory { bytes };
    // No memory is taken for items that cannot be there.
    let bytes_max = arena.len_bytes();
    let is_too_long = |location: &&Location| u64::from(location.len()) > bytes_max;
    if let Some(location) = locations.iter().find(is_too_long) {
        arena.get_into(*location, &mut Vec::new())?;
    }
    let lens = || locations.iter().map(|location| u64::from(location.len()));
    let all = lens().fold(0, u64::saturating_add);
    let len = usize::try_from(all).map_err(|_long| no_memory(all))?;
    let mut bytes: Vec<u8> = Vec::new();
    bytes
        .try_reserve_exact(len)
        .map_err(|_full| no_memory(all))?;
    bytes.resize(len, 0);
    let mut offsets: Vec<i64> = Vec::new();
    let count = locations.len().saturating_add(1);
    let reserved = offsets.try_reserve_exact(count);
    reserved.map_err(|_full| no_memory((count as u64).saturating_mul(8)))?;
    let mut end = 0_i64;
    offsets.push(end);
    for location in locations {
        // Their sum is the length of `bytes`, so it is exact.
        end = end.saturating_add(i64::from(location.len()));
        offsets.push(end);
    }
    arena.get_many(locations, |item, found| {
        if let Some(target) = part(&offsets, item).and_then(|part| bytes.get_mut(part)) {
            // `get_many` delivers as many bytes as the location says.
            target.copy_from_slice(found);
        }
    })?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok((offsets, Buffer::from_vec(bytes)))
}

/// Returns where an item is in the bytes.
fn part(offsets: &[i64], item: usize) -> Option<std::ops::Range<usize>> {
    let [start, end] = *offsets.get(item..)?.first_chunk()?;
    Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

#[cold]
fn first_that_is_no_text(offsets: &[i64], bytes: &[u8]) -> Option<usize> {
    (0..offsets.len()).find(|item| {
        let item = part(offsets, *item).and_then(|part| bytes.get(part));
        item.is_some_and(|item| std::str::from_utf8(item).is_err())
    })
}
