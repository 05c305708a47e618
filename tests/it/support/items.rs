//! Items whose bytes follow from a number, so that one item is never taken for another.

/// Returns `len` bytes that no other `id` has; from eight bytes on they differ from the first.
pub(crate) fn item(id: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    let mut word = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while bytes.len() < len {
        bytes.extend_from_slice(&word.to_le_bytes());
        word = word.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(id);
    }
    bytes.truncate(len);
    bytes
}

/// Panics unless `found` is the item; names the first byte that differs, not all of them.
#[track_caller]
pub(crate) fn assert_item(found: &[u8], id: u64, len: usize, what: &str) {
    let expected = item(id, len);
    assert_bytes(found, &expected, what);
}

/// Panics unless both are equal; names the first byte that differs, not all of them.
#[track_caller]
pub(crate) fn assert_bytes(found: &[u8], expected: &[u8], what: &str) {
    if found == expected {
        return;
    }
    let differs = found.iter().zip(expected).position(|(a, b)| a != b);
    panic!(
        "{what}: {} bytes instead of {}, the first difference at {differs:?}",
        found.len(),
        expected.len()
    );
}

/// Numbers around which something changes: nothing, the writer's buffer, several buffers.
pub(crate) const EDGES: [usize; 9] = [
    0,
    1,
    4096,
    BUFFER - 1,
    BUFFER,
    BUFFER + 1,
    2 * BUFFER - 1,
    2 * BUFFER,
    2 * BUFFER + 1,
];

/// Bytes of a writer's buffer, and of the blocks of which files are made.
pub(crate) const BUFFER: usize = 256 << 10;
