//! Children: started programs, and forked processes that continue by themselves.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use crate::support::libc::in_forked_child;
use crate::support::process::child;
use crate::support::random::Random;
use crate::support::test_name;
use crate::{THRESHOLD, byte_of, spill};

const MIB: usize = 1 << 20;

/// The parent's data: a vector in the file, and a small one in memory.
fn parents() -> (Vec<u64>, Vec<u8>) {
    ((0..1_000_000).collect(), vec![7; 100])
}

#[track_caller]
fn assert_untouched((numbers, bytes): &(Vec<u64>, Vec<u8>)) {
    assert!((0..1_000_000).eq(numbers.iter().copied()));
    assert_eq!(*bytes, [7; 100]);
}

#[test]
fn a_thousand_programs_are_started_beside_big_blocks() {
    let mut kept = parents();
    for n in 0..1000 {
        let status = Command::new("true").arg(n.to_string()).status().unwrap();
        assert!(status.success(), "{n}: {status}");
        if n % 100 == 0 {
            kept.0.push(0);
            assert_eq!(kept.0.pop(), Some(0));
        }
    }
    assert_untouched(&kept);
}

/// With `pre_exec`, std uses `fork`.
#[test]
fn programs_are_started_by_fork_beside_big_blocks() {
    let kept = parents();
    for n in 0..100 {
        let mut command = Command::new("true");
        command.arg(n.to_string()).stdin(Stdio::null());
        run_before_exec(&mut command);
        let status = command.status().unwrap();
        assert!(status.success(), "{n}: {status}");
    }
    assert_untouched(&kept);
}

#[expect(unsafe_code, reason = "makes std fork")]
fn run_before_exec(command: &mut Command) {
    // SAFETY: the function does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
}

/// Arguments and output that are large blocks themselves.
#[test]
fn programs_get_and_return_what_is_in_big_blocks() {
    let long = "x".repeat(THRESHOLD + 1000);
    let printed = Command::new("printf").args(["%s", &long]).output().unwrap();
    assert_eq!(printed.stdout, long.as_bytes());
    let mut cat = Command::new("cat");
    let mut cat = cat
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = cat.stdin.take().unwrap();
    let sent: Vec<u8> = (0..4 * MIB).map(byte_of).collect();
    let sending = sent.clone();
    let writer = thread::spawn(move || std::io::Write::write_all(&mut input, &sending).unwrap());
    let mut received = Vec::new();
    cat.stdout
        .take()
        .unwrap()
        .read_to_end(&mut received)
        .unwrap();
    writer.join().unwrap();
    assert!(cat.wait().unwrap().success() && received == sent);
}

/// Documented: `exec` in a forked child cannot read such an argument, and that is an error.
#[test]
fn an_argument_in_a_big_block_is_an_error_where_std_forks() {
    let long = "x".repeat(THRESHOLD + 1000);
    let mut command = Command::new("true");
    command.arg(&long);
    run_before_exec(&mut command);
    match command.status() {
        Ok(status) => assert!(status.success(), "{status}"),
        Err(refused) => assert_eq!(refused.raw_os_error(), Some(14), "{refused}"),
    }
}

/// Threads that start programs, in both ways, beside threads that allocate. Threads whose first
/// block came while another thread made the file were counted as failures.
#[test]
fn programs_are_started_while_other_threads_allocate() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let running = AtomicBool::new(true);
    thread::scope(|scope| {
        for seed in 0..3 {
            let running = &running;
            scope.spawn(move || {
                let mut random = Random::new(seed);
                let mut blocks: Vec<Vec<u8>> = Vec::new();
                while running.load(Relaxed) {
                    let len = random.below(4 * THRESHOLD) + 1;
                    let byte = byte_of(len);
                    blocks.push(vec![byte; len]);
                    if blocks.len() > 50 {
                        let block = blocks.swap_remove(random.below(50));
                        let byte = byte_of(block.len());
                        assert!(block.iter().all(|found| *found == byte));
                    }
                }
            });
        }
        let starters: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for n in 0..150 {
                        let mut command = Command::new("true");
                        if n % 2 == 0 {
                            run_before_exec(&mut command);
                        }
                        assert!(command.status().unwrap().success(), "{n}");
                    }
                })
            })
            .collect();
        for starter in starters {
            starter.join().unwrap();
        }
        running.store(false, Relaxed);
    });
    assert_eq!(spill().failures(), 0);
}

/// A child with its own work: large blocks, small ones, threads. None of it affects its parent.
#[test]
fn a_forked_child_works_with_memory_of_its_own() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut kept = parents();
    for _ in 0..3 {
        let claimed = spill().spilled_bytes();
        let ended = in_forked_child(|| {
            let mut blocks: Vec<Vec<u8>> = Vec::new();
            for n in 0..200_usize {
                let mut bytes = vec![byte_of(n); THRESHOLD / 2 + n * 1000];
                bytes.reserve(10 * THRESHOLD);
                bytes.shrink_to_fit();
                blocks.push(bytes);
                if n % 3 == 0 {
                    blocks.swap_remove(n / 5);
                }
            }
            for block in &blocks {
                assert!(block.iter().all(|byte| *byte == block[0]));
            }
            let workers: Vec<_> = (0..4_u8)
                .map(|n| thread::spawn(move || vec![n; 3 * MIB]))
                .collect();
            for (n, worker) in (0..4_u8).zip(workers) {
                let mut bytes = worker.join().unwrap();
                bytes.extend_from_slice(&vec![n; 3 * MIB]);
                assert!(bytes.iter().all(|byte| *byte == n));
            }
        });
        assert!(ended.success(), "{ended}");
        assert_eq!(spill().spilled_bytes(), claimed);
        assert_untouched(&kept);
        kept.0.extend(0..1_000_000);
        kept.0.truncate(1_000_000);
        kept.0.shrink_to_fit();
    }
    assert_untouched(&kept);
}

/// The child of a fork drops inherited values, without reading them.
#[test]
fn a_forked_child_that_drops_its_parents_blocks_harms_nothing() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut kept = Some(parents());
    let ended = in_forked_child(|| drop(kept.take()));
    assert!(ended.success(), "{ended}");
    assert_untouched(kept.as_ref().unwrap());
}

/// A block that a child shrinks stays in place, and is then shorter than all others in the file. If
/// its size decided, the inner allocator would free a block that it never had.
#[test]
fn a_forked_child_shrinks_its_parents_block_below_the_threshold_and_frees_it() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut kept = Some(parents());
    let ended = in_forked_child(|| {
        let (mut numbers, mut bytes) = kept.take().unwrap();
        let address = numbers.as_ptr();
        numbers.truncate(10);
        numbers.shrink_to_fit();
        bytes.truncate(1);
        bytes.shrink_to_fit();
        assert_eq!(numbers.as_ptr(), address);
        drop(vec![1_u8; 20]);
        drop((numbers, bytes));
        let own: Vec<Vec<u8>> = (1..100).map(|len| vec![7; len * 100]).collect();
        assert!(own.iter().flatten().all(|byte| *byte == 7));
    });
    assert!(ended.success(), "{ended}");
    assert_untouched(kept.as_ref().unwrap());
}

/// A child that stores into its parent's block is killed, or changes its own memory.
#[test]
fn a_forked_child_cannot_store_into_its_parents_blocks() {
    const SIGABRT: i32 = 6;
    const SIGSEGV: i32 = 11;
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut kept = parents();
    let ended = in_forked_child(|| kept.0.fill(666));
    assert!(
        ended.success() || ended.signal() == Some(SIGSEGV),
        "{ended}"
    );
    // To grow, the block would have to be read, which the child cannot do.
    let ended = in_forked_child(|| kept.0.reserve_exact(10_000_000));
    let stopped = [Some(SIGSEGV), Some(SIGABRT)].contains(&ended.signal());
    assert!(ended.success() || stopped, "{ended}");
    assert_untouched(&kept);
}

/// The addresses of its parent's blocks are free in the child, and the child's own blocks landed
/// there. The child took them for the parent's and never freed them: it grew until it died.
#[test]
fn a_child_that_goes_on_for_long_frees_what_it_allocates() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let kept = parents();
    let ended = in_forked_child(|| {
        let before = resident_bytes();
        for n in 0..3000_usize {
            let mut bytes = vec![1_u8; MIB + n];
            bytes.reserve_exact(2 * MIB);
            bytes[n] = 2;
            drop(bytes);
        }
        // Small blocks of a thread, which come from a heap of their own.
        for _ in 0..100 {
            let worker = thread::spawn(|| {
                let lists: Vec<Vec<u8>> = (0..1000).map(|n| vec![1; n]).collect();
                lists.len()
            });
            assert_eq!(worker.join().unwrap(), 1000);
        }
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 100 * MIB, "the child has grown by {grown} bytes");
    });
    assert!(ended.success(), "{ended}");
    assert_untouched(&kept);
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// A child's child owns nothing of them either.
#[test]
fn a_forked_child_can_fork_and_start_programs() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let kept = parents();
    let ended = in_forked_child(|| {
        let own = vec![5_u8; 10 * MIB];
        let ended = in_forked_child(|| {
            let more = vec![6_u8; 10 * MIB];
            assert!(own.iter().all(|byte| *byte == 5));
            assert!(more.iter().all(|byte| *byte == 6));
        });
        assert!(ended.success(), "{ended}");
        for _ in 0..20 {
            assert!(Command::new("true").status().unwrap().success());
        }
    });
    assert!(ended.success(), "{ended}");
    assert_untouched(&kept);
}
