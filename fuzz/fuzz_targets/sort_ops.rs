//! `cargo +nightly fuzz run sort_ops`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::sort_ops(data));
