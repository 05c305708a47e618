//! The program of `spill_before.rs` with the two lines that put its large blocks on disk.

use outcore::SpillAlloc;

#[global_allocator]
static GLOBAL: SpillAlloc = SpillAlloc::new(1 << 20);

// The program as it was.
#[path = "spill_before.rs"]
mod program;

fn main() {
    program::main();
}
