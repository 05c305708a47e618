//! `cargo +nightly fuzz run arena_ops`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::arena_ops(data));
