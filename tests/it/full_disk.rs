//! Full disks, on file systems of a few MiB: an error and never a signal, no loss, and work
//! continues when there is space again.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use outcore::{Arena, ArenaWriter, DiskVec, Error, ErrorKind, Location, ScratchDir};

use crate::support::items::{BUFFER, assert_item, item};
use crate::support::libc::resize_tmpfs;
use crate::support::random::{Random, seeds};
use crate::support::test_name;
use crate::support::tmpfs::{free_bytes, on_ext4, on_tmpfs, ram};

const MIB: u64 = 1 << 20;

/// Each thread checked the free floor by itself. 32 threads on a disk with room for 8 above the
/// floor were all accepted before the first had taken its space; the rest was 6 MB below the floor
/// that the user had set.
#[test]
fn the_free_floor_is_kept_by_all_threads_together() {
    const THREADS: usize = 32;
    const EACH: u64 = 4 * MIB;
    on_ext4(test_name!(), 256 * MIB, |path| {
        for round in 0..20 {
            let floor = free_bytes(path) - 8 * EACH - EACH / 2;
            let dir = ScratchDir::builder(path).allow_ram(true);
            let dir = dir.min_free_bytes(floor).build().unwrap();
            let start = Barrier::new(THREADS);
            let grow = || {
                let mut vec = DiskVec::<u8>::new_in(&dir);
                start.wait();
                let grown = vec.reserve_exact(usize::try_from(EACH).unwrap());
                if let Err(refused) = &grown {
                    assert_eq!(refused.kind(), ErrorKind::StorageFull);
                }
                grown.is_ok().then_some(vec)
            };
            let held: Vec<_> = thread::scope(|scope| {
                let threads = [(); THREADS].map(|()| scope.spawn(grow));
                threads.map(|thread| thread.join().unwrap()).into()
            });
            let kept = held.iter().flatten().count();
            assert!(free_bytes(path) >= floor, "{kept} were accepted");
            assert_eq!(kept, 8, "in round {round}: there is room for 8");
        }
    });
}

/// Pushed items: number, length, location.
type Pushed = Vec<(u64, usize, Location)>;

/// Pushes items of `len` bytes until one is refused.
fn push_until_refused(writer: &mut ArenaWriter, len: usize, pushed: &mut Pushed) -> Error {
    loop {
        let id = pushed.len() as u64;
        match writer.push(item(id, len)) {
            Ok(location) => pushed.push((id, len, location)),
            Err(refused) => return refused,
        }
    }
}

/// Reads all flushed items, and some of them in every way.
#[track_caller]
fn assert_all(arena: &Arena, pushed: &Pushed) {
    let locations: Vec<Location> = pushed.iter().map(|pushed| pushed.2).collect();
    let mut delivered = 0;
    let deliver = |index: usize, bytes: &[u8]| {
        let (id, len, _) = pushed[index];
        assert_item(bytes, id, len, "in a batch");
        delivered += 1;
    };
    arena.get_many(&locations, deliver).unwrap();
    assert_eq!(delivered, pushed.len());
    let map = arena.map().unwrap();
    for (id, len, location) in pushed.iter().step_by(pushed.len() / 100 + 1) {
        assert_item(&arena.get(*location).unwrap(), *id, *len, "alone");
        assert_item(map.get(*location).unwrap(), *id, *len, "through a map");
    }
}

/// Fills a disk of `disk` bytes with items of `len` bytes, and drops everything again.
fn fill(path: &Path, disk: u64, len: usize) {
    let what = format!("{len} bytes on a disk of {disk}");
    let base = free_bytes(path);
    let dir = ram(path);
    let arena = Arena::new_in(&dir).unwrap();
    let mut writer = arena.writer().unwrap();
    let mut pushed = Vec::new();
    let refused = push_until_refused(&mut writer, len, &mut pushed);
    assert_eq!(refused.kind(), ErrorKind::StorageFull, "{what}");
    assert_eq!(refused.path(), Some(path), "{what}");
    let free = free_bytes(path);
    let total = pushed.len() as u64 * len as u64;
    let stored = total + BUFFER as u64 + len as u64;
    assert!(stored > base, "{what}: refused after {total} of {base}");
    // A refusal leaves no trace, however often it is repeated.
    for _ in 0..3 {
        let refused = writer.push(item(0, len)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull, "{what}");
        assert_eq!(free_bytes(path), free, "{what}");
        assert!(dir.used_bytes() >= base - free, "{what}");
    }
    writer.finish().unwrap();
    assert_all(&arena, &pushed);
    assert_eq!(arena.len_bytes(), total, "{what}");
    drop(arena);
    assert_eq!(dir.used_bytes(), 0, "{what}");
    assert_eq!(free_bytes(path), base, "{what}");
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0, "{what}");
}

const LENS: [usize; 5] = [10, 4096, 100_000, 300_000, 3 << 20];

#[test]
fn a_full_disk_of_8_mib_is_an_error_and_loses_nothing() {
    on_tmpfs(test_name!(), 8 * MIB, |path| {
        for len in LENS {
            fill(path, 8 * MIB, len);
        }
    });
}

#[test]
fn a_full_disk_of_1_mib_is_an_error_and_loses_nothing() {
    on_tmpfs(test_name!(), MIB, |path| {
        for len in LENS {
            fill(path, MIB, len);
        }
    });
}

/// ext4 leaves a file half grown when the disk is full (linux-facts G3): the refused growth stayed
/// allocated, and the disk stayed full for all programs.
#[test]
fn a_full_ext4_gets_back_what_a_refused_growth_took() {
    on_ext4(test_name!(), 16 * MIB, |path| {
        let free = std::fs::read_dir(path).unwrap().count();
        let dir = ScratchDir::new(path).unwrap();
        let before = dir.report().unwrap().free_bytes;
        let arena = Arena::new_in(&dir).unwrap();
        let mut writer = arena.writer().unwrap();
        let mut pushed = Vec::new();
        for len in [3 << 20, 300_000, 4096] {
            let refused = push_until_refused(&mut writer, len, &mut pushed);
            assert_eq!(refused.kind(), ErrorKind::StorageFull);
            let left = dir.report().unwrap().free_bytes;
            writer.push(item(0, 30 << 20)).unwrap_err();
            assert_eq!(dir.report().unwrap().free_bytes, left, "{len}");
            assert!(
                before - left <= dir.used_bytes() + MIB,
                "{len}: more than claimed"
            );
        }
        writer.finish().unwrap();
        assert_all(&arena, &pushed);
        drop(arena);
        assert_eq!(dir.report().unwrap().free_bytes, before);
        assert_eq!(std::fs::read_dir(path).unwrap().count(), free);
    });
}

/// farena F2: a push that the full disk cut short left part of its bytes in the file and the
/// cursor where it was, so that every later location named bytes of the failed push.
#[test]
fn a_push_that_fails_leaves_right_locations() {
    on_tmpfs(test_name!(), 64 << 10, |path| {
        let arena = Arena::new_in(&ram(path)).unwrap();
        let mut writer = arena.writer().unwrap();
        let refused = writer.push(vec![b'x'; 100 << 10]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
        resize_tmpfs(path, 8 * MIB);
        let new = writer.push("new").unwrap();
        writer.flush().unwrap();
        assert_eq!(arena.get(new).unwrap(), b"new");
    });
}

/// The same in the middle of a file: behind written items, and behind unwritten ones.
#[test]
fn a_push_that_fails_behind_others_leaves_right_locations() {
    on_tmpfs(test_name!(), MIB, |path| {
        let arena = Arena::new_in(&ram(path)).unwrap();
        let mut writer = arena.writer().unwrap();
        let mut pushed = Vec::new();
        for (id, len) in [(0, 300_000), (1, 17), (2, 100_000), (3, 1)] {
            pushed.push((id, len, writer.push(item(id, len)).unwrap()));
            for too_long in [800_000, 2 << 20] {
                let refused = writer.push(vec![b'x'; too_long]).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::StorageFull);
            }
        }
        resize_tmpfs(path, 8 * MIB);
        for (id, len) in [(4, 3), (5, 2 << 20), (6, 800_000), (7, 0)] {
            pushed.push((id, len, writer.push(item(id, len)).unwrap()));
        }
        writer.finish().unwrap();
        assert_all(&arena, &pushed);
    });
}

#[test]
fn what_still_fits_is_taken_after_what_does_not() {
    on_tmpfs(test_name!(), MIB, |path| {
        let arena = Arena::new_in(&ram(path)).unwrap();
        let mut writer = arena.writer().unwrap();
        let mut pushed = Vec::new();
        for len in [400_000, 100_000, 9000, 500, 3] {
            let refused = push_until_refused(&mut writer, len, &mut pushed);
            assert_eq!(refused.kind(), ErrorKind::StorageFull);
        }
        writer.finish().unwrap();
        assert_all(&arena, &pushed);
        assert!(arena.len_bytes() > MIB - 10, "{arena:?}");
    });
}

/// farena F9: `finish` consumed the writer; when its flush met the full disk, everything was lost.
/// Accepted items have their space already.
#[test]
fn what_was_accepted_can_be_finished_on_a_full_disk() {
    on_tmpfs(test_name!(), 2 * MIB, |path| {
        let arena = Arena::new_in(&ram(path)).unwrap();
        let mut writers = [arena.writer().unwrap(), arena.writer().unwrap()];
        let mut pushed = Vec::new();
        for (id, writer) in (0..).zip(&mut writers) {
            pushed.push((id, 100, writer.push(item(id, 100)).unwrap()));
        }
        let filler = Filler::new(path);
        filler.take(8 * MIB);
        assert_eq!(free_bytes(path), 0);
        let [finished, dropped] = &mut writers;
        pushed.push((2, 9000, finished.push(item(2, 9000)).unwrap()));
        pushed.push((3, 9000, dropped.push(item(3, 9000)).unwrap()));
        let [finished, dropped] = writers;
        finished.finish().unwrap();
        drop(dropped);
        assert_all(&arena, &pushed);
    });
}

#[test]
fn what_was_reserved_can_be_pushed_on_a_full_disk() {
    on_tmpfs(test_name!(), 2 * MIB, |path| {
        let dir = ram(path);
        let arena = Arena::new_in(&dir).unwrap();
        let mut writer = arena.writer().unwrap();
        let mut pushed = vec![(0, 700, writer.push(item(0, 700)).unwrap())];
        let claimed = dir.used_bytes();
        for too_much in [3 * MIB, 1 << 43] {
            let refused = writer.reserve(too_much).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::StorageFull, "{too_much}");
            assert_eq!(dir.used_bytes(), claimed, "{too_much}");
        }
        writer.reserve(MIB).unwrap();
        let filler = Filler::new(path);
        filler.take(8 * MIB);
        assert_eq!(free_bytes(path), 0);
        for (id, len) in [(1, 400_000), (2, 300_000), (3, 348_576)] {
            pushed.push((id, len, writer.push(item(id, len)).unwrap()));
        }
        let accepted: usize = pushed.iter().skip(1).map(|pushed| pushed.1).sum();
        assert_eq!(accepted as u64, MIB);
        writer.finish().unwrap();
        assert_all(&arena, &pushed);
    });
}

/// The unused rest of a writer's block was lost, so that the other writers met a full disk too
/// early.
#[test]
fn a_writer_takes_what_others_gave_back() {
    on_tmpfs(test_name!(), 2 * MIB, |path| {
        let arena = Arena::new_in(&ram(path)).unwrap();
        let mut writers: Vec<_> = (0..4).map(|_| arena.writer().unwrap()).collect();
        let mut pushed = Vec::new();
        for writer in &mut writers {
            let id = pushed.len() as u64;
            pushed.push((id, 5000, writer.push(item(id, 5000)).unwrap()));
        }
        let mut last = writers.pop().unwrap();
        push_until_refused(&mut last, 5000, &mut pushed);
        let before = pushed.len();
        // Three ends of at least 250,000 bytes each become free.
        for writer in writers {
            writer.finish().unwrap();
        }
        push_until_refused(&mut last, 5000, &mut pushed);
        let more = pushed.len() - before;
        assert!(more >= 3 * 50, "only {more} items of 5,000 bytes more");
        last.finish().unwrap();
        assert_all(&arena, &pushed);
    });
}

#[test]
fn the_free_floor_is_kept_on_a_real_file_system() {
    on_tmpfs(test_name!(), 8 * MIB, |path| {
        let dir = ScratchDir::builder(path)
            .allow_ram(true)
            .min_free_bytes(5 * MIB);
        let arena = Arena::new_in(&dir.build().unwrap()).unwrap();
        let mut writer = arena.writer().unwrap();
        let mut pushed = Vec::new();
        let refused = push_until_refused(&mut writer, 10_000, &mut pushed);
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
        assert!(refused.to_string().contains("free"), "{refused}");
        let free = free_bytes(path);
        assert!((5 * MIB..6 * MIB).contains(&free), "{free}");
        writer.finish().unwrap();
        assert_all(&arena, &pushed);
    });
}

/// A file of another program on the same disk.
struct Filler {
    file: File,
    path: std::path::PathBuf,
}

impl Filler {
    fn new(path: &Path) -> Self {
        let path = path.join("filler");
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).open(&path).unwrap();
        Self { file, path }
    }

    /// Grows by `bytes`, or as far as the disk allows.
    fn take(&self, bytes: u64) {
        let mut at = self.file.metadata().unwrap().len();
        let end = at + bytes;
        while at < end {
            match self.file.write_at(&[1; 4096], at) {
                Ok(taken) => at += taken as u64,
                Err(_full) => return,
            }
        }
    }

    fn give(&self, bytes: u64) {
        let len = self.file.metadata().unwrap().len();
        self.file.set_len(len.saturating_sub(bytes)).unwrap();
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}

/// Two writers on a disk that another file fills and empties.
fn run(path: &Path, seed: u64, sabotage: impl Fn(&mut Pushed)) {
    let mut random = Random::new(seed);
    let base = free_bytes(path);
    let filler = Filler::new(path);
    filler.take(random.next() % (8 * MIB));
    let arena = Arena::new_in(&ram(path)).unwrap();
    let mut writers = [arena.writer().unwrap(), arena.writer().unwrap()];
    let (mut pushed, mut refusals) = (Vec::new(), 0);
    for step in 0..400 {
        let what = format!("seed {seed}, step {step}");
        let writer = &mut writers[random.below(2)];
        match random.below(20) {
            0 | 1 => filler.take(random.next() % (4 * MIB)),
            2 | 3 => filler.give(random.next() % (4 * MIB)),
            // Both only move data that has its space already.
            4 => writer
                .flush()
                .unwrap_or_else(|refused| panic!("{what}: {refused}")),
            5 => {
                let ended = std::mem::replace(writer, arena.writer().unwrap());
                ended
                    .finish()
                    .unwrap_or_else(|refused| panic!("{what}: {refused}"));
            }
            choice => {
                let id = random.next();
                let len = random.below([30, 30, 3000, 100_000, 400_000][choice % 5]);
                match writer.push(item(id, len)) {
                    Ok(location) => pushed.push((id, len, location)),
                    Err(refused) => {
                        assert_eq!(refused.kind(), ErrorKind::StorageFull, "{what}");
                        refusals += 1;
                    }
                }
            }
        }
    }
    sabotage(&mut pushed);
    for writer in writers {
        writer.finish().unwrap();
    }
    for (id, len, location) in &pushed {
        let found = arena.get(*location).unwrap();
        assert_item(&found, *id, *len, &format!("seed {seed}: {location:?}"));
    }
    // On 8 MiB, every seed has a refusal: the other file alone needs more space than that.
    assert!(refusals > 0, "seed {seed}: the disk was never full");
    drop((arena, filler));
    assert_eq!(free_bytes(path), base, "seed {seed}");
}

#[test]
fn pushes_go_on_when_space_comes_back() {
    on_tmpfs(test_name!(), 8 * MIB, |path| {
        for seed in seeds(16) {
            run(path, seed, |_| {});
        }
    });
}

#[test]
fn a_planted_fault_is_found() {
    on_tmpfs(test_name!(), 8 * MIB, |path| {
        let planted = std::panic::catch_unwind(|| run(path, 0, |pushed| pushed[0].0 ^= 1));
        let panic = planted.unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("seed 0"), "{message}");
    });
}
