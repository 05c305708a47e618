//! Schedules of the global allocator: the first large blocks of several threads arrive at once, and
//! one of them has to create the file. `testing::schedules` says how to run them.
//!
//! Here the allocator is a value of the test, and its inner allocator a stand-in that knows its
//! blocks. In each system call of the creation, the creating thread allocates, as a library that it
//! calls could, and other threads run.
#![expect(
    unsafe_code,
    clippy::arithmetic_side_effects,
    reason = "calls an allocator by its trait; a panic in a test is a failed test"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, ThreadId};

use crate::containers::spill::{FAILED, MAKING, NONE, READY, SpillAlloc};
use crate::sys::plan::{Fault, Outcome, arm, before_each_call, disarm, unwatch, watch};
use crate::testing::ENOSPC;
use crate::testing::schedules::{check, finds, finds_torn, point};

const THREADS: usize = 3;
const STEPS: usize = 4;
const THRESHOLD: usize = 64 << 10;
const ALIGN: usize = 64;

/// System calls of the creation that can fail: more than there are.
const CALLS_MAX: usize = 24;

/// Sizes below the threshold and above.
const SIZES: [usize; 4] = [100, THRESHOLD - 1, THRESHOLD, THRESHOLD + 4096];

/// The inner allocator, which takes back its own blocks, and nothing else.
#[derive(Default)]
struct Inner {
    out: Mutex<BTreeMap<usize, Layout>>,
}

// SAFETY: all calls are passed on to the system's allocator, or panic.
unsafe impl GlobalAlloc for Inner {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        point();
        // SAFETY: the caller keeps the contract.
        let block = unsafe { System.alloc(layout) };
        self.out.lock().unwrap().insert(block.addr(), layout);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        point();
        let known = self.out.lock().unwrap().remove(&block.addr());
        assert_eq!(known, Some(layout), "freed where it never came from");
        // SAFETY: the block came from there, with this layout, and the caller gives it up.
        unsafe { System.dealloc(block, layout) };
    }
}

/// The allocator, and the thread that was seen creating its file.
struct World {
    spill: SpillAlloc<Inner>,
    makers: Mutex<Vec<ThreadId>>,
}

/// A block, the byte that fills it, and whether it is in the file.
struct Held {
    at: *mut u8,
    layout: Layout,
    byte: u8,
    is_ours: bool,
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).unwrap()
}

impl World {
    /// Allocates, and fills the block as its only owner may.
    fn take(&self, size: usize, byte: u8) -> Held {
        let layout = layout(size);
        // SAFETY: the size is not zero.
        let at = unsafe { self.spill.alloc(layout) };
        assert!(!at.is_null(), "there is memory");
        self.hold(at, layout, byte)
    }

    fn hold(&self, at: *mut u8, layout: Layout, byte: u8) -> Held {
        let is_inner = self.spill.inner.out.lock().unwrap().get(&at.addr()) == Some(&layout);
        let is_ours = self.spill.is_ours(at);
        assert!(is_ours != is_inner, "a block of both allocators, or none");
        assert!(!is_ours || layout.size() >= THRESHOLD, "it is small");
        // SAFETY: the block has that many bytes.
        unsafe { at.write_bytes(byte, layout.size().min(4096)) };
        Held {
            at,
            layout,
            byte,
            is_ours,
        }
    }

    fn check(&self, held: &Held) {
        point();
        assert_eq!(self.spill.is_ours(held.at), held.is_ours, "it has moved");
        expect(held, held.layout.size());
    }

    fn resize(&self, held: &Held, size: usize) -> Held {
        self.check(held);
        // SAFETY: the block has this layout, and the size is not zero.
        let at = unsafe { self.spill.realloc(held.at, held.layout, size) };
        assert!(!at.is_null(), "there is memory");
        let kept = Held { at, ..*held };
        expect(&kept, kept.layout.size().min(size));
        self.hold(at, layout(size), kept.byte)
    }

    fn free(&self, held: &Held) {
        self.check(held);
        // SAFETY: the block has this layout, and nothing uses it any more.
        unsafe { self.spill.dealloc(held.at, held.layout) };
    }

    /// The actions of one thread. `number` identifies it.
    fn live(&self, number: usize, planted: bool) {
        let size = || SIZES[thread_rng().gen_range(0..SIZES.len())];
        let mut byte = u8::try_from(number * 64).unwrap();
        let mut held = vec![self.take(THRESHOLD, byte)];
        for _ in 0..STEPS {
            byte += 1;
            match thread_rng().gen_range(0..3) {
                0 => held.push(self.take(size(), byte)),
                1 => {
                    if let Some(one) = held.pop() {
                        held.push(self.resize(&one, size()));
                    }
                }
                _ => {
                    if let Some(one) = held.pop() {
                        self.free(&one);
                    }
                }
            }
        }
        for mut one in held {
            // The planted bug: once there is a file, the thread takes all large blocks for blocks
            // in it.
            let all_are_ours = planted && self.spill.blocks().is_some();
            one.is_ours |= all_are_ours && one.layout.size() >= THRESHOLD;
            self.free(&one);
        }
    }

    /// Runs in every system call.
    fn met(&self) {
        // SAFETY: all threads of a model run on one thread of the system. An ordinary load would
        // let other threads run, and once the file is created, locks are held here that the
        // scheduler does not know.
        if unsafe { self.spill.state.raw_load() } != MAKING {
            return;
        }
        let me = thread::current().id();
        let mut makers = self.makers.lock().unwrap();
        if !makers.contains(&me) {
            makers.push(me);
        }
        assert!(makers.len() == 1, "two make the file");
        drop(makers);
        let again = self.take(THRESHOLD, 0);
        assert!(!again.is_ours, "it was made by the inner allocator");
        self.free(&again);
    }
}

fn expect(held: &Held, len: usize) {
    // SAFETY: the block has at least as many bytes, which were written.
    let bytes = unsafe { std::slice::from_raw_parts(held.at, len.min(4096)) };
    let others = bytes.iter().any(|found| *found != held.byte);
    assert!(!others, "bytes of another block");
}

// SAFETY: this is what the test checks; all threads of a model run on one thread of the system.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

/// Threads whose first large blocks arrive at once; if `fails`, one system call of the creation
/// fails, or all from that one on. Returns the final state.
fn first_blocks(fails: bool, planted: bool) -> u8 {
    watch();
    let world = Arc::new(World {
        spill: SpillAlloc::with_inner(THRESHOLD, Inner::default()),
        makers: Mutex::default(),
    });
    if fails {
        arm(Fault {
            after: thread_rng().gen_range(0..CALLS_MAX),
            sticky: thread_rng().gen_range(0..2) == 0,
            outcome: Outcome::Errno(ENOSPC),
        });
    }
    let seen = Arc::clone(&world);
    before_each_call(Some(Rc::new(move || seen.met())));
    let start = |number| {
        let world = Arc::clone(&world);
        thread::spawn(move || world.live(number, planted))
    };
    let threads: Vec<_> = (0..THREADS).map(start).collect();
    for one in threads {
        one.join().unwrap();
    }
    before_each_call(None);
    disarm();
    let mut world = Arc::into_inner(world).unwrap();
    let spill = &mut world.spill;
    let state = spill.state.load(Relaxed);
    assert!(state == READY || fails && state == FAILED, "state {state}");
    assert!(fails || spill.failures() == 0, "nothing has failed");
    assert!(state == READY || spill.failures() > 0, "it is not counted");
    assert!(spill.inner.out.lock().unwrap().is_empty(), "some are lost");
    if state == READY {
        assert!(fails || spill.spilled_bytes() == 0, "some are lost");
        spill.state.store(NONE, Relaxed);
        // SAFETY: it was initialized (invariant 1 of `SpillAlloc`), and is never used again.
        unsafe { spill.blocks.get_mut().assume_init_drop() };
    }
    assert_eq!(unwatch(), (0, 0), "the file is open, or shown");
    state
}

#[test]
fn the_file_is_made_once_and_each_block_is_freed_where_it_came_from() {
    check("first big blocks", 2000, || {
        first_blocks(false, false);
    });
}

#[test]
fn where_the_file_cannot_be_made_all_are_served_and_nothing_is_left_of_it() {
    static WITHOUT_FILE: AtomicUsize = AtomicUsize::new(0);
    let ran = check("first big blocks, and calls that fail", 2000, || {
        if first_blocks(true, false) == FAILED {
            WITHOUT_FILE.fetch_add(1, Relaxed);
        }
    });
    let without = WITHOUT_FILE.load(Relaxed);
    assert!(ran < 100 || (10..ran - 10).contains(&without), "{without}");
}

#[test]
fn a_state_that_is_read_and_written_in_two_steps_is_found_out() {
    finds_torn("two make the file", || {
        first_blocks(false, false);
    });
}

#[test]
fn who_tells_blocks_apart_by_their_size_alone_is_found_out() {
    finds("it has moved", || {
        first_blocks(false, true);
    });
}
