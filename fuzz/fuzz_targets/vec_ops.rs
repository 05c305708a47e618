//! `cargo +nightly fuzz run vec_ops`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::vec_ops(data));
