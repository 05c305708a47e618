//! `cargo +nightly fuzz run group_ops`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::group_ops(data));
