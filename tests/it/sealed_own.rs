//! Arenas whose own file becomes the sealed one.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use outcore::sealed::SealedFile;
use outcore::{Arena, ErrorKind, Location};

use crate::support::random::Random;
use crate::support::{disk, new_dir};

type Items = Vec<(Location, Vec<u8>)>;

/// Pushes items by one writer after another, with flushes anywhere.
fn fill(arena: &Arena, random: &mut Random) -> Items {
    let mut items = Items::new();
    for _writer in 0..=random.below(4) {
        let mut writer = arena.writer().unwrap();
        for _ in 0..random.below(100) {
            let len = match random.below(20) {
                0 => 200_000 + random.below(400_000),
                1 => 0,
                2 => (16 << 10) * random.below(3),
                _ => random.below(3000),
            };
            let mut bytes = vec![0; len];
            random.fill(&mut bytes);
            items.push((writer.push(&bytes).unwrap(), bytes));
            if random.below(10) == 0 {
                writer.flush().unwrap();
            }
            if random.below(50) == 0 {
                writer.reserve(random.below(1 << 20) as u64).unwrap();
            }
        }
        if random.below(3) == 0 {
            // A drop flushes too.
            drop(writer);
        } else {
            writer.finish().unwrap();
        }
    }
    items
}

fn check(arena: &Arena, items: &Items) {
    let total: usize = items.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(arena.len_bytes(), total as u64);
    for (location, bytes) in items {
        assert!(arena.get(*location).unwrap() == *bytes, "{location:?}");
    }
    let locations: Vec<_> = items.iter().map(|(location, _)| *location).collect();
    let read = arena.get_many(&locations, |at, bytes| assert!(bytes == items[at].1));
    read.unwrap();
}

/// Compares the arena in a file, and the file.
fn check_sealed(arena: &Arena, path: &Path, items: &Items) {
    check(arena, items);
    assert!(arena.dir().is_none());
    assert_eq!(arena.writer().unwrap_err().kind(), ErrorKind::ReadOnly);
    SealedFile::open(path).unwrap().verify(|_done| {}).unwrap();
    check(&Arena::open(path).unwrap(), items);
}

#[test]
fn an_arena_that_becomes_a_file_answers_as_before() {
    let dir = new_dir();
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let path = dir.join(format!("arena-{seed}"));
        let arena = Arena::sealable_in(&disk()).unwrap();
        let items = fill(&arena, &mut random);
        check(&arena, &items);
        let arena = arena.into_sealed(&path).unwrap();
        check_sealed(&arena, &path, &items);
    }
}

#[test]
fn nothing_of_a_file_counts_against_the_quota_of_its_scratch_directory() {
    let dir = new_dir();
    let scratch = disk();
    let arena = Arena::sealable_in(&scratch).unwrap();
    let items = fill(&arena, &mut Random::new(5));
    assert!(scratch.used_bytes() > 0);
    let arena = arena.into_sealed(dir.join("arena")).unwrap();
    assert_eq!(scratch.used_bytes(), 0);
    check_sealed(&arena, &dir.join("arena"), &items);
}

#[test]
fn a_name_that_is_taken_leaves_both_alone_and_the_arena_can_go_on() {
    let dir = new_dir();
    let path = dir.join("arena");
    fs::write(&path, "taken").unwrap();
    let arena = Arena::sealable_in(&disk()).unwrap();
    let mut random = Random::new(1);
    let mut items = fill(&arena, &mut random);
    let refused = arena.into_sealed(&path).unwrap_err();
    let answer = refused.error().io_error().unwrap().kind();
    assert_eq!(answer, io::ErrorKind::AlreadyExists);
    assert!(refused.to_string().contains("arena"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"taken");
    let arena = refused.into_arena();
    items.extend(fill(&arena, &mut random));
    check(&arena, &items);
    // A map keeps the file from getting a name.
    let map = arena.map().unwrap();
    let arena = arena.into_sealed(dir.join("copy")).unwrap();
    check_sealed(&arena, &dir.join("copy"), &items);
    for (location, bytes) in &items {
        assert!(map.get(*location).unwrap() == *bytes);
    }
}

#[test]
fn a_replaced_file_keeps_its_mode_and_its_readers() {
    let dir = new_dir();
    let path = dir.join("arena");
    let mut random = Random::new(2);
    let old = Arena::sealable_in(&disk()).unwrap();
    let old_items = fill(&old, &mut random);
    let old = old.into_sealed_replacing(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let arena = Arena::sealable_in(&disk()).unwrap();
    let items = fill(&arena, &mut random);
    let arena = arena.into_sealed_replacing(&path).unwrap();
    check_sealed(&arena, &path, &items);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    check(&old, &old_items);
    let left: Vec<_> = fs::read_dir(&*dir).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_new_file_has_the_mode_of_any_new_file() {
    let dir = new_dir();
    let arena = Arena::sealable_in(&disk()).unwrap();
    let mut writer = arena.writer().unwrap();
    writer.push("one").unwrap();
    writer.finish().unwrap();
    drop(arena.into_sealed(dir.join("arena")).unwrap());
    fs::write(dir.join("any"), "").unwrap();
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().mode();
    assert_eq!(mode("arena"), mode("any"));
}

#[test]
fn on_another_file_system_there_is_a_copy() {
    let shm = Path::new("/dev/shm");
    let device = |path: &Path| fs::metadata(path).map(|facts| facts.dev()).ok();
    if device(shm).is_none() || device(shm) == device(disk().path()) {
        return eprintln!("skipped: there is no other file system");
    }
    let path = shm.join(format!("outcore-sealed-own-{}", std::process::id()));
    let arena = Arena::sealable_in(&disk()).unwrap();
    let items = fill(&arena, &mut Random::new(3));
    let arena = arena.into_sealed(&path).unwrap();
    check_sealed(&arena, &path, &items);
    fs::remove_file(&path).unwrap();
}

#[test]
fn an_arena_that_many_threads_filled_becomes_a_file_too() {
    let dir = new_dir();
    let path = dir.join("arena");
    let arena = Arena::sealable_in(&disk()).unwrap();
    let items: Items = std::thread::scope(|scope| {
        let work = |seed| {
            let arena = &arena;
            scope.spawn(move || fill(arena, &mut Random::new(seed)))
        };
        let threads: Vec<_> = (0..4).map(work).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    check(&arena, &items);
    let arena = arena.into_sealed(&path).unwrap();
    check_sealed(&arena, &path, &items);
}

/// The first bytes of the file belong to no item, also before it is sealed: a forged location of them
/// leads to zeros or to an error.
#[test]
fn the_space_for_the_head_holds_nothing() {
    let dir = new_dir();
    let arena = Arena::sealable_in(&disk()).unwrap();
    let mut writer = arena.writer().unwrap();
    let first = writer.push([7; 100]).unwrap();
    writer.finish().unwrap();
    let mut bytes = first.to_bytes();
    bytes[4..8].fill(0);
    let head = Location::from_bytes(bytes);
    assert_eq!(arena.get(head).unwrap(), [0; 100]);
    let arena = arena.into_sealed(dir.join("arena")).unwrap();
    assert_eq!(arena.get(head).unwrap_err().kind(), ErrorKind::OutOfBounds);
    assert_eq!(arena.get(first).unwrap(), [7; 100]);
}
