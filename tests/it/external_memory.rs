//! What operations within a budget take of memory, as the kernel counts it, and what they have it
//! read.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use outcore::external::{Aggregator, BytesAggregator, Sorter};
use outcore::{DiskVec, MemoryBudget, Result};

use crate::support::random::Random;
use crate::support::test_name;

const BUDGET_MIB: u64 = 8;

/// What threads, their allocators and the books of an operation may take besides.
const BESIDES_MIB: u64 = 16;

/// Returns the memory of this process that belongs to no file, in KiB.
fn anonymous_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse().unwrap()
}

/// Does some work, and returns by how many MiB the memory grew meanwhile, at most.
fn growth_mib(work: impl FnOnce() -> Result<()>) -> u64 {
    let (is_done, before) = (AtomicBool::new(false), anonymous_kib());
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = before;
            while !is_done.load(Relaxed) {
                peak = peak.max(anonymous_kib());
                std::thread::yield_now();
            }
            peak
        });
        let done = work();
        is_done.store(true, Relaxed);
        done.unwrap();
        (watch.join().unwrap() - before) >> 10
    })
}

#[test]
fn memory_outside_of_files_grows_by_the_budget_at_most() {
    let Some(child) = crate::support::process::child(test_name!()) else {
        let budget = MemoryBudget::new(BUDGET_MIB << 20);
        let mut random = Random::new(1);
        let mut numbers = DiskVec::new();
        let made = numbers.try_extend((0..3_000_000).map(|_| random.next()));
        made.unwrap();
        let grown = [
            growth_mib(|| numbers.sort_external(&budget)),
            growth_mib(|| numbers.shuffle_external(&budget, 1)),
            growth_mib(|| numbers.sort_external_by(&budget, |a, b| b.cmp(a))),
            growth_mib(|| {
                let sorter = Sorter::new(&budget)?;
                let mut writer = sorter.writer()?;
                for n in &numbers[..500_000] {
                    writer.push(n.to_be_bytes(), [0; 32])?;
                }
                writer.finish()?;
                let mut records = sorter.sorted()?;
                while records.next()?.is_some() {}
                Ok(())
            }),
            growth_mib(|| {
                let mut sums = Aggregator::new(&budget, |sum: &mut u64, more: u64| *sum ^= more);
                let mut keys = numbers[..1_000_000].iter();
                keys.try_for_each(|n| sums.add(*n, 1))?;
                sums.finish()?.try_for_each(|group| group.map(drop))
            }),
            growth_mib(|| {
                let combine = |sum: &mut u64, more: u64| *sum ^= more;
                let mut sums = BytesAggregator::new(&budget, combine);
                let mut keys = numbers[..500_000].iter();
                keys.try_for_each(|n| sums.add(n.to_be_bytes(), 1))?;
                let mut groups = sums.finish()?;
                while groups.next()?.is_some() {}
                Ok(())
            }),
        ];
        let most = BUDGET_MIB + BESIDES_MIB;
        let fits = grown.iter().all(|mib| *mib <= most);
        assert!(fits, "in {BUDGET_MIB} MiB: {grown:?} MiB");
        // A watch that sees nothing proves nothing. The other operations may use again what the
        // first gave back to the allocator.
        assert!(grown[0] >= 2, "in {BUDGET_MIB} MiB: {grown:?} MiB");
        return;
    };
    child.run();
}

/// From half of the budget to 64 times as much. The list of blocks that a distribution makes was not
/// counted: it grew with the vector.
#[test]
fn memory_does_not_grow_with_the_data() {
    let Some(child) = crate::support::process::child(test_name!()) else {
        let budget = MemoryBudget::new(MemoryBudget::MIN_BYTES);
        for halves in [1, 4, 16, 128] {
            let count = MemoryBudget::MIN_BYTES / 2 / 8 * halves;
            let mut random = Random::new(halves);
            let mut numbers = DiskVec::new_in(&crate::support::disk());
            let made = numbers.try_extend((0..count).map(|_| random.next()));
            made.unwrap();
            let grown = [
                growth_mib(|| numbers.sort_external(&budget)),
                growth_mib(|| numbers.shuffle_external(&budget, 1)),
                growth_mib(|| {
                    let mut sums = Aggregator::new(&budget, |sum: &mut u8, more: u8| *sum ^= more);
                    let mut keys = numbers.iter().take(4_000_000);
                    keys.try_for_each(|n| sums.add(*n, 1))?;
                    sums.finish()?.try_for_each(|group| group.map(drop))
                }),
            ];
            let most = (MemoryBudget::MIN_BYTES >> 20) + BESIDES_MIB;
            let fits = grown.iter().all(|mib| *mib <= most);
            assert!(fits, "{halves} halves of the budget: {grown:?} MiB");
            assert!(budget.peak_bytes() <= budget.limit_bytes());
        }
        return;
    };
    child.run();
}

/// Returns the flags of the mapping that an address is in.
fn mapping_flags(address: usize) -> String {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut is_inside = false;
    for line in smaps.lines() {
        let range = line.split_whitespace().next().unwrap().split_once('-');
        if let Some((start, end)) = range {
            let [start, end] = [start, end].map(|hex| usize::from_str_radix(hex, 16));
            if let (Ok(start), Ok(end)) = (start, end) {
                is_inside = (start..end).contains(&address);
            }
        }
        if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_inside) {
            return format!("{flags} ");
        }
    }
    panic!("{address:#x} is in no mapping:\n{smaps}");
}

/// A vector of eight times the budget was sorted by comparisons in a memory group of three times the
/// budget. A merge is at a place in each run for each thread, and around each page that was not in
/// memory the kernel read what `read_ahead_kb` says, 8 MiB there. So each fault pushed out what
/// another thread was about to look at: one thread took nine seconds, two read a GiB in each second
/// and never ended.
#[test]
fn a_merge_has_the_kernel_read_no_more_than_it_looks_at() {
    let budget = MemoryBudget::new(MemoryBudget::MIN_BYTES);
    let mut random = Random::new(3);
    let mut numbers = DiskVec::new_in(&crate::support::disk());
    numbers
        .try_extend((0..1_000_000).map(|_| random.next()))
        .unwrap();
    let first = numbers.as_ptr().addr();
    let mapped = first..first + 8 * numbers.len();
    let seen = std::sync::Mutex::new(Vec::new());
    let look = |element: &u64| {
        // What is not in a buffer is in the file; the last MiB of a vector may be neither.
        let address = std::ptr::from_ref(element).addr();
        if mapped.contains(&address) && seen.lock().unwrap().len() < 3 {
            let flags = mapping_flags(address);
            seen.lock().unwrap().push(flags);
        }
    };
    let compare = |a: &u64, b: &u64| {
        look(a);
        a.cmp(b)
    };
    numbers.sort_external_by(&budget, compare).unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(!seen.is_empty(), "no run was merged");
    assert!(seen.iter().all(|flags| flags.contains(" rr ")), "{seen:?}");
    assert!(numbers.is_sorted());
    // The new copy is read as any vector is.
    let flags = mapping_flags(std::ptr::from_ref(&numbers[0]).addr());
    assert!(!flags.contains(" rr "), "{flags}");
}
