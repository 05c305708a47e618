//! Many vectors at once, long vectors, large elements: their use of files, mappings and memory of
//! the process.

use std::fs;
use std::sync::{Mutex, PoisonError};

use outcore::{Advice, DiskVec};

use crate::support::libc::{Resource, set_limit, use_up_mappings};
use crate::support::process::child;
use crate::support::{disk, skipped, test_name};

const MIB: usize = 1 << 20;

/// Files and mappings of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    files: usize,
    mappings: usize,
}

impl Held {
    fn now() -> Self {
        Self {
            files: fs::read_dir("/proc/self/fd").unwrap().count(),
            mappings: maps().lines().count(),
        }
    }
}

fn maps() -> String {
    fs::read_to_string("/proc/self/maps").unwrap()
}

/// Returns how many mappings touch the bytes.
fn mappings_of(bytes: std::ops::Range<usize>) -> usize {
    let touches = |line: &&str| {
        let (start, rest) = line.split_once('-').unwrap();
        let end = rest.split_once(' ').unwrap().0;
        let parse = |digits| usize::from_str_radix(digits, 16).unwrap();
        parse(start) < bytes.end && bytes.start < parse(end)
    };
    maps().lines().filter(touches).count()
}

/// Returns the bytes of a line of /proc/self/status.
fn status_bytes(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Runs `work` while no other test here uses hundreds of MiB.
fn one_at_a_time(work: impl FnOnce()) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _lock = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    work();
}

#[test]
fn ten_thousand_short_vectors_have_no_file() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = disk();
    let base = Held::now();
    let make = |number: u64| {
        let mut vec = DiskVec::new_in(&dir);
        vec.push(number).unwrap();
        vec
    };
    let vectors: Vec<DiskVec<u64>> = (0..10_000).map(make).collect();
    let held = Held::now();
    assert_eq!(held.files, base.files, "{base:?}, {held:?}");
    assert!(
        held.mappings - base.mappings <= 21_000,
        "{base:?}, {held:?}"
    );
    assert_eq!(dir.used_bytes(), 0);
    assert!(
        vectors
            .iter()
            .zip(0..)
            .all(|(vec, number)| *vec == [number])
    );
    drop(vectors);
    let left = Held::now();
    assert_eq!(left.files, base.files);
    assert!(
        left.mappings <= base.mappings + 10,
        "{base:?}, {held:?}, {left:?}"
    );
}

/// Each vector of one element took two mappings, so 32,749 of them were all that a process could
/// have (`vm.max_map_count`), and 4 KiB of memory.
#[test]
fn a_million_vectors_of_one_element_live_at_once() {
    const COUNT: usize = 1_000_000;
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = disk();
    let (base, before) = (Held::now(), status_bytes("VmRSS:"));
    let mut vectors = Vec::with_capacity(COUNT);
    for number in 0..COUNT {
        let mut vec = DiskVec::new_in(&dir);
        if let Err(refused) = vec.push(number) {
            panic!("vector {number}: {refused}, {base:?}, {:?}", Held::now());
        }
        vectors.push(vec);
    }
    let (held, bytes) = (Held::now(), status_bytes("VmRSS:") - before);
    assert_eq!(held.files, base.files, "{base:?}, {held:?}");
    assert!(held.mappings - base.mappings <= 1_000, "{base:?}, {held:?}");
    // A `Vec<Vec<usize>>` of as many takes 72 bytes for each.
    assert!(bytes <= 150 * COUNT, "{bytes} bytes of memory");
    assert!(
        vectors
            .iter()
            .zip(0..)
            .all(|(vec, number)| *vec == [number])
    );
    // Each of them can still become a long one.
    let last = vectors.last_mut().unwrap();
    last.try_extend(0..MIB).unwrap();
    assert_eq!((last[0], last[MIB]), (COUNT - 1, MIB - 1));
    drop(vectors);
    assert_eq!(dir.used_bytes(), 0);
}

/// The message was "cannot create a file in ...: Too many open files", and for mappings "cannot map
/// memory: Cannot allocate memory": neither what had been reached, nor what to do.
#[test]
fn an_error_names_the_limit_that_was_reached() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = disk();
    let fill = || {
        let mut vectors = Vec::new();
        loop {
            let mut vec = DiskVec::<u64>::new_in(&dir);
            match vec.resize(10_000, 1) {
                Ok(()) => vectors.push(vec),
                Err(refused) => {
                    for vec in &mut vectors {
                        vec.push(2).unwrap();
                    }
                    return refused.to_string();
                }
            }
        }
    };
    set_limit(Resource::OpenFiles, 100);
    let refused = fill();
    assert!(
        refused.contains("RLIMIT_NOFILE")
            && refused.contains("100")
            && refused.contains("ulimit -n"),
        "{refused}"
    );
    set_limit(Resource::OpenFiles, u64::MAX);
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    set_limit(Resource::AddressSpace, pages * 4096 + (8 << 20));
    let refused = fill();
    assert!(
        refused.contains("RLIMIT_AS") && refused.contains("ulimit -v"),
        "{refused}"
    );
}

/// As above, for the limit of the kernel.
#[test]
fn an_error_names_the_limit_of_mappings() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = disk();
    let mut vec = DiskVec::<u64>::new_in(&dir);
    vec.resize(10_000, 1).unwrap();
    use_up_mappings();
    let refused = vec.resize(100_000_000, 1).unwrap_err();
    assert_eq!(refused.kind(), outcore::ErrorKind::OutOfMemory);
    let refused = refused.to_string();
    assert!(refused.contains("vm.max_map_count"), "{refused}");
    assert_eq!(vec.len(), 10_000);
}

/// 10,000 vectors with three mappings each stay below the kernel's 65,530.
#[test]
fn ten_thousand_vectors_of_100_kib_live_at_once() {
    const COUNT: usize = 10_000;
    if let Some(child) = child(test_name!()) {
        let output = child.run();
        if let Some(reason) = output
            .lines()
            .find_map(|line| line.strip_prefix("too low: "))
        {
            skipped(test_name!(), reason);
        }
        return;
    }
    set_limit(Resource::OpenFiles, u64::MAX);
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = files.unwrap().split_whitespace().nth(3).unwrap();
    if soft.parse::<usize>().is_ok_and(|soft| soft < COUNT + 100) {
        return say(&format!("too low: {soft} open files are allowed"));
    }
    let dir = disk();
    let base = Held::now();
    let mut vectors = Vec::new();
    for number in 0..COUNT {
        let mut vec = DiskVec::new_in(&dir);
        if let Err(refused) = vec.resize(100, [number; 128]) {
            panic!("vector {number}: {refused}, {base:?}, {:?}", Held::now());
        }
        vectors.push(vec);
    }
    let held = Held::now();
    assert_eq!(held.files - base.files, COUNT, "{base:?}, {held:?}");
    assert!(
        held.mappings - base.mappings <= 4 * COUNT,
        "{base:?}, {held:?}"
    );
    for (number, vec) in vectors.iter().enumerate() {
        assert!(vec[99] == [number; 128], "vector {number}");
    }
    say(&format!("{base:?}, with {COUNT} vectors {held:?}"));
    drop(vectors);
    let left = Held::now();
    assert_eq!(left.files, base.files, "{base:?}, {held:?}, {left:?}");
    assert!(
        left.mappings <= base.mappings + 10,
        "{base:?}, {held:?}, {left:?}"
    );
    assert_eq!(dir.used_bytes(), 0);
}

#[expect(clippy::print_stdout, reason = "reports to the parent")]
fn say(what: &str) {
    println!("\n{what}");
}

#[test]
fn elements_stay_where_they_are_while_100_mib_are_pushed() {
    one_at_a_time(|| {
        let mut vec = DiskVec::new_in(&disk());
        vec.push([0_u64; 512]).unwrap();
        let first = vec.as_ptr();
        for number in 1..25_600 {
            vec.push([number; 512]).unwrap();
        }
        assert_eq!(vec.as_ptr(), first);
        assert!(
            vec.iter()
                .zip(0..)
                .all(|(found, number)| found[77] == number)
        );
        assert!(vec.disk_bytes() <= 130 << 20, "{}", vec.disk_bytes());
    });
}

#[test]
fn a_vector_has_few_mappings_whatever_the_advice() {
    one_at_a_time(|| {
        for advice in [Advice::Normal, Advice::Sequential, Advice::Random] {
            let mut vec = DiskVec::new_in(&disk());
            vec.advise(advice).unwrap();
            while vec.len() < 64 << 11 {
                vec.push([1_u64; 64]).unwrap();
            }
            let start = vec.as_ptr().addr();
            let bytes = start..start + (128 << 20);
            let found = mappings_of(bytes.clone());
            assert!(found <= 6, "{advice:?}: {found} mappings\n{}", maps());
            vec.advise(Advice::Random).unwrap();
            let found = mappings_of(bytes);
            assert!(
                found <= 6,
                "{advice:?}, then Random: {found} mappings\n{}",
                maps()
            );
        }
    });
}

#[test]
fn a_scan_keeps_little_in_memory_and_sees_everything() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut vec = DiskVec::new_in(&disk());
    let mut chunk = [0_u64; 512];
    for number in 0..32_768 {
        chunk.fill(number);
        vec.push(chunk).unwrap();
    }
    vec.evict(..).unwrap();
    let before = status_bytes("VmRSS:");
    let (mut next, mut most) = (0, before);
    for chunk in vec.scan() {
        for element in chunk {
            assert_eq!((element[0], element[511]), (next, next));
            next += 1;
        }
        most = most.max(status_bytes("VmRSS:"));
    }
    assert_eq!(next, 32_768);
    let growth = most - before;
    assert!(growth < 32 * MIB, "{growth} bytes more, from {before}");
}

#[test]
#[expect(clippy::large_stack_arrays, reason = "its thread has the stack for it")]
fn elements_larger_than_a_window_are_kept() {
    const LEN: usize = 9 * MIB;
    struct Large([u8; LEN]);
    one_at_a_time(|| {
        let grown = std::thread::Builder::new().stack_size(256 * MIB);
        let done = grown.spawn(|| {
            let mut vec = DiskVec::new_in(&disk());
            for number in 0..3 {
                vec.push(Large([number; LEN])).unwrap();
            }
            vec.truncate_front(1);
            vec.shrink_to_fit().unwrap();
            let right = |large: &Large, number| large.0.iter().all(|byte| *byte == number);
            assert!(right(&vec[0], 1) && right(&vec[1], 2));
            assert_eq!(vec.scan().len(), 2);
            assert!(right(&vec.pop().unwrap(), 2));
        });
        done.unwrap().join().unwrap();
    });
}

#[test]
fn an_alignment_of_2_mib_is_kept() {
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(0x20_0000))]
    struct Huge(u64);
    let done = std::thread::Builder::new().stack_size(256 * MIB);
    let done = done.spawn(|| {
        let mut vec = DiskVec::new_in(&disk());
        for number in 0..6 {
            vec.push(Huge(number)).unwrap();
            assert_eq!(vec.as_ptr().addr() % (2 * MIB), 0);
        }
        vec.truncate_front(1);
        vec.remove(1);
        let found: Vec<u64> = vec.iter().map(|huge| huge.0).collect();
        assert_eq!(found, [1, 3, 4, 5]);
    });
    done.unwrap().join().unwrap();
}
