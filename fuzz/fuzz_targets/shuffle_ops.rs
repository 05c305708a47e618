//! `cargo +nightly fuzz run shuffle_ops`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::shuffle_ops(data));
