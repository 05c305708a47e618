//! `cargo +nightly fuzz run strings_ops`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::strings_ops(data));
