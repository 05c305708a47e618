//! Peers as stores: each written down once, and measured in every workload of stores.

mod by_hand;
#[cfg(feature = "stores")]
mod fjall;
#[cfg(feature = "stores")]
mod folder;
#[cfg(feature = "stores")]
mod lmdb;
mod packed;
#[cfg(feature = "stores")]
mod redb;
mod vectors;

use outcore_bench::scenario::store::Row;

/// The row of farena, with its default buffer.
pub(crate) const FARENA: &str = "farena";

/// Returns all peers.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = packed::rows();
    rows.extend(by_hand::rows());
    #[cfg(feature = "stores")]
    {
        rows.extend(redb::rows());
        rows.extend(lmdb::rows());
        rows.extend(fjall::rows());
    }
    rows.extend(vectors::rows());
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::time::Duration;

    use outcore_bench::scenario::store::{Items, Job};

    /// mmap-vec makes a slice of a null pointer when it is empty, and the checks of a debug
    /// build end the process.
    const ONLY_IN_RELEASE: &[&str] = &["mmap_vec"];

    #[test]
    fn every_store_comes_to_the_expected_checksum() {
        for row in rows() {
            if cfg!(debug_assertions) && ONLY_IN_RELEASE.contains(&row.name) {
                continue;
            }
            let job = Job {
                dir: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
                items: Items::mixed(1),
                count: 2000,
                threads: row.threads_max.min(2),
                is_vector: row.is_vector,
                reads: 50,
                cold_reads: if row.is_vector { 0 } else { 50 },
                time: Duration::from_secs(5),
                watches: false,
                disk_bytes: None,
            };
            let sample = row.run(&job).unwrap();
            assert_eq!(sample.checksum, job.expected(), "{}", row.name);
        }
    }
}
