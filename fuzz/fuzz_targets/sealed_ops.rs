//! `cargo +nightly fuzz run sealed_ops`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::sealed_ops(data));
