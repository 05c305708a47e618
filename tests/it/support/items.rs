//! Items whose bytes follow from a number, so that one item is never taken for another.

pub(crate) use testkit::{assert_bytes, assert_item, item};

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
