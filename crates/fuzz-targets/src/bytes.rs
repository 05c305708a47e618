//! Decisions that are read from bytes, and bytes that a number determines.

/// Bytes that determine decisions. Zeros follow the last one.
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the remaining bytes.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Returns a number below `bound`; 0 if that is 0. Uses as few bytes as possible.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let number = match bound {
            0..=1 => return 0,
            2..=0x100 => usize::from(self.byte()),
            0x101..=0x1_0000 => usize::from(u16::from_le_bytes(self.array())),
            _ => usize::try_from(u32::from_le_bytes(self.array())).unwrap(),
        };
        number % bound
    }

    /// Returns a length: short, or of two bytes, or any.
    pub(crate) fn len(&mut self, longest: usize) -> usize {
        let len = match self.byte() {
            short @ 0..160 => usize::from(short),
            160..230 => self.below(0x1_0000),
            _ => self.below(longest.saturating_add(1)),
        };
        len.min(longest)
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Returns `len` bytes that no other `id` has.
pub(crate) fn item(id: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(&mut bytes, id);
    bytes
}

/// Fills `bytes` with those of [`item`].
pub(crate) fn fill(bytes: &mut [u8], id: u64) {
    for (part, number) in bytes.chunks_mut(8).zip(1_u64..) {
        part.copy_from_slice(&word(id, number).to_le_bytes()[..part.len()]);
    }
}

/// Returns whether `bytes` are those of [`item`].
pub(crate) fn is_item(bytes: &[u8], id: u64) -> bool {
    let mut parts = bytes.chunks(8).zip(1_u64..);
    parts.all(|(part, number)| *part == word(id, number).to_le_bytes()[..part.len()])
}

/// Never zero, so that unwritten bytes are detected.
fn word(id: u64, number: u64) -> u64 {
    let mixed =
        (id + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    mixed | 0x0101_0101_0101_0101
}
