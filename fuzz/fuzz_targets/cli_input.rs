//! `cargo +nightly fuzz run cli_input`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::cli_input(data));
