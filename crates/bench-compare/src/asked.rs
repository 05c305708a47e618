//! What was asked of each part of the library. Where a workload has a goal, its words are
//! made of the goal; these stand in for those that are not there yet.

use outcore_bench::goals::Section;

pub(crate) const SECTIONS: &[Section] = &[
    Section {
        title: "Arena",
        prefixes: &["push_256/", "get_512/"],
        asked: &[],
    },
    Section {
        title: "DiskVec",
        prefixes: &[
            "push_u64",
            "sum_u64/",
            "scan_u64/",
            "random_64/",
            "update_u64/",
        ],
        asked: &[],
    },
    Section {
        title: "DiskAlloc and SpillAlloc",
        prefixes: &[
            "alloc_",
            "spill",
            "hashbrown",
            "small_blocks",
            "malloc",
            "push_alloc",
        ],
        asked: &[
            "push of 1 GiB of u64: at most 1.2 x time of std's Vec, no slower than diskallocator",
            "hashbrown, 20 million pairs: at most 1.5 x time of the system's allocator",
            "blocks of 16 to 512 bytes: at most 2 x time of malloc, 3 x with 2 threads",
            "a program that never spills: at most 1.02 x its time without SpillAlloc",
            "growth of a 4 GiB vector: at most 50 ms in total",
        ],
    },
    Section {
        title: "RangeFile",
        prefixes: &["fill_", "overwrite_", "allocate_"],
        asked: &[
            "2 threads, fresh 4 GiB, 64 KiB and 1 MiB: 1.2 x ranged-mmap, 0.9 x raw",
            "ranges of 4 KiB: no slower than either",
            "warm overwrites of 4 KiB: no slower than ranged-mmap, 3 x pwrite",
            "allocate with 1 to 8 threads: at most 1.1 x time of fetch_add",
        ],
    },
    Section {
        title: "Cold reads",
        prefixes: &["get_many", "gather", "cold"],
        asked: &[
            "get_many of 512 bytes: 4 x farena's loop, 0.9 x raw io_uring at its best depth",
            "by the thread pool: 0.8 x that",
            "warm: no slower than the loop of get_into, 1.3 x with joined neighbours",
            "single cold get: at most 1.05 x time of raw pread",
            "gather: 4 x indexing with Advice::Random",
            "at most 16 MiB of buffers whatever the batch",
        ],
    },
    Section {
        title: "outcore dedup",
        prefixes: &["dedup"],
        asked: &[
            "memory to spare: 0.9 x the fastest of awk, huniq, sort -u; 1.5 x with 2 cores",
            "512 MiB, 8 GiB of input: 4 x sort -u; at most 3 x reading twice and writing once",
        ],
    },
];
