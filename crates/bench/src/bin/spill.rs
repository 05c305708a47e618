//! The ordinary program of [`outcore_bench::ordinary`] under `SpillAlloc`, to which nothing of it
//! is big enough to spill.

use std::process::ExitCode;

use outcore::SpillAlloc;

#[global_allocator]
static GLOBAL: SpillAlloc = SpillAlloc::new(64 << 20);

fn main() -> ExitCode {
    let ended = outcore_bench::ordinary::main();
    assert_eq!(GLOBAL.peak_bytes(), 0, "nothing should have been spilled");
    ended
}
