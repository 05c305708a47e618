//! What was asked of each part of the library. Where a workload has a goal, its words are
//! made of the goal; these stand in for those that are not there yet.

use outcore_bench::goals::Section;
use outcore_bench::reasons::Reason;
use outcore_bench::schedule::Guess;

use crate::dedup_record;

/// How the names of workloads begin, the most important first: what the machine can do, what goals
/// are about, what the pictures show, the rest.
pub(crate) const ORDER: &[&str] = &[
    "physical_",
    "push_u64/",
    "push_256/",
    "get_512/",
    "get_many_512/",
    "random_64/",
    "scan_u64/",
    "update_u64/",
    "alloc_",
    "fill_",
    "spill_nothing",
    "allocate_",
    "overwrite_",
    "sum_u64/",
    "reads_by_depth_512/",
    "blobs_512/",
    "past_limit_",
    "append/",
    "disk_full_",
    "zipf_512/",
    "collect_u64/",
    "push_u64_each/",
];

const fn takes(prefix: &'static str, preparing: f64, round: f64) -> Guess {
    Guess {
        prefix,
        preparing,
        round,
    }
}

/// What `--full` takes where no record says it, thought up for a device of a GiB in a second.
pub(crate) const GUESSES: &[Guess] = &[
    takes("physical_memory/", 10.0, 1.0),
    takes("physical_write/", 5.0, 20.0),
    takes("physical_read_in_order/", 8.0, 10.0),
    takes("physical_read_at_random/", 8.0, 5.0),
    takes("physical_calls", 1.0, 1.0),
    takes("push_u64/4GiB", 0.0, 24.0),
    takes("push_u64/", 0.0, 12.0),
    takes("push_u64_each/", 0.0, 120.0),
    takes("push_256/4GiB/limit", 0.0, 20.0),
    takes("push_256/", 0.0, 55.0),
    takes("get_512/", 8.0, 1.5),
    takes("get_many_512/random/4GiB", 20.0, 6.0),
    takes("get_many_512/4GiB", 12.0, 25.0),
    takes("get_many_512/", 5.0, 1.5),
    takes("random_64/", 10.0, 10.0),
    takes("scan_u64/", 8.0, 7.0),
    takes("update_u64/", 8.0, 8.0),
    takes("alloc_map_u64/20000000/limit", 0.0, 1800.0),
    takes("alloc_map_u64/", 0.0, 20.0),
    takes("alloc_push_u64/", 0.0, 22.0),
    takes("alloc_grow_u64/", 0.0, 20.0),
    takes("alloc_small", 0.0, 5.0),
    takes("spill_nothing", 0.0, 2.0),
    takes("fill_4KiB/", 0.0, 70.0),
    takes("fill_", 0.0, 36.0),
    takes("allocate_", 1.0, 1.0),
    takes("overwrite_", 6.0, 2.0),
    takes("sum_u64/", 5.0, 0.7),
    takes("reads_by_depth_512/", 8.0, 20.0),
    takes("blobs_512/", 0.0, 40.0),
    takes("past_limit_", 0.0, 12.0),
    takes("disk_full_", 0.0, 2.0),
    takes("append/", 2.0, 6.0),
    takes("zipf_512/", 10.0, 8.0),
    takes("collect_u64/", 0.0, 20.0),
];

/// What `--quick` leaves out: what differs little from the rest, or takes longer than its runs may.
pub(crate) const NOT_QUICK: &[&str] = &[
    "get_many_512/sorted/",
    "get_many_512/adjacent/",
    "get_many_512/random/256MiB/cold",
    "append/64B/",
    "append/4KiB/",
    "append/mixed/",
    "append/256B/25000KiB/threads_4",
    "fill_1MiB/",
    "allocate_4KiB/4",
    "allocate_4KiB/8",
    "alloc_map_u64/6000000/limit_64MiB",
    "alloc_small_16_512/threads_4",
    "alloc_small_16_512/threads_8",
    "past_limit_u64/1x/",
    "past_limit_512/1x/",
    "zipf_512/256MiB/limit_64MiB/cold/read_ahead_8192",
];

pub(crate) const SECTIONS: &[Section] = &[
    Section {
        title: "Arena",
        prefixes: &["push_256/", "get_512/"],
        asked: &[],
        more: None,
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
        more: None,
    },
    Section {
        title: "DiskAlloc and SpillAlloc",
        prefixes: &["alloc_", "spill"],
        asked: &[],
        more: None,
    },
    Section {
        title: "RangeFile",
        prefixes: &["fill_", "overwrite_", "allocate_"],
        asked: &[],
        more: None,
    },
    Section {
        title: "Cold reads",
        prefixes: &["get_many", "gather", "cold"],
        asked: &[],
        more: None,
    },
    Section {
        title: "outcore dedup",
        prefixes: &["dedup"],
        asked: &[
            "memory to spare: 0.9 x the fastest of awk, huniq, sort -u; 1.5 x with 2 cores",
            "512 MiB, 8 GiB of input: 4 x sort -u; at most 3 x reading twice and writing once",
        ],
        more: Some(dedup_record::lines),
    },
];

/// Why outcore is not the first of some workloads, or misses a goal; the first that fits counts.
/// Whoever makes a row faster, or finds out more, changes it here.
pub(crate) const REASONS: &[Reason] = &[
    Reason {
        workload: "push_256/",
        who: "outcore",
        why: "it waits for claims of blocks, each of which reads the file system's bitmaps behind \
              write-back; the raw loop has claimed all before the clock starts, and a writer that \
              has reserved as much, the row beside, does not wait; farena does not claim, and waits \
              when the kernel does, and a full disk finds it in the middle of a write",
    },
    Reason {
        workload: "push_u64_each/",
        who: "outcore",
        why: "the longest push waits in the kernel, beneath write-back: in a `pwrite` of 1 MiB, or in \
              a claim of file space, whose reads of the file system's block bitmaps queue behind \
              what is written; larger steps make that rarer, and smaller ones did not make it shorter",
    },
    Reason {
        workload: "push_u64/",
        who: "outcore",
        why: "the kernel copies each window into the page cache, which a vector in memory does not",
    },
    Reason {
        workload: "alloc_push_u64/",
        who: "outcore",
        why: "the blocks come in pieces of 2 MiB, which the kernel takes from the longest stretches of \
              free memory; those are what this machine gives back to its host, and to get one again \
              takes the host far longer than clearing it takes; single pages, as those of a vector \
              in memory, come from what was never given back as long as that lasts",
    },
    Reason {
        workload: "spill_nothing",
        who: "outcore",
        why: "one comparison for each request; the same program differs more from run to run",
    },
    Reason {
        workload: "dedup tight",
        who: "outcore",
        why: "lines of 78 bytes take processor time: 32 to 40 s of it on two cores, where the disk \
              alone would need 17 s and `sort` spends 106 s; what two cores can do at best is half \
              of that",
    },
    Reason {
        workload: "alloc_map_u64/",
        who: "outcore",
        why: "most of it is the insertion, where the pages of a file cost the kernel more at their \
              first touch than those of anonymous memory; lookups take as long",
    },
    Reason {
        workload: "alloc_",
        who: "outcore",
        why: "pages of a file cost more at their first touch than those of anonymous memory",
    },
    Reason {
        workload: "fill_4KiB/",
        who: "outcore",
        why: "the kernel locks the file for each system call, which two threads that write 4 KiB at a \
              time wait for, as those of the raw loop do; through the slice, the row beside, nobody \
              waits",
    },
    Reason {
        workload: "fill_",
        who: "outcore_slice",
        why: "pages that are written through a mapping cost faults, which in long pieces cost more \
              than a single system call",
    },
    Reason {
        workload: "overwrite_4KiB/",
        who: "outcore",
        why: "most of the time is the copy into blocks that are in no cache of the processor: memory \
              itself, the row beside, is 2.6 times as fast as `pwrite` here; the rest are faults, since \
              all pages are written back before the clock starts, and the first store to each piece \
              of the page cache tells the file system, as it does for ranged-mmap",
    },
    Reason {
        workload: "allocate_4KiB/",
        who: "outcore",
        why: "one addition to a counter that the threads share, as the row beside; which of the \
              threads has the counter in its cache decides, and that is chance",
    },
    Reason {
        workload: "append/",
        who: "outcore",
        why: "space is claimed before it is used, so that a full disk is an error; a table in \
              memory has neither a file nor a copy into the page cache",
    },
    Reason {
        workload: "blobs_512/",
        who: "outcore",
        why: "one read for one item waits for the device whatever the library does; a mapping \
              without advice, and so lmdb, reads what lies around each miss, which later reads of a \
              file that fits into memory then find there",
    },
    Reason {
        workload: "past_limit_u64/",
        who: "outcore_random",
        why: "`Advice::Random` drops what is in memory, so that pages come alone from then on: where \
              all of it would have fitted, every page is read from the device once more",
    },
    Reason {
        workload: "past_limit_512/1x/",
        who: "outcore",
        why: "the data just reach the limit, and the kernel lets whoever allocates there wait until \
              something is written back; for a file that grows in large pieces that is a large part \
              of so short a run, in a single `pwrite`, and further past the limit all wait alike",
    },
    Reason {
        workload: "past_limit_",
        who: "outcore",
        why: "the data still fit into memory, where nothing has to be written to a file",
    },
    Reason {
        workload: "disk_full_",
        who: "outcore",
        why: "space is claimed in steps before it is used, and a step that does not fit any more \
              is left to others",
    },
    Reason {
        workload: "collect_u64/",
        who: "outcore",
        why: "a vector in memory makes no copy into the page cache, and finds its numbers in the \
              processor's cache",
    },
    Reason {
        workload: "sum_u64/",
        who: "outcore",
        why: "the compiled loop is the same, and a plain slice of the same memory takes as long; what \
              differs is the memory that the kernel gave, another one in each process",
    },
    Reason {
        workload: "random_64/",
        who: "outcore",
        why: "a page fault is a read of 4 KiB and the work of mapping it",
    },
    Reason {
        workload: "get_512/",
        who: "outcore_map_get",
        why: "most of a read is the wait for memory that is in no cache of the processor, and for its \
              page tables, which the copy of a system call waits for as well; a mapping by hand, \
              which checks nothing, takes no less",
    },
    Reason {
        workload: "get_512/",
        who: "outcore",
        why: "one system call, as the raw row, and the check of the handle",
    },
    Reason {
        workload: "get_many_512/random/1GiB/warm",
        who: "outcore",
        why: "items that lie apart cost a call each, in a batch as one by one, and the batch is sorted",
    },
    Reason {
        workload: "get_many_512/",
        who: "outcore",
        why: "the raw rings read past the page cache and keep nothing; reads through the cache pay \
              for pages that are taken and given back",
    },
    Reason {
        workload: "update_u64/",
        who: "outcore",
        why: "both dirty one page for each update; the rest is the file system's own bookkeeping",
    },
];
