//! Restrictions of the process, and its end: limits, forks, `SIGKILL`. Each test runs in a separate
//! process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use outcore::{Arena, ArenaWriter, ErrorKind, Location};

use crate::support::items::{BUFFER, assert_item, item};
use crate::support::libc::{Resource, in_forked_child, set_limit};
use crate::support::process::{child, tell};
use crate::support::tmpfs::{free_bytes, on_tmpfs, ram};
use crate::support::{arena, disk, test_name};

/// Pushes items of 10,000 bytes until one is refused.
fn push_until_refused(writer: &mut ArenaWriter) -> (Vec<Location>, outcore::Error) {
    let mut pushed = Vec::new();
    loop {
        match writer.push(item(pushed.len() as u64, 10_000)) {
            Ok(location) => pushed.push(location),
            Err(refused) => return (pushed, refused),
        }
    }
}

fn assert_all(arena: &Arena, pushed: &[Location]) {
    for (id, location) in (0..).zip(pushed) {
        assert_item(&arena.get(*location).unwrap(), id, 10_000, "under a limit");
    }
}

/// Passing the limit raises `SIGXFSZ`, which ends the process unless it is ignored.
#[test]
fn a_file_size_limit_is_an_error_and_no_signal() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    set_limit(Resource::FileSize, (3 << 20) + 1000);
    let (mut pushed, refused) = push_until_refused(&mut writer);
    assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
    assert!(refused.to_string().contains("RLIMIT_FSIZE"), "{refused}");
    assert!(
        pushed.len() * 10_000 > (3 << 20) - 10_000,
        "{}",
        pushed.len()
    );
    let refused = writer.push(vec![0; 4 << 20]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
    let as_io = std::io::Error::from(refused);
    assert_eq!(as_io.kind(), std::io::ErrorKind::FileTooLarge);
    writer.flush().unwrap();
    assert_all(&arena, &pushed);
    assert_eq!(arena.dir().unwrap().used_bytes(), 3 << 20);
    set_limit(Resource::FileSize, u64::MAX);
    pushed.push(writer.push(item(pushed.len() as u64, 10_000)).unwrap());
    writer.finish().unwrap();
    assert_all(&arena, &pushed);
}

/// farena F9: when the flush in `finish` failed, writer and data were lost. A limit that is set
/// after preallocation makes it fail.
#[test]
fn a_finish_that_fails_gives_the_writer_back() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let first = writer.push(item(0, 10_000)).unwrap();
    set_limit(Resource::FileSize, 4096);
    for _ in 0..2 {
        let refused = writer.finish().unwrap_err();
        assert_eq!(refused.error().kind(), ErrorKind::FileTooLarge);
        assert_eq!(refused.to_string(), refused.error().to_string());
        assert!(format!("{refused:?}").contains("unflushed_bytes: 10000"));
        writer = refused.into_writer();
    }
    let refused = arena.get(first).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFlushed);
    let mut bytes = Vec::new();
    writer.get_into(first, &mut bytes).unwrap();
    assert_item(&bytes, 0, 10_000, "still in the writer");
    let dropped = arena.clone();
    set_limit(Resource::FileSize, u64::MAX);
    let second = writer.push(item(1, 10_000)).unwrap();
    writer.finish().unwrap();
    assert_all(&dropped, &[first, second]);
}

/// A writer that is dropped and cannot flush loses its buffer; no other bytes may appear there.
#[test]
fn what_a_dropped_writer_could_not_flush_stays_an_error() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let kept = writer.push(item(0, 10_000)).unwrap();
    writer.flush().unwrap();
    let lost = [1, 2].map(|id| writer.push(item(id, 10_000)).unwrap());
    set_limit(Resource::FileSize, 4096);
    drop(writer);
    set_limit(Resource::FileSize, u64::MAX);
    let mut later = Vec::new();
    for id in 10..100 {
        let mut writer = arena.writer().unwrap();
        later.push((id, writer.push(item(id, 10_000)).unwrap()));
    }
    for location in lost {
        let refused = arena.get(location).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFlushed);
    }
    assert_all(&arena, &[kept]);
    for (id, location) in later {
        assert_item(&arena.get(location).unwrap(), id, 10_000, "pushed later");
    }
}

#[test]
fn running_out_of_open_files_is_an_error() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = disk();
    let kept = Arena::new_in(&dir).unwrap();
    let mut writer = kept.writer().unwrap();
    let before = writer.push(item(0, 10_000)).unwrap();
    let open = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    set_limit(Resource::OpenFiles, open + 10);
    let mut arenas = Vec::new();
    let refused = loop {
        let arena = Arena::new_in(&dir).unwrap();
        match arena.writer() {
            Ok(_) => arenas.push(arena),
            Err(refused) => break refused,
        }
        assert!(arenas.len() < 20, "no limit was met");
    };
    assert_eq!(refused.kind(), ErrorKind::Io);
    assert_eq!(refused.path(), Some(dir.path()));
    let answer = refused.io_error().unwrap();
    assert!(answer.to_string().contains("open files"), "{answer}");
    assert!(disk_is_refused(), "opening a directory needs a file, too");
    // Objects that have their file still work, and a closed file can be replaced.
    let after = writer.push(item(1, 10_000)).unwrap();
    writer.finish().unwrap();
    assert_all(&kept, &[before, after]);
    drop(arenas);
    Arena::new_in(&dir).unwrap().writer().unwrap();
}

fn disk_is_refused() -> bool {
    let opened = outcore::ScratchDir::new(env!("CARGO_TARGET_TMPDIR"));
    opened.is_err_and(|refused| refused.kind() == ErrorKind::Io)
}

/// Returns the bytes of addresses that this process uses.
fn address_space() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

/// A map asks for 1 TiB of addresses; under a limit it takes less, and leaves some.
#[test]
fn a_map_finds_room_under_a_limit_of_addresses() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let mut pushed: Vec<_> = (0..100)
        .map(|id| writer.push(item(id, 10_000)).unwrap())
        .collect();
    writer.flush().unwrap();
    set_limit(Resource::AddressSpace, address_space() + (512 << 20));
    let map = arena.map().unwrap();
    pushed.push(writer.push(item(100, 10_000)).unwrap());
    writer.flush().unwrap();
    for (id, location) in (0..).zip(&pushed) {
        assert_item(map.get(*location).unwrap(), id, 10_000, "under a limit");
    }
    // If no addresses are left, it is an error, and reads work without a map.
    set_limit(Resource::AddressSpace, address_space() + (256 << 10));
    let refused = arena.map().unwrap_err();
    set_limit(Resource::AddressSpace, u64::MAX);
    assert_eq!(refused.kind(), ErrorKind::OutOfMemory);
    assert_eq!(refused.path(), Some(arena.dir().unwrap().path()));
    assert_all(&arena, &pushed);
}

/// The reservation took the largest power of two below the limit: nearly nothing could be left for
/// the program.
#[test]
fn a_map_leaves_addresses_for_the_program() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    writer.push(item(0, 10_000)).unwrap();
    writer.flush().unwrap();
    // A little more than a power of two, the worst case.
    set_limit(Resource::AddressSpace, address_space() + (513 << 20));
    let map = arena.map().unwrap();
    let room = Vec::<u8>::new().try_reserve_exact(100 << 20);
    set_limit(Resource::AddressSpace, u64::MAX);
    assert!(room.is_ok(), "nothing left of 513 MiB beside {map:?}");
}

/// A forked child cannot change the arena; the parent's data stays correct.
#[test]
fn a_forked_child_cannot_write_and_the_parent_loses_nothing() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let flushed = writer.push(item(0, 10_000)).unwrap();
    writer.flush().unwrap();
    let unflushed = writer.push(item(1, 10_000)).unwrap();
    let mut writer = Some(writer);
    let ended = in_forked_child(|| {
        let mut writer = writer.take().unwrap();
        let forked = |refused: outcore::Error| assert_eq!(refused.kind(), ErrorKind::Forked);
        forked(writer.flush().unwrap_err());
        forked(writer.push(vec![b'x'; BUFFER]).unwrap_err());
        forked(writer.push(vec![b'x'; 64 << 20]).unwrap_err());
        // Into the buffer of the child, which is a copy.
        writer.push("of the child").unwrap();
        // Reads work as in the parent, and so does an arena of the child.
        assert_item(&arena.get(flushed).unwrap(), 0, 10_000, "in the child");
        let own = Arena::new_in(arena.dir().unwrap()).unwrap();
        let location = own.writer().unwrap().push("of the child").unwrap();
        assert_eq!(own.get(location).unwrap(), b"of the child");
        let refused = writer.finish().unwrap_err();
        assert_eq!(refused.error().kind(), ErrorKind::Forked);
        drop(refused.into_writer());
    });
    assert!(ended.success(), "{ended}");
    let mut writer = writer.unwrap();
    let after = writer.push(item(2, 10_000)).unwrap();
    let large = writer.push(item(3, 1 << 20)).unwrap();
    writer.finish().unwrap();
    assert_all(&arena, &[flushed, unflushed, after]);
    assert_item(&arena.get(large).unwrap(), 3, 1 << 20, "after the fork");
}

/// A writer that was created in the child had its own file if there was more than one core, and a
/// location that the parent took for its own; on one core it was refused.
#[test]
fn a_forked_child_gets_no_way_into_the_parents_arena() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let arena = arena();
    let mut writers = vec![arena.writer().unwrap()];
    let ended = in_forked_child(|| {
        for _ in 0..20 {
            match arena.writer() {
                Ok(mut writer) => {
                    let refused = writer.push("of the child").unwrap_err();
                    assert_eq!(refused.kind(), ErrorKind::Forked);
                    writers.push(writer);
                }
                Err(refused) => assert_eq!(refused.kind(), ErrorKind::Forked),
            }
        }
    });
    assert!(ended.success(), "{ended}");
    assert_eq!(arena.len_bytes(), 0);
}

/// A child that ends drops everything: none of it reaches the parent's file.
#[test]
fn a_forked_child_that_drops_everything_harms_nothing() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let items = [0, 1].map(|id| writer.push(item(id, 10_000)).unwrap());
    // Space that a writer in the parent would give back to the disk.
    writer.push(vec![0; 8 << 20]).unwrap();
    let before = (arena.disk_bytes(), arena.len_bytes());
    let mut owned = Some((arena.clone(), writer));
    let ended = in_forked_child(|| drop(owned.take()));
    assert!(ended.success(), "{ended}");
    assert_eq!((arena.disk_bytes(), arena.len_bytes()), before);
    let (_, writer) = owned.unwrap();
    writer.finish().unwrap();
    assert_all(&arena, &items);
}

/// The page that identifies the process could not be mapped at first, but later it could. From then
/// on, objects that were created before seemed to belong to the parent, and every write was refused
/// as `Forked`.
#[test]
fn a_process_without_memory_for_a_moment_is_the_same_afterwards() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = disk();
    set_limit(Resource::Data, 0);
    let made = Arena::new_in(&dir);
    set_limit(Resource::Data, u64::MAX);
    let arena = made.unwrap();
    let mut writer = arena.writer().unwrap();
    let location = writer.push(item(0, 10_000)).unwrap();
    writer.finish().unwrap();
    assert_all(&arena, &[location]);
}

/// The mapping is read-only, so a child could do no harm with it; yet the child did not inherit it,
/// and a read there ended the process.
#[test]
fn a_map_can_be_read_in_a_forked_child() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let location = writer.push(item(0, 10_000)).unwrap();
    writer.flush().unwrap();
    let map = arena.map().unwrap();
    let ended = in_forked_child(|| {
        assert_item(map.get(location).unwrap(), 0, 10_000, "in the child");
    });
    assert_eq!(ended.signal(), None, "the child was killed");
    assert!(ended.success(), "{ended}");
    assert_item(map.get(location).unwrap(), 0, 10_000, "in the parent");
}

#[test]
fn a_killed_process_leaves_nothing() {
    let Some(again) = child(test_name!()) else {
        let path = std::env::var_os("DIR").map(PathBuf::from).unwrap();
        return fill_and_wait(&path);
    };
    on_tmpfs(test_name!(), 8 << 20, move |path| {
        let base = free_bytes(path);
        let mut victim = again.env("DIR", path).spawn();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| line.unwrap());
        assert!(lines.any(|line| line.contains("filled")));
        assert!(
            free_bytes(path) < base - (4 << 20),
            "the child holds no space"
        );
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
        victim.kill().unwrap();
        assert_eq!(victim.wait().unwrap().signal(), Some(9));
        assert_eq!(free_bytes(path), base);
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    });
}

/// Takes half of a small disk and waits for the end.
fn fill_and_wait(path: &Path) {
    let arena = Arena::new_in(&ram(path)).unwrap();
    let mut writer = arena.writer().unwrap();
    writer.push(item(0, 5 << 20)).unwrap();
    writer.push("not flushed").unwrap();
    tell("filled");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// In a separate process: no other test could make an arena meanwhile.
#[test]
fn arenas_beyond_the_number_of_tags_are_an_error() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = disk();
    let make = |_| Arena::new_in(&dir).unwrap();
    let mut arenas: Vec<Arena> = (1..1 << 16).map(make).collect();
    let refused = Arena::new_in(&dir).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OutOfMemory);
    arenas.swap_remove(700);
    let last = Arena::new_in(&dir).unwrap();
    let location = last.writer().unwrap().push("of the last").unwrap();
    assert_eq!(last.get(location).unwrap(), b"of the last");
    let refused = arenas[0].get(location).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ForeignLocation);
}
