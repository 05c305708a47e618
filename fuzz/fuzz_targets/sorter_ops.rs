//! `cargo +nightly fuzz run sorter_ops`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::sorter_ops(data));
