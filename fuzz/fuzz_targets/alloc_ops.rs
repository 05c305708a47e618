//! `cargo +nightly fuzz run alloc_ops`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::alloc_ops(data));
