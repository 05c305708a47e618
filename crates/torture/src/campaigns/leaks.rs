//! Each container is made, grown and dropped a thousand times: descriptors, mappings and space are
//! released at the end.

use std::fs;
use std::mem::ManuallyDrop;

use allocator_api2::vec::Vec as AllocVec;
use outcore::range_file::ALIGNMENT;
use outcore::{Arena, DiskAlloc, DiskVec, RangeFile, ScratchDir};

use crate::job::{Job, Tally, counted};
use crate::process::open_descriptors;
use crate::random::{Random, size};
use crate::room::names_in;
use crate::runner::{Campaign, Case, Verdict};
use crate::work::CONTAINERS;

/// How often one case makes a container.
const ROUNDS: u64 = 1000;

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "leaks",
    about: "each container made, grown and dropped 1,000 times: descriptors and mappings released",
    short: 5,
    long: 50,
    alone: false,
    canaries: &[("leak", 5)],
    case,
};

fn case(case: &Case<'_>) -> Verdict {
    let container = CONTAINERS[size(case.seed) % CONTAINERS.len()];
    let dir = case.room.fresh("leaks");
    let job = Job::new("leaks", case.seed, &dir)
        .with("container", container)
        .bug(case.bug);
    let checked = |tally: Tally| match names_in(&dir) {
        left if left.is_empty() => Ok(tally),
        left => Err(format!("left behind: {left:?}")),
    };
    let verdict = job.run().verdict().and_then(checked);
    verdict.map_err(|why| format!("{container}: {why}")).into()
}

/// Returns the number of mappings of this process.
fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

pub(crate) fn child(job: &Job) {
    let dir = ScratchDir::new(job.dir()).unwrap();
    let mut random = Random::new(job.number("seed"));
    let container = job.text("container");
    let round = |random: &mut Random| match container {
        "arena" => arena(&dir, random),
        "vec" => vec(&dir, random),
        "alloc" => alloc(&dir, random),
        "ranged" => ranged(&dir, random),
        _ => drop(vec![1_u8; 64 << 10 << random.below(6)]),
    };
    // By then the process has everything that it keeps for good, such as the page that detects
    // forked children.
    for _ in 0..20 {
        round(&mut random);
    }
    let (descriptors, maps, held) = (open_descriptors(), mappings(), outcore::stats());
    for number in 0..ROUNDS {
        round(&mut random);
        if number == 500 && job.text("bug") == "leak" {
            let kept = ManuallyDrop::new(DiskVec::<u64>::with_capacity_in(1 << 20, &dir));
            assert!(kept.is_ok());
        }
    }
    let now = outcore::stats();
    assert_eq!(open_descriptors(), descriptors, "descriptors");
    assert_eq!(now.open_files, held.open_files, "open files");
    assert_eq!(now.mapped_bytes, held.mapped_bytes, "mapped bytes");
    if container != "spill" {
        assert_eq!(now.disk_bytes, held.disk_bytes, "bytes on disk");
        assert_eq!(dir.used_bytes(), 0, "bytes of the budget");
    }
    // The C library and the kernel may split and join mappings.
    let grown = mappings().saturating_sub(maps);
    assert!(grown <= 8, "{grown} more mappings than before");
    counted("rounds", ROUNDS);
}

fn arena(dir: &ScratchDir, random: &mut Random) {
    let arena = Arena::new_in(dir).unwrap();
    let mut writers = [arena.writer().unwrap(), arena.writer().unwrap()];
    let bytes = vec![1; random.len(1 << 20)];
    let location = writers[random.below(2)].push(&bytes).unwrap();
    let [first, second] = writers;
    first.finish().unwrap();
    drop(second);
    assert_eq!(arena.map().unwrap().get(location).unwrap(), bytes);
    arena
        .get_many(&[location; 3], |_, found| assert_eq!(found, bytes))
        .unwrap();
    assert_eq!(arena.stream([location]).next().unwrap().unwrap(), bytes);
}

fn vec(dir: &ScratchDir, random: &mut Random) {
    let mut numbers = DiskVec::new_in(dir);
    numbers.try_extend(0..random.len(1 << 18) as u64).unwrap();
    if random.once_in(10) {
        numbers.evict(..).unwrap();
    }
    numbers.truncate_front(random.len(1000));
    let copy = numbers.try_copy().unwrap();
    assert_eq!(copy, numbers);
}

fn alloc(dir: &ScratchDir, random: &mut Random) {
    let alloc = DiskAlloc::new_in(dir).unwrap();
    let mut blocks = AllocVec::new_in(alloc.clone());
    for _ in 0..20 {
        let mut block = AllocVec::new_in(alloc.clone());
        block.resize(random.len(300_000), 1_u8);
        blocks.push(block);
    }
    drop(blocks);
}

fn ranged(dir: &ScratchDir, random: &mut Random) {
    let path = dir.path().join("file");
    let file = RangeFile::create(&path, ALIGNMENT * (1 + random.len(100) as u64)).unwrap();
    let mut range = file.allocate(ALIGNMENT).unwrap();
    range.fill(1);
    file.grow(200 * ALIGNMENT).unwrap();
    drop(range);
    if random.once_in(20) {
        file.publish().unwrap();
        fs::remove_file(path).unwrap();
    }
}
