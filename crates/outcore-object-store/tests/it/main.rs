//! Sealed files read from a store that counts requests, and fails on demand.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "for tests: an overflow or an error is a failed test"
)]

mod cached;
mod failures;
mod reads;
mod s3;
mod unsteady;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use outcore::{DiskVec, ScratchDir};
use outcore_object_store::{Options, Store};

use crate::unsteady::Unsteady;

/// The path of a new file, which its drop removes.
struct TempFile(PathBuf);

impl TempFile {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "object-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Relaxed)
        );
        Self(ScratchDir::from_env().unwrap().path().join(name))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// Options without pauses.
fn hasty() -> Options {
    Options::new().retries(5, Duration::ZERO)
}

/// Makes a store over one that fails on demand.
fn store_with(options: Options) -> (Store, Arc<Unsteady>) {
    let unsteady = Arc::new(Unsteady::default());
    let store = Store::with_options(Arc::<Unsteady>::clone(&unsteady), options).unwrap();
    (store, unsteady)
}

/// Returns whether elements of the squares are right.
fn are_squares(found: &[u64], wanted: &[usize]) -> bool {
    let expected = wanted.iter().map(|n| (n * n) as u64);
    found.iter().copied().eq(expected)
}

/// Puts the squares of `0..len` into a store.
fn put_squares(store: &Store, len: u64, path: &str) {
    put(store, (0..len).map(|n| n * n), path);
}

/// Puts `0..len` into a store.
fn put_numbers(store: &Store, len: u64, path: &str) {
    put(store, 0..len, path);
}

fn put(store: &Store, elements: impl Iterator<Item = u64>, path: &str) {
    let mut vec = DiskVec::new();
    vec.try_extend(elements).unwrap();
    let file = TempFile::new();
    vec.seal(&file.0).unwrap();
    store.upload(&file.0, path).unwrap();
}

/// Returns a directory with an account of its own.
fn dir(quota_bytes: u64) -> ScratchDir {
    let path = ScratchDir::from_env().unwrap().path().to_owned();
    ScratchDir::builder(path)
        .quota_bytes(quota_bytes)
        .build()
        .unwrap()
}
