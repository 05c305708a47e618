//! The tables and pictures of the documents: which rows of which workloads they show.

use outcore_bench::documents::{Block, Line};

/// The pictures of the README.
pub(crate) const SHOWN: &[&str] = &["past-limit", "reads-by-depth", "throughput"];

const fn line(
    what: &'static str,
    workload: &'static str,
    own: &'static str,
    beside: &'static [(&'static str, &'static str)],
) -> Line {
    Line {
        what,
        workload,
        metric: None,
        own,
        beside,
    }
}

const fn metric(line: Line, metric: &'static str) -> Line {
    Line {
        metric: Some(metric),
        ..line
    }
}

const RAW_PUSH: &str = "raw_pwrite_1MiB_prealloc";
const PUSH_PEERS: &[(&str, &str)] = &[
    (RAW_PUSH, "raw `pwrite` into claimed blocks"),
    (
        "raw_pwrite_1MiB_with_fallocate",
        "the same with the claim timed",
    ),
    ("farena", "farena"),
    ("farena_1MiB_buffer", "farena with a buffer of 1 MiB"),
    ("std_bufwriter", "`BufWriter`"),
];
const RESERVED: Line = line(
    "the same by a writer that has reserved its space",
    "push_256/*",
    "outcore_reserved",
    &[(RAW_PUSH, "raw `pwrite`"), ("farena", "farena")],
);
const VEC_PEERS: &[(&str, &str)] = &[("std_vec", "`Vec`"), ("mmap_vec", "mmap-vec")];
const COLD: &str = "get_many_512/*/limit_*/cold/read_ahead_128";
const RANDOM: &str = "random_64/*/limit_*/cold/read_ahead_128";
const RANDOM_8192: &str = "random_64/*/limit_*/cold/read_ahead_8192";
const FILL_PEERS: &[(&str, &str)] = &[
    ("raw_pwrite_prealloc", "raw `pwrite`"),
    ("ranged_mmap", "ranged-mmap"),
    ("std_file_mutex", "`File` with a lock"),
    ("tokio_fs_mutex", "`tokio::fs` with a lock"),
];
const STORES: &[(&str, &str)] = &[
    ("farena", "farena"),
    ("memmap2", "memmap2 by hand"),
    ("redb_cache_16MiB", "redb with a cache of 16 MiB"),
    ("lmdb", "lmdb"),
    ("fjall", "fjall"),
];
const LIMITED: &str = "past_limit_512/4x/limit_*";
const LIMITED_VEC: &str = "past_limit_u64/4x/limit_*";
const SYSTEM: &[(&str, &str)] = &[("system", "the system's allocator")];
const FETCH_ADD: &[(&str, &str)] = &[("fetch_add", "`fetch_add`"), ("ranged_mmap", "ranged-mmap")];

const PUSH: Line = line("push of `u64`", "push_u64/*", "outcore", VEC_PEERS);
const PUSH_LIMITED: Line = line(
    "push of `u64`, 16 times the memory",
    "push_u64/*/limit_*",
    "outcore",
    VEC_PEERS,
);
const UPDATE: Line = line(
    "8 bytes updated at random, synced: bytes at the device",
    "update_u64/*/cold/synced",
    "outcore_random",
    &[("raw_pwrite_8B", "`pwrite`"), ("mmap_vec", "mmap-vec")],
);
const MANY: Line = line(
    "512 bytes at random, not in memory, many in a call",
    COLD,
    "outcore_get_many",
    &[
        ("raw_ring_direct_128", "raw io_uring, 128 at a time"),
        ("farena_get_into", "farena one by one"),
    ],
);

/// The tables, by the names in their marks.
pub(crate) const BLOCKS: &[Block] = &[
    Block {
        name: "table",
        with_gaps: false,
        lines: &[
            line(
                "items of 256 bytes pushed into an arena",
                "push_256/*",
                "outcore",
                &[
                    ("raw_pwrite_1MiB_prealloc", "raw `pwrite`"),
                    ("farena", "farena"),
                ],
            ),
            RESERVED,
            PUSH,
            PUSH_LIMITED,
            MANY,
            UPDATE,
            line(
                "a fresh file filled by 2 threads, 64 KiB at a time",
                "fill_64KiB/*/2_threads",
                "outcore",
                FILL_PEERS,
            ),
            line(
                "a hash map in a small memory group, a pair",
                "alloc_map_u64/20000000/limit_*",
                "outcore",
                SYSTEM,
            ),
        ],
    },
    Block {
        name: "arena",
        with_gaps: true,
        lines: &[
            line("one writer", "push_256/*", "outcore", PUSH_PEERS),
            RESERVED,
            line(
                "two writers on two threads",
                "push_256/*",
                "outcore_2_writers",
                &[
                    ("outcore", "one writer"),
                    (
                        "raw_2_threads_1_file",
                        "raw `pwrite` by two threads, one file",
                    ),
                    ("raw_2_threads_2_files", "two files"),
                    ("farena_2_writers", "farena"),
                ],
            ),
            metric(
                line(
                    "resident growth of a writer",
                    "push_256/*",
                    "outcore",
                    &[("farena", "farena")],
                ),
                "peak_above_start",
            ),
            line(
                "one writer, 16 times the memory",
                "push_256/*/limit_*",
                "outcore",
                &[(RAW_PUSH, "raw `pwrite`"), ("farena", "farena")],
            ),
        ],
    },
    Block {
        name: "reading",
        with_gaps: true,
        lines: &[
            line(
                "`Arena::get_into`",
                "get_512/*/warm",
                "outcore_get_into",
                &[("raw_pread", "raw `pread`"), ("farena_get_into", "farena")],
            ),
            line(
                "`ArenaMap::get`",
                "get_512/*/warm",
                "outcore_map_get",
                &[
                    ("memmap2", "memmap2 by hand"),
                    ("farena_get_into", "farena"),
                ],
            ),
            line(
                "`Arena::get_many`, 1,024 in a call",
                "get_many_512/random/*/warm",
                "outcore_get_many",
                &[
                    ("outcore_get_into", "`get_into`"),
                    ("farena_get_into", "farena"),
                ],
            ),
            line(
                "the same, neighbours in any order",
                "get_many_512/dense/*/warm",
                "outcore_get_many",
                &[
                    ("outcore_get_into", "`get_into`"),
                    ("farena_get_into", "farena"),
                ],
            ),
        ],
    },
    Block {
        name: "vector",
        with_gaps: true,
        lines: &[
            PUSH,
            metric(
                line(
                    "the same, resident growth",
                    "push_u64/*",
                    "outcore",
                    VEC_PEERS,
                ),
                "peak_above_start",
            ),
            PUSH_LIMITED,
            line(
                "sum of a vector in memory",
                "sum_u64/*/warm",
                "outcore",
                &[
                    ("slice_of_outcore", "a slice of the same memory"),
                    ("std_vec", "`Vec`"),
                ],
            ),
            UPDATE,
            line(
                "`scan`, 16 times the memory, cold",
                "scan_u64/*/limit_*/cold",
                "outcore_scan",
                &[("cat", "`cat` of the same file")],
            ),
            line(
                "64 bytes at random, cold, read-ahead 128 KiB",
                RANDOM,
                "outcore_random",
                &[
                    ("raw_direct_pread_4KiB", "O_DIRECT `pread`"),
                    ("outcore_gather", "`gather`"),
                ],
            ),
            line(
                "the same, read-ahead 8192 KiB",
                RANDOM_8192,
                "outcore_random",
                &[
                    ("raw_direct_pread_4KiB", "O_DIRECT `pread`"),
                    ("outcore_gather", "`gather`"),
                ],
            ),
        ],
    },
    Block {
        name: "cold",
        with_gaps: true,
        lines: &[
            MANY,
            line(
                "the same by threads",
                COLD,
                "outcore_get_many_threads",
                &[("raw_ring_direct_128", "raw io_uring, 128 at a time")],
            ),
            line(
                "the same past the page cache",
                COLD,
                "outcore_get_many_direct",
                &[("raw_ring_direct_128", "raw io_uring, 128 at a time")],
            ),
            line(
                "the same one by one",
                COLD,
                "outcore_get_into",
                &[("farena_get_into", "farena")],
            ),
            line(
                "elements of 64 bytes, many in a call",
                RANDOM,
                "outcore_gather",
                &[("outcore_random", "index with `Advice::Random`")],
            ),
            line(
                "few of the items popular, one by one",
                "zipf_512/*/limit_*/cold/read_ahead_128",
                "outcore_get_into",
                &[
                    ("raw_pread", "raw `pread`"),
                    ("outcore_map_get", "mapped"),
                    ("farena_get_into", "farena"),
                ],
            ),
        ],
    },
    Block {
        name: "stores",
        with_gaps: true,
        lines: &[
            metric(
                line("512 bytes put in", "blobs_512/*", "outcore", STORES),
                "rate",
            ),
            metric(
                line("one of them read, warm", "blobs_512/*", "outcore", STORES),
                "time_per_read",
            ),
            metric(
                line("the same, cold", "blobs_512/*", "outcore", STORES),
                "time_per_cold_read",
            ),
            metric(
                line(
                    "bytes at the device for a byte",
                    "blobs_512/*",
                    "outcore",
                    STORES,
                ),
                "device_bytes_per_byte",
            ),
            metric(
                line(
                    "512 bytes put in, 4 times the memory",
                    LIMITED,
                    "outcore",
                    STORES,
                ),
                "rate",
            ),
            metric(
                line("one of them read", LIMITED, "outcore", STORES),
                "time_per_read",
            ),
            metric(
                line(
                    "`u64` pushed, 4 times the memory",
                    LIMITED_VEC,
                    "outcore_random",
                    &[
                        ("memmap2", "memmap2 by hand"),
                        ("mmap_vec", "mmap-vec"),
                        ("vecdb", "vecdb"),
                    ],
                ),
                "rate",
            ),
            metric(
                line(
                    "one of them read, with `Advice::Random`",
                    LIMITED_VEC,
                    "outcore_random",
                    &[
                        ("memmap2", "memmap2 by hand"),
                        ("mmap_vec", "mmap-vec"),
                        ("vecdb", "vecdb"),
                    ],
                ),
                "time_per_read",
            ),
        ],
    },
    Block {
        name: "allocators",
        with_gaps: true,
        lines: &[
            line(
                "push of `u64` into allocator-api2's vector",
                "alloc_push_u64/*",
                "outcore",
                &[
                    ("std_vec", "`Vec`"),
                    ("system", "the same with the system's allocator"),
                ],
            ),
            line(
                "all growth of that vector",
                "alloc_grow_u64/*",
                "outcore",
                SYSTEM,
            ),
            line(
                "a pair in and out of a hashbrown map",
                "alloc_map_u64/20000000",
                "outcore",
                SYSTEM,
            ),
            line(
                "the same in a memory group",
                "alloc_map_u64/20000000/limit_*",
                "outcore",
                SYSTEM,
            ),
            line(
                "a block of 16 to 512 bytes, taken or freed",
                "alloc_small_16_512/threads_1",
                "outcore",
                SYSTEM,
            ),
            line(
                "the same, 2 threads",
                "alloc_small_16_512/threads_2",
                "outcore",
                SYSTEM,
            ),
            line(
                "a program under `SpillAlloc` that spills nothing",
                "spill_nothing",
                "outcore",
                SYSTEM,
            ),
        ],
    },
    Block {
        name: "ranges",
        with_gaps: true,
        lines: &[
            line(
                "a fresh file filled by 2 threads, 4 KiB at a time, through the slice",
                "fill_4KiB/*/2_threads",
                "outcore_slice",
                FILL_PEERS,
            ),
            line(
                "the same by system calls",
                "fill_4KiB/*/2_threads",
                "outcore",
                FILL_PEERS,
            ),
            line(
                "the same, 64 KiB",
                "fill_64KiB/*/2_threads",
                "outcore",
                FILL_PEERS,
            ),
            line(
                "the same, 1 MiB",
                "fill_1MiB/*/2_threads",
                "outcore",
                FILL_PEERS,
            ),
            line(
                "4 KiB of a file in memory overwritten",
                "overwrite_4KiB/*/warm",
                "outcore",
                &[
                    ("raw_pwrite_4KiB", "`pwrite`"),
                    ("ranged_mmap", "ranged-mmap"),
                    ("memory", "anonymous memory"),
                ],
            ),
            line(
                "a range handed out, 1 thread",
                "allocate_4KiB/1_threads",
                "outcore",
                FETCH_ADD,
            ),
            line(
                "the same, 2 threads",
                "allocate_4KiB/2_threads",
                "outcore",
                FETCH_ADD,
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use outcore_bench::goals;
    use outcore_bench::settings::Settings;

    /// A renamed workload would leave its line empty for ever.
    #[test]
    fn every_line_is_about_a_workload_that_exists() {
        let settings = Settings {
            full: true,
            ..Settings::default()
        };
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workloads = crate::workloads(&settings, dir).unwrap();
        let names: Vec<String> = workloads
            .iter()
            .map(|one| goals::pattern(&one.name))
            .collect();
        for line in BLOCKS.iter().flat_map(|block| block.lines) {
            assert!(
                names.iter().any(|name| name == line.workload),
                "{}",
                line.workload
            );
        }
    }
}
