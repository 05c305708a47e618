//! The handle of an item: twelve bytes that name the arena, the position and the length.

use std::fmt;

/// The position of an item in an [`Arena`](crate::Arena), and its length.
///
/// Plain data of twelve bytes: copy it, sort it (in the order of the file), hash it, keep millions
/// of them in a tree, or store them as bytes. A location does not keep the arena alive, and the
/// arena checks every location that it is given.
///
/// # Examples
///
/// ```
/// use outcore::{Arena, Location};
///
/// let arena = Arena::new()?;
/// let mut writer = arena.writer()?;
/// let location = writer.push("item")?;
/// writer.flush()?;
/// assert_eq!(location.len(), 4);
/// assert_eq!(arena.get(Location::from_bytes(location.to_bytes()))?, b"item");
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Memory layout
///
/// Three `u32`: the arena's tag (16 bits) and the upper 16 bits of the position, the lower 32 bits
/// of the position, the length. The upper 4 of the 48 bits of the position choose one of the
/// arena's files; the others are the offset in it in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
#[cfg_attr(feature = "bytemuck", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Location {
    /// Tag and upper position first, so that the derived order is that of the files.
    tag_and_upper: u32,
    lower: u32,
    len: u32,
}

const _: () = assert!(size_of::<Location>() == 12);

/// Bits of a position that are the offset in a file: 16 TiB, the longest file of ext4.
pub(crate) const OFFSET_BITS: u32 = 44;

/// Bits of a position.
pub(crate) const POSITION_BITS: u32 = 48;

impl Location {
    /// Builds a location; `position` has [`POSITION_BITS`].
    pub(crate) fn new(tag: u16, position: u64, len: u32) -> Self {
        debug_assert!(position >> POSITION_BITS == 0);
        let [b0, b1, b2, b3, b4, b5, _, _] = position.to_le_bytes();
        let [t0, t1] = tag.to_le_bytes();
        Self {
            tag_and_upper: u32::from_le_bytes([b4, b5, t0, t1]),
            lower: u32::from_le_bytes([b0, b1, b2, b3]),
            len,
        }
    }

    /// Returns the length of the item in bytes.
    pub fn len(self) -> u32 {
        self.len
    }

    /// Returns whether the item has no bytes.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Returns the arena's tag; 0 for the default location, which belongs to no arena.
    pub(crate) fn tag(self) -> u16 {
        let [_, _, t0, t1] = self.tag_and_upper.to_le_bytes();
        u16::from_le_bytes([t0, t1])
    }

    /// Returns the number of the arena's file that has the item.
    pub(crate) fn file(self) -> usize {
        let [_, upper, ..] = self.tag_and_upper.to_le_bytes();
        usize::from(upper >> 4)
    }

    /// Returns the [`POSITION_BITS`] that consist of the file and the offset in it.
    pub(crate) fn position(self) -> u64 {
        let [upper0, upper1, ..] = self.tag_and_upper.to_le_bytes();
        let upper = u16::from_le_bytes([upper0, upper1]);
        (u64::from(upper) << 32) | u64::from(self.lower)
    }

    /// Returns the offset of the item in its file, in bytes.
    pub(crate) fn offset(self) -> u64 {
        let [upper0, upper1, ..] = self.tag_and_upper.to_le_bytes();
        let upper = u16::from_le_bytes([upper0, upper1 & 0x0F]);
        (u64::from(upper) << 32) | u64::from(self.lower)
    }

    /// Returns the twelve bytes of this location, the same on every machine.
    pub fn to_bytes(self) -> [u8; 12] {
        let [a, b, c] = [self.tag_and_upper, self.lower, self.len].map(u32::to_le_bytes);
        let mut bytes = [0; 12];
        for (target, source) in bytes.chunks_exact_mut(4).zip([a, b, c]) {
            target.copy_from_slice(&source);
        }
        bytes
    }

    /// Returns the location that [`to_bytes`](Self::to_bytes) turned into bytes.
    ///
    /// Any bytes are accepted: an arena refuses locations of other arenas as far as it can tell,
    /// and never reads outside of what was pushed to it.
    pub fn from_bytes(bytes: [u8; 12]) -> Self {
        let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] = bytes;
        Self {
            tag_and_upper: u32::from_le_bytes([a0, a1, a2, a3]),
            lower: u32::from_le_bytes([b0, b1, b2, b3]),
            len: u32::from_le_bytes([c0, c1, c2, c3]),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Location")
            .field("arena", &self.tag())
            .field("file", &self.file())
            .field("offset", &self.offset())
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl From<Location> for [u8; 12] {
    fn from(location: Location) -> Self {
        location.to_bytes()
    }
}

impl From<[u8; 12]> for Location {
    fn from(bytes: [u8; 12]) -> Self {
        Self::from_bytes(bytes)
    }
}

/// As the twelve bytes of [`Location::to_bytes`].
#[cfg(feature = "serde")]
impl serde::Serialize for Location {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_bytes().serialize(serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Location {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 12]>::deserialize(deserializer).map(Self::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_comes_back_at_its_extremes() {
        for tag in [0, 1, u16::MAX] {
            for file in [0, 1, 15] {
                for offset in [0, 1, u64::from(u32::MAX), 1 << 32, (1 << OFFSET_BITS) - 1] {
                    for len in [0, 1, u32::MAX] {
                        let position = (file << OFFSET_BITS) | offset;
                        let location = Location::new(tag, position, len);
                        assert_eq!(location.tag(), tag);
                        assert_eq!(location.file() as u64, file);
                        assert_eq!(location.offset(), offset);
                        assert_eq!(location.position(), position);
                        assert_eq!((location.len(), location.is_empty()), (len, len == 0));
                        assert_eq!(Location::from_bytes(location.to_bytes()), location);
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_are_made_and_taken_by_conversion_too() {
        let location = Location::new(7, (3 << OFFSET_BITS) | 5, 9);
        let bytes: [u8; 12] = location.into();
        assert_eq!(bytes, location.to_bytes());
        assert_eq!(Location::from(bytes), location);
    }

    #[test]
    fn a_location_that_is_printed_says_where_it_leads() {
        let location = Location::new(7, (3 << OFFSET_BITS) | 5, 9);
        let shown = "Location { arena: 7, file: 3, offset: 5, len: 9, .. }";
        assert_eq!(format!("{location:?}"), shown);
    }

    #[test]
    fn the_order_is_that_of_the_files() {
        let at = |position| Location::new(7, position, 9);
        let positions = [0, 1, u64::from(u32::MAX), 1 << 32, 1 << OFFSET_BITS];
        assert!(positions.map(at).is_sorted());
        assert!(at(5) < Location::new(7, 5, 10));
    }

    #[test]
    fn the_default_is_empty_and_of_no_arena() {
        assert!(Location::default().is_empty());
        assert_eq!(Location::default().tag(), 0);
    }
}
