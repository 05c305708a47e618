//! `cargo +nightly fuzz run ranged_ops`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::ranged_ops(data));
