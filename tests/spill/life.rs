//! The life of blocks: which ones spill, how they grow and shrink, and when they may be requested:
//! before main, in destructors of threads, from many threads.
#![expect(
    unsafe_code,
    reason = "registers a function that runs before main, and requests zeroed blocks"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::thread;

use testkit::item;

use crate::support::process::child;
use crate::support::random::Random;
use crate::support::test_name;
use crate::watch::{own_requests, passed_on};
use crate::{THRESHOLD, spill};

const MIB: usize = 1 << 20;

/// Set if values shall be made before main.
const EARLY_WANTED: &str = "OUTCORE_TEST_EARLY";

/// The values that were made before main.
static EARLY: Mutex<Vec<u64>> = Mutex::new(Vec::new());

extern "C" fn before_main() {
    if std::env::var_os(EARLY_WANTED).is_none() {
        return;
    }
    // Across the threshold, as a program's first vector might grow.
    let mut numbers = Vec::new();
    for n in 0..500_000 {
        numbers.push(n);
    }
    if let Ok(mut early) = EARLY.lock() {
        *early = numbers;
    }
}

// The C library calls the functions of this section with three arguments, before main and on one
// thread. This one takes none.
#[unsafe(link_section = ".init_array")]
#[used]
static BEFORE_MAIN: extern "C" fn() = before_main;

#[test]
fn blocks_from_before_main_are_in_the_file_and_grow_on() {
    if let Some(child) = child(test_name!()) {
        child.env(EARLY_WANTED, "yes").run();
        return;
    }
    assert!(spill().spilled_bytes() >= 4_000_000, "{:?}", spill());
    let mut early = EARLY.lock().unwrap();
    early.extend(500_000..1_000_000);
    assert!((0..1_000_000).eq(early.iter().copied()));
}

#[test]
fn only_blocks_of_the_threshold_go_to_the_file() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let before = spill().spilled_bytes();
    let passed = passed_on();
    let small = vec![1_u8; THRESHOLD - 1];
    assert_eq!(spill().spilled_bytes(), before);
    assert!(passed_on() > passed);
    let passed = passed_on();
    let big = vec![1_u8; THRESHOLD];
    assert_eq!(spill().spilled_bytes(), before + THRESHOLD as u64);
    assert_eq!(passed_on(), passed);
    assert_eq!(spill().threshold(), THRESHOLD);
    drop((small, big));
    assert_eq!(spill().spilled_bytes(), before);
    assert!(spill().peak_bytes() >= THRESHOLD as u64);
}

/// Allocations in the allocator's own code would call the allocator again, and one request could
/// wait for the other: there must be none. That holds also if the disk is full, a request is
/// refused, or a child calls.
#[test]
fn it_allocates_nothing_itself() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut blocks = Vec::new();
    let mut random = Random::new(0);
    for n in 0..3000_usize {
        let mut bytes = vec![1_u8; random.below(4 * THRESHOLD)];
        bytes.extend_from_slice(&[2; 1000]);
        bytes.reserve(random.below(8 * THRESHOLD));
        bytes.shrink_to_fit();
        blocks.push(bytes);
        if n % 3 > 0 {
            blocks.swap_remove(random.below(blocks.len()));
        }
    }
    // No addresses are left for this one.
    assert!(Vec::<u8>::new().try_reserve(1 << 46).is_err());
    assert!(spill().failures() > 0);
    drop(blocks);
    assert_eq!(own_requests(), 0, "the allocator asked itself");
}

#[test]
fn a_vector_crosses_the_threshold_both_ways_with_its_elements() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let base = spill().spilled_bytes();
    let mut numbers = Vec::new();
    for n in 0..20_u64 << 17 {
        numbers.push(n);
    }
    let grown = spill().spilled_bytes() - base;
    assert!((20 << 20..=40 << 20).contains(&grown), "{grown}");
    while numbers.len() > 100 {
        numbers.truncate(numbers.len() / 3);
        numbers.shrink_to_fit();
        let claimed = spill().spilled_bytes() - base;
        assert!(claimed <= numbers.len() as u64 * 8 + 4096, "{claimed}");
        assert!((0..numbers.len() as u64).eq(numbers.iter().copied()));
    }
    assert_eq!(spill().spilled_bytes(), base);
    numbers.reserve_exact(1 << 20);
    assert!(spill().spilled_bytes() >= base + (8 << 20));
    assert!((0..numbers.len() as u64).eq(numbers.iter().copied()));
}

/// A block in the file grows in place: nothing is copied.
#[test]
fn a_spilled_vector_grows_without_moving() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut first = Vec::<u64>::with_capacity(256 << 10);
    let mut second = Vec::<u64>::with_capacity(256 << 10);
    first.push(1);
    second.push(2);
    let addresses = (first.as_ptr(), second.as_ptr());
    for round in 1..8 {
        first.reserve_exact((256 << 10) << round);
        second.reserve_exact((256 << 10) << round);
        assert_eq!((first.as_ptr(), second.as_ptr()), addresses, "{round}");
    }
    assert_eq!((first[0], second[0]), (1, 2));
}

#[test]
fn zeroed_blocks_are_zero_where_others_were() {
    for round in 0..5 {
        for len in [THRESHOLD, THRESHOLD + 1, MIB, MIB + 1, 5 * MIB] {
            drop(std::hint::black_box(vec![0xFF_u8; len]));
            let layout = Layout::array::<u8>(len).unwrap();
            // SAFETY: the layout's size is not zero.
            let block = unsafe { alloc_zeroed(layout) };
            if block.is_null() {
                handle_alloc_error(layout);
            }
            // SAFETY: the block has that many bytes, which are zero.
            let bytes = unsafe { std::slice::from_raw_parts(block, len) };
            assert!(bytes.iter().all(|byte| *byte == 0), "{round}, {len}");
            // SAFETY: the block has this layout, and no code uses it any more.
            unsafe { dealloc(block, layout) };
        }
    }
}

/// A thread drops its values after its thread-locals are gone, in any order.
#[test]
fn destructors_of_threads_allocate_and_free_big_blocks() {
    struct Late(Vec<u8>);

    impl Drop for Late {
        fn drop(&mut self) {
            assert!(self.0.iter().all(|byte| *byte == 3));
            self.0.resize(self.0.len() * 2, 3);
            let more = vec![4_u8; 3 * THRESHOLD];
            self.0.extend_from_slice(&more);
            self.0.truncate(10);
            self.0.shrink_to_fit();
            let rest = std::mem::take(&mut self.0);
            let _gone = LATER.try_with(|later| later.borrow_mut().push(rest));
        }
    }

    thread_local! {
        static LATE: RefCell<Vec<Late>> = const { RefCell::new(Vec::new()) };
        static LATER: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    }

    for _ in 0..50 {
        let worker = thread::spawn(|| {
            LATE.with(|late| late.borrow_mut().push(Late(vec![3; 2 * THRESHOLD])));
            LATER.with(|later| later.borrow_mut().push(vec![5; 2 * THRESHOLD]));
        });
        worker.join().unwrap();
    }
}

#[test]
fn collections_of_std_work_across_many_threads() {
    let (sender, receiver) = std::sync::mpsc::channel::<Vec<u64>>();
    thread::scope(|scope| {
        for seed in 0..8_u64 {
            let sender = sender.clone();
            scope.spawn(move || {
                let mut random = Random::new(seed);
                for round in 0..40 {
                    let len = random.below_u64(60_000);
                    let mut numbers: Vec<u64> = (0..len).collect();
                    for n in &mut numbers {
                        *n ^= seed ^ round;
                    }
                    numbers.push(seed ^ round);
                    sender.send(numbers).unwrap();
                }
            });
        }
        drop(sender);
        for _ in 0..2 {
            let receiver = &receiver;
            let check = move |mut numbers: Vec<u64>| {
                let key = numbers.pop().unwrap();
                assert!(numbers.iter().zip(0..).all(|(found, n)| *found == n ^ key));
                numbers.shrink_to_fit();
            };
            receiver.iter().take(160).for_each(check);
        }
    });
    let mut map: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut tree = BTreeMap::new();
    let mut queue = VecDeque::new();
    let mut text = String::new();
    for n in 0..30_000 {
        map.insert(n, item(n, 50));
        tree.insert(n, !n);
        queue.push_front(n);
        text.push_str("abc");
    }
    assert!((0..30_000).all(|n| map[&n] == item(n, 50) && tree[&n] == !n));
    assert!((0..30_000).rev().eq(queue));
    assert_eq!(text.len(), 90_000);
}

fn flip(n: &mut u64) {
    *n ^= 1;
}

#[test]
fn eviction_changes_no_byte() {
    let mut numbers: Vec<u64> = (0..1_000_000).collect();
    for _ in 0..3 {
        spill().evict().unwrap();
        assert!((0..1_000_000).eq(numbers.iter().copied()));
        numbers.iter_mut().for_each(flip);
        spill().evict().unwrap();
        numbers.iter_mut().for_each(flip);
    }
}

/// A program does not know which of its blocks are in the file; the counters of the crate do.
#[test]
fn the_statistics_of_the_process_count_the_file() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let before = outcore::stats();
    let bytes = vec![1_u8; 10 * MIB];
    let now = outcore::stats();
    assert!(now.disk_bytes >= before.disk_bytes + 10 * MIB as u64);
    assert_eq!(now.disk_bytes, spill().spilled_bytes());
    assert_eq!(now.open_files, 1);
    drop(bytes);
    assert_eq!(outcore::stats().disk_bytes, spill().spilled_bytes());
    assert!(spill().peak_bytes() >= 10 * MIB as u64);
    let shown = format!("{:?}", spill());
    assert!(
        shown.contains("spilled_bytes") && shown.contains("failures: 0"),
        "{shown}"
    );
}
