//! The peers: each written down once, and measured in every workload that it can do.

mod by_hand;
mod farena;
#[cfg(feature = "stores")]
mod fjall;
#[cfg(feature = "stores")]
mod folder;
#[cfg(feature = "stores")]
mod lmdb;
mod mmap_vec;
#[cfg(feature = "nightly")]
mod nightly;
mod ranged;
#[cfg(feature = "stores")]
mod redb;
#[cfg(feature = "sorts")]
mod sorts;
mod swapvec;
#[cfg(feature = "stores")]
mod vecdb;

use outcore_bench::scenario::{Peers, strings};

/// Returns all peers, by the work that they do.
pub(crate) fn all() -> Peers {
    let mut store = farena::stores();
    store.extend(by_hand::stores());
    #[cfg(feature = "stores")]
    {
        store.extend(redb::stores());
        store.extend(lmdb::stores());
        store.push(fjall::store());
    }
    store.push(mmap_vec::store());
    #[cfg(feature = "stores")]
    store.push(vecdb::store());
    Peers {
        get: vec![farena::getters, by_hand::getters],
        vec_push: vec![mmap_vec::pusher()],
        vec_collect: vec![swapvec::collector(), mmap_vec::collector()],
        vec_sum: vec![mmap_vec::sums],
        vec_update: vec![by_hand::updates, mmap_vec::updates],
        store,
        fill: ranged::fillers().into(),
        overwrite: vec![ranged::overwriters],
        allocate: vec![ranged::allocators],
        #[cfg(feature = "nightly")]
        alloc_push: nightly::pushers().into(),
        #[cfg(not(feature = "nightly"))]
        alloc_push: Vec::new(),
        #[cfg(feature = "sorts")]
        external: sorts::all(),
        #[cfg(not(feature = "sorts"))]
        external: Default::default(),
        strings: strings::Others {
            #[cfg(feature = "sorts")]
            sort: sorts::strings(),
            #[cfg(not(feature = "sorts"))]
            sort: Vec::new(),
            spool: vec![swapvec::spool()],
        },
        past: vec![farena::past(), mmap_vec::past(), ranged::past()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outcore_bench::scenario::check_all;

    /// mmap-vec makes a slice of a null pointer when it is empty, and the checks of a debug build
    /// end the process.
    fn is_left_out(name: &str) -> bool {
        let is_mmap_vec = cfg!(debug_assertions) && name == "mmap_vec";
        // The test of the other crate runs these.
        let own = ["outcore", "raw_", "direct_", "pwrite_", "system"];
        let is_own = own.iter().any(|prefix| name.starts_with(prefix));
        is_mmap_vec || (is_own && name != "outcore_nightly")
    }

    /// The number of candidates depends on the features: a fixed one failed in the build that has
    /// the rows of the nightly compiler alone.
    #[test]
    fn every_candidate_returns_the_expected_checksum() {
        let measured = check_all(&all(), is_left_out);
        let mut expected = vec!["farena", "ranged_mmap", "swapvec"];
        #[cfg(feature = "nightly")]
        expected.push("diskallocator");
        #[cfg(feature = "sorts")]
        expected.extend(["ext_sort", "extsort", "spillsort"]);
        #[cfg(feature = "stores")]
        expected.extend(["fjall", "lmdb", "redb", "vecdb"]);
        for peer in expected {
            let is_there = measured.iter().any(|name| name.starts_with(peer));
            assert!(is_there, "no row of {peer}: {measured:?}");
        }
    }
}
