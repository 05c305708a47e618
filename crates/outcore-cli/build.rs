//! Takes symbols out of the program in release builds, which makes it a fifth as large.
//!
//! The profile is one for all of the workspace, and campaigns and benchmarks need its line tables.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var_os(name).is_some_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo::rustc-link-arg-bins=-s");
    }
}
