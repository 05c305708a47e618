//! What is stored of a record with its key: nothing, or what counts and checks need.

/// Where a record is: its chunk, and its number in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

/// Bits for the number in the chunk.
const INDEX_BITS: u32 = 20;

/// No chunk has more records.
pub(crate) const CHUNK_RECORDS_MAX: usize = 1 << INDEX_BITS;

impl Place {
    /// Stands for records that were counted and dropped already.
    pub(crate) const NONE: Self = Self(u64::MAX);

    pub(crate) fn new(chunk: u64, index: usize) -> Self {
        debug_assert!(index < CHUNK_RECORDS_MAX);
        Self(chunk << INDEX_BITS | index as u64)
    }

    pub(crate) fn chunk(self) -> u64 {
        self.0 >> INDEX_BITS
    }

    pub(crate) fn index(self) -> usize {
        (self.0 & ((1 << INDEX_BITS) - 1)) as usize
    }

    pub(crate) fn word(self) -> u64 {
        self.0
    }

    pub(crate) fn from_word(word: u64) -> Self {
        Self(word)
    }
}

/// What an index stores with each key. The plain kind stores nothing, and costs nothing.
pub(crate) trait Known: Copy + Default + Send + std::fmt::Debug + 'static {
    /// Whether there is more than the key.
    const RICH: bool;

    /// Describes a record seen for the first time.
    fn first(place: Place, offset: u64) -> Self;

    /// Adds the records that another value stands for.
    fn add(&mut self, other: Self);

    /// Returns for how many records it stands.
    fn count(self) -> u64;

    /// Makes it stand for that many.
    fn set_count(&mut self, count: u64);

    /// Returns where the first of them is.
    fn place(self) -> Place;

    /// Returns where the first of them is in the input.
    fn offset(self) -> u64;

    /// Makes it stand for records that are dropped.
    fn dropped(self) -> Self;
}

impl Known for () {
    const RICH: bool = false;

    fn first(_: Place, _: u64) -> Self {}
    fn add(&mut self, (): Self) {}

    fn count(self) -> u64 {
        1
    }

    fn set_count(&mut self, _: u64) {}

    fn place(self) -> Place {
        Place::NONE
    }

    fn offset(self) -> u64 {
        0
    }

    fn dropped(self) -> Self {}
}

/// For `--count` and `--verify`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rich {
    pub(crate) place: Place,
    pub(crate) offset: u64,
    pub(crate) count: u64,
}

impl Known for Rich {
    const RICH: bool = true;

    fn first(place: Place, offset: u64) -> Self {
        Self {
            place,
            offset,
            count: 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
    }

    fn count(self) -> u64 {
        self.count
    }

    fn set_count(&mut self, count: u64) {
        self.count = count;
    }

    fn place(self) -> Place {
        self.place
    }

    fn offset(self) -> u64 {
        self.offset
    }

    fn dropped(self) -> Self {
        Self {
            place: Place::NONE,
            ..self
        }
    }
}
