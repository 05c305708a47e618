//! How much memory the Parquet writer takes: a process of its own, whose allocator counts.
#![expect(unsafe_code, reason = "an allocator that counts")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "for tests: an overflow or an error is a failed test"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use outcore::{Arena, DiskVec, StrVec};
use outcore_arrow::{Column, ParquetOptions, Table};
use testkit::Random;

struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is done by the system's allocator; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(used, Relaxed);
        // SAFETY: as the caller vouches.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller vouches.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the most memory that was taken during `work`, beyond what was taken before.
fn peak(work: impl FnOnce()) -> usize {
    let before = USED.load(Relaxed);
    PEAK.store(before, Relaxed);
    work();
    PEAK.load(Relaxed) - before
}

fn numbers(rows: usize, distinct: u64) -> DiskVec<u64> {
    let mut random = Random::new(1);
    let mut vec = DiskVec::new();
    vec.try_extend((0..rows).map(|_| random.below_u64(distinct)))
        .unwrap();
    vec
}

fn strings(rows: usize, distinct: u64, padding: usize) -> StrVec {
    let mut random = Random::new(2);
    let mut vec = StrVec::new();
    for _ in 0..rows {
        vec.push(format!("{:padding$}", random.below_u64(distinct)))
            .unwrap();
    }
    vec
}

fn items(rows: usize, len: usize) -> Column {
    let arena = Arena::new().unwrap();
    let mut writer = arena.writer().unwrap();
    let mut locations = DiskVec::new();
    for id in 0..rows {
        locations
            .push(writer.push(testkit::item(id as u64, len)).unwrap())
            .unwrap();
    }
    writer.finish().unwrap();
    Column::items(&arena, locations)
}

fn assert_within(memory: usize, what: &str, table: &Table) {
    let options = ParquetOptions::new().memory(memory);
    let mut groups = 0;
    let taken = peak(|| {
        groups = table
            .write_parquet(io::sink(), &options)
            .unwrap()
            .num_row_groups();
    });
    assert!(
        taken <= memory,
        "{what}: {taken} of {memory} in {groups} row groups"
    );
    // The data do not fit: a writer that keeps all of it would be seen.
    assert!(groups > 1, "{what}");
}

// One test: the others of the process would be counted too.
#[test]
fn a_file_of_any_length_takes_the_memory_that_was_allowed() {
    let rows = 3_000_000;
    let one = |column: Column| Table::new().with("a", column).unwrap();
    // The canary: what a writer that keeps everything would take.
    let table = one(numbers(rows, u64::MAX).into());
    let taken = peak(|| {
        let mut all = Vec::new();
        let options = ParquetOptions::new().memory(8 << 20);
        table.write_parquet(&mut all, &options).unwrap();
    });
    assert!(taken > 8 << 20, "{taken}");
    assert_within(
        8 << 20,
        "random numbers",
        &one(numbers(rows, u64::MAX).into()),
    );
    assert_within(
        8 << 20,
        "different strings",
        &one(strings(rows / 2, u64::MAX, 0).into()),
    );
    assert_within(
        8 << 20,
        "long strings",
        &one(strings(rows / 20, u64::MAX, 300).into()),
    );
    assert_within(8 << 20, "long items", &one(items(500, 100_000)));
    let table = one(numbers(rows, u64::MAX).into());
    let table = table.with("few", numbers(rows, 5)).unwrap();
    let table = table.with("many", numbers(rows, 100_000)).unwrap();
    let table = table.with("words", strings(rows, 60_000, 0)).unwrap();
    assert_within(32 << 20, "four columns", &table);
}
