//! The program `outcore`; everything it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    outcore_cli::main()
}
