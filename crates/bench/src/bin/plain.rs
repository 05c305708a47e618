//! The ordinary program of [`outcore_bench::ordinary`] with the system's allocator.

use std::process::ExitCode;

fn main() -> ExitCode {
    outcore_bench::ordinary::main()
}
