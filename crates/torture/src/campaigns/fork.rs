//! Forks and started programs while containers live: a child cannot change its parent's data, calls
//! that would are refused, and `Command` works.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use allocator_api2::vec::Vec as AllocVec;
use outcore::range_file::ALIGNMENT;
use outcore::{Arena, DiskAlloc, DiskVec, ErrorKind, RangeFile, ScratchDir};

use crate::job::{Job, counted};
use crate::random::{Random, assert_item, item, size};
use crate::runner::{Campaign, Case, Verdict};
use crate::sys::{in_forked_child, let_std_fork, naive_map};
use crate::work::CONTAINERS;

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "fork",
    about: "forked children and started programs: the parent's data stays, and `Command` works",
    short: 200,
    long: 10_000,
    alone: false,
    canaries: &[("shared", 10), ("touched", 10)],
    case,
};

const SIGSEGV: i32 = 11;
const SIGABRT: i32 = 6;

fn case(case: &Case<'_>) -> Verdict {
    let container = CONTAINERS[size(case.seed) % CONTAINERS.len()];
    let job = Job::new("fork", case.seed, &case.room.fresh("fork"))
        .with("container", container)
        .bug(case.bug);
    let verdict = job.run().verdict();
    verdict.map_err(|why| format!("{container}: {why}")).into()
}

pub(crate) fn child(job: &Job) {
    let dir = ScratchDir::new(job.dir()).unwrap();
    let mut random = Random::new(job.number("seed"));
    match job.text("bug") {
        "shared" => return shared(job),
        "touched" => return owners(&dir, &mut random, true),
        _ => {}
    }
    match job.text("container") {
        "arena" => arena(&dir, &mut random),
        "vec" if random.once_in(2) => owners(&dir, &mut random, false),
        "vec" => vec(&dir, &mut random),
        "alloc" => alloc(&dir, &mut random),
        "ranged" => ranged(&dir, &mut random),
        _ => spill(&mut random),
    }
}

/// A third of the cases start a program instead, in each of the two ways.
fn starts_program(random: &mut Random) -> bool {
    if !random.once_in(3) {
        return false;
    }
    let argument = "x".repeat(random.len(50_000));
    let mut command = Command::new("true");
    command.arg(argument).env("OUTCORE_SPILL", "off");
    let forks = random.once_in(2);
    if forks {
        let_std_fork(&mut command);
    }
    let ended = command.status().unwrap();
    assert!(ended.success(), "{ended}");
    counted(if forks { "started-by-fork" } else { "started" }, 1);
    true
}

/// A child that touched memory it does not have was killed; any other child was not.
#[track_caller]
pub(super) fn check(ended: ExitStatus, touches: bool) {
    let killed = [Some(SIGSEGV), Some(SIGABRT)].contains(&ended.signal());
    assert!(ended.success() || (touches && killed), "the child: {ended}");
    counted("forked", 1);
    counted("children-stopped", u64::from(killed));
}

#[track_caller]
pub(super) fn assert_forked<T>(answer: outcore::Result<T>) {
    assert_eq!(
        answer.err().map(|refused| refused.kind()),
        Some(ErrorKind::Forked)
    );
}

fn arena(dir: &ScratchDir, random: &mut Random) {
    let arena = Arena::new_in(dir).unwrap();
    let mut writer = arena.writer().unwrap();
    let mut push = |id: u64, len| (id, len, writer.push(item(id, len)).unwrap());
    let mut pushed: Vec<_> = (0..20).map(|id| push(id, random.len(400_000))).collect();
    let choice = random.below(5);
    writer.flush().unwrap();
    let unflushed = writer.push("not flushed").unwrap();
    if !starts_program(random) {
        let mut owned = Some((arena.clone(), writer));
        let map = arena.map().unwrap();
        let ended = in_forked_child(|| {
            let (id, len, location) = pushed[3];
            match choice {
                0 => assert_item(&arena.get(location).unwrap(), id, len, "in the child"),
                1 => assert_item(map.get(location).unwrap(), id, len, "in the child's map"),
                2 => {
                    let (_, writer) = owned.as_mut().unwrap();
                    assert_forked(writer.flush());
                    assert_forked(writer.push(vec![9; 1 << 20]));
                }
                3 => assert_forked(arena.writer()),
                _ => drop(owned.take()),
            }
        });
        check(ended, false);
        let (_, back) = owned.take().unwrap();
        writer = back;
    }
    pushed.push((77, 300_000, writer.push(item(77, 300_000)).unwrap()));
    writer.finish().unwrap();
    assert_eq!(arena.get(unflushed).unwrap(), b"not flushed");
    for (id, len, location) in pushed {
        assert_item(&arena.get(location).unwrap(), id, len, "in the parent");
    }
}

fn vec(dir: &ScratchDir, random: &mut Random) {
    let mut numbers = DiskVec::<u64>::new_in(dir);
    let count = 100 + random.len(1 << 20) as u64;
    numbers.try_extend(0..count).unwrap();
    if random.once_in(2) {
        numbers.evict(..).unwrap();
    }
    if !starts_program(random) {
        let index = random.below(numbers.len());
        let choice = random.below(7);
        let mut owned = Some(numbers);
        let ended = in_forked_child(|| {
            let numbers = owned.as_mut().unwrap();
            match choice {
                0 => assert_eq!(numbers[index], index as u64),
                1 => numbers[index] = 666,
                2 => numbers.fill(666),
                // The child has a copy of the window, which fills up after a while.
                3 => while numbers.push(666).is_ok() && numbers.len() < 4 << 20 {},
                4 => drop(numbers.reserve(8 << 20)),
                5 => {
                    numbers.truncate(1);
                    drop(numbers.shrink_to_fit());
                    numbers.truncate_front(1);
                }
                _ => drop(owned.take()),
            }
        });
        check(ended, choice < 6);
        numbers = owned.take().unwrap();
    }
    assert_eq!(numbers.len() as u64, count);
    numbers.try_extend(count..count + 200_000).unwrap();
    assert!(
        numbers.iter().copied().eq(0..count + 200_000),
        "in the parent"
    );
}

/// Elements that own memory: a child drops them, but has only some of them.
fn owners(dir: &ScratchDir, random: &mut Random, touches: bool) {
    let count = 10_000 + random.len(100_000) as u64;
    let texts = |numbers: std::ops::Range<u64>| numbers.map(|number| number.to_string());
    let mut strings = DiskVec::new_in(dir);
    strings.try_extend(texts(0..count)).unwrap();
    if !starts_program(random) {
        let index = random.below(strings.len());
        let choice = random.below(7);
        let mut owned = Some(strings);
        let ended = in_forked_child(|| {
            let mut strings = owned.take().unwrap();
            if touches {
                assert_eq!(strings[0], "0");
            }
            match choice {
                0 => strings.truncate(index),
                1 => strings.truncate_front(index),
                2 => strings.clear(),
                3 => drop(strings.drain(index..)),
                4 => drop(strings.drain(index / 2..index)),
                5 => drop(std::mem::take(&mut strings).into_iter()),
                _ => return,
            }
            // The child's copy of the window may have room.
            drop(strings.push("the child's".to_owned()));
        });
        check(ended, false);
        strings = owned.take().unwrap();
    }
    strings.try_extend(texts(count..count + 20_000)).unwrap();
    assert!(strings.into_iter().eq(texts(0..count + 20_000)));
}

fn alloc(dir: &ScratchDir, random: &mut Random) {
    let alloc = DiskAlloc::new_in(dir).unwrap();
    let mut blocks = Vec::new();
    for id in 0..20_u64 {
        let mut block = AllocVec::new_in(alloc.clone());
        block.extend_from_slice(&item(id, random.len(300_000)));
        blocks.push(block);
    }
    if !starts_program(random) {
        let choice = random.below(6);
        let mut owned = Some(blocks);
        let ended = in_forked_child(|| {
            let blocks = owned.as_mut().unwrap();
            match choice {
                0 => blocks[4].fill(6),
                1 => assert_item(&blocks[4], 4, blocks[4].len(), "in the child"),
                2 => blocks.iter_mut().for_each(|block| block.push(1)),
                3 => {
                    let mut own = AllocVec::<u8, _>::new_in(alloc.clone());
                    assert!(own.try_reserve(100).is_err());
                }
                4 => {
                    let own = DiskAlloc::new_in(dir).unwrap();
                    let mut bytes = AllocVec::new_in(own);
                    bytes.resize(1 << 20, 5_u8);
                    assert!(bytes.iter().all(|byte| *byte == 5));
                }
                _ => drop(owned.take()),
            }
        });
        check(ended, choice < 3);
        blocks = owned.take().unwrap();
    }
    for (id, block) in (0..).zip(&blocks) {
        assert_item(block, id, block.len(), "in the parent");
    }
    blocks[7].reserve(1 << 20);
    assert_item(&blocks[7], 7, blocks[7].len(), "grown in the parent");
}

fn ranged(dir: &ScratchDir, random: &mut Random) {
    let path = dir.path().join("file");
    let file = RangeFile::create(&path, 64 * ALIGNMENT).unwrap();
    let mut ranges = Vec::new();
    // The last ones may be short.
    for blocks in std::iter::repeat_with(|| 1 + random.below(9) as u64)
        .take(8)
        .chain([1; 64])
    {
        if let Some(mut range) = file.allocate(ALIGNMENT * blocks) {
            range.fill(3);
            ranges.push(range);
        }
    }
    let frozen = ranges.pop().map(outcore::FileRangeMut::freeze).unwrap();
    if !starts_program(random) {
        let choice = random.below(6);
        let mut owned = Some((file.clone(), ranges, frozen.clone()));
        let ended = in_forked_child(|| {
            let (file, ranges, frozen) = owned.as_mut().unwrap();
            match choice {
                0 => ranges[0].fill(6),
                1 => assert!(frozen.iter().all(|byte| *byte == 3)),
                2 => assert_forked(ranges[0].write_all_at(&[6; 10], 0)),
                3 => {
                    assert_forked(file.sync_all());
                    assert_forked(frozen.flush());
                }
                4 => assert_forked(file.grow(1000 * ALIGNMENT)),
                _ => drop(owned.take()),
            }
        });
        check(ended, choice < 2);
        let (_, back, _) = owned.take().unwrap();
        ranges = back;
    }
    assert!(
        ranges
            .iter()
            .all(|range| range.iter().all(|byte| *byte == 3))
    );
    drop((ranges, frozen));
    file.publish().unwrap();
    let bytes = std::fs::read(path).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 3), "the published file");
}

fn spill(random: &mut Random) {
    let make = |random: &mut Random, id| item(id, 70_000 + random.len(2 << 20));
    let mut blocks: Vec<Vec<u8>> = (0..8).map(|id| make(random, id)).collect();
    assert_eq!(crate::GLOBAL.failures(), 0, "blocks that were not spilled");
    if !starts_program(random) {
        let choice = random.below(6);
        let mut owned = Some(blocks);
        let ended = in_forked_child(|| {
            let blocks = owned.as_mut().unwrap();
            match choice {
                0 => blocks[4].fill(6),
                1 => assert_item(&blocks[4], 4, blocks[4].len(), "in the child"),
                2 => blocks[5].reserve_exact(10 << 20),
                3 => {
                    let own: Vec<Vec<u8>> = (0..20).map(|id| item(id, 200_000)).collect();
                    for (id, block) in (0..).zip(&own) {
                        assert_item(block, id, 200_000, "the child's own");
                    }
                }
                4 => {
                    let ended = Command::new("true").status().unwrap();
                    assert!(ended.success());
                }
                _ => drop(owned.take()),
            }
        });
        check(ended, choice < 3);
        blocks = owned.take().unwrap();
    }
    for (id, block) in (0..).zip(&mut blocks) {
        assert_item(block, id, block.len(), "in the parent");
        block.reserve_exact(100_000);
        assert_item(block, id, block.len(), "grown in the parent");
    }
}

/// A mapping without any protection: a child stores into its parent's file.
fn shared(job: &Job) {
    let path = job.dir().join("shared");
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .unwrap();
    file.set_len(4096).unwrap();
    let bytes = naive_map(&file, 4096).unwrap();
    in_forked_child(|| bytes.fill(6));
    assert!(
        bytes.iter().all(|byte| *byte == 0),
        "a child has changed its parent's data"
    );
}
