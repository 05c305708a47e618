//! More data than memory: four times the limit of a control group, written, changed and verified
//! repeatedly, for the requested time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use allocator_api2::vec::Vec as AllocVec;
use outcore::{Arena, DiskAlloc, DiskVec, Location, ScratchDir};

use crate::job::{Job, Tally, counted};
use crate::random::{Random, assert_item, item};
use crate::runner::{Campaign, Case, Verdict};

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "soak",
    about: "data four times a memory cgroup (64 MiB; 256 MiB with --long), all of it verified",
    short: 1,
    long: 1,
    alone: true,
    canaries: &[("lose", 1)],
    case,
};

const MIB: u64 = 1 << 20;

/// A memory control group of our own, of either version.
struct Group {
    folder: PathBuf,
    is_v2: bool,
}

impl Group {
    fn new(bytes: u64) -> Result<Self, String> {
        let no = |why: std::io::Error| format!("no memory cgroup: {why}");
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let is_v2 = controllers.split_whitespace().any(|name| name == "memory");
        let name = format!("outcore-torture-{}", std::process::id());
        let folder = if is_v2 {
            fs::write(root.join("cgroup.subtree_control"), "+memory").map_err(no)?;
            root.join(name)
        } else {
            root.join("memory").join(name)
        };
        fs::create_dir(&folder).map_err(no)?;
        let group = Self { folder, is_v2 };
        let limit = if is_v2 {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        fs::write(group.folder.join(limit), bytes.to_string()).map_err(no)?;
        let swap = if is_v2 {
            "memory.swap.max"
        } else {
            "memory.swappiness"
        };
        // Without swap accounting, this file does not exist.
        drop(fs::write(group.folder.join(swap), "0"));
        Ok(group)
    }

    /// Returns a counter of the group.
    fn count(&self, v2: &str, v1: &str) -> u64 {
        let name = if self.is_v2 { v2 } else { v1 };
        let text = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Version 1 keeps charging the page cache of the processes that ran inside.
        drop(fs::write(self.folder.join("memory.force_empty"), "0"));
        if let Err(left) = fs::remove_dir(&self.folder) {
            crate::say(format_args!("a memory group is left behind: {left}"));
        }
    }
}

fn case(case: &Case<'_>) -> Verdict {
    let limit = if case.long { 256 * MIB } else { 64 * MIB };
    let group = match Group::new(limit) {
        Ok(group) => group,
        Err(why) => return Verdict::Skipped(why),
    };
    let seconds = match case.seconds {
        0 if case.long => 1800,
        0 => 3,
        asked => asked,
    };
    let job = Job::new("soak", case.seed, &case.room.fresh("soak"))
        .path("group", &group.folder)
        .with("bytes", 4 * limit)
        .with("seconds", seconds)
        .with("no-alarm", 1)
        .bug(case.bug);
    let counted = |mut tally: Tally| {
        let peak = group.count("memory.peak", "memory.max_usage_in_bytes");
        tally.add("max-mib-of-the-group", peak / MIB);
        tally.add("max-mib-allowed", limit / MIB);
        tally
    };
    job.run().verdict().map(counted).into()
}

/// The data of one container, in pieces that a number determines each, and how to change them.
struct Data {
    arena: Arena,
    items: Vec<(u64, usize, Location)>,
    numbers: DiskVec<u64>,
    /// The sum that was added to each number so far.
    added: u64,
    blocks: Vec<(u64, AllocVec<u8, DiskAlloc>)>,
    alloc: DiskAlloc,
}

pub(crate) fn child(job: &Job) {
    let own = std::process::id().to_string();
    fs::write(job.path_of("group").join("cgroup.procs"), own).unwrap();
    let end = Instant::now() + Duration::from_secs(job.number("seconds"));
    let mut random = Random::new(job.number("seed"));
    let dir = ScratchDir::new(job.dir()).unwrap();
    let mut data = fill(&dir, job.number("bytes"), &mut random);
    if job.text("bug") == "lose" {
        let last = data.numbers.len() / 2;
        data.numbers[last] ^= 1;
    }
    let mut verified = 0;
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < end {
        verified += verify(&data);
        change(&mut data, &mut random);
        look_around(&data, &mut random);
        counted("max-mib-resident", resident_mib());
        rounds += 1;
    }
    verified += verify(&data);
    counted("mib-of-data", job.number("bytes") / MIB);
    counted("mib-verified", verified / MIB);
    counted("rounds", rounds);
}

/// Three eighths in an arena, three in a vector, two in an allocator.
fn fill(dir: &ScratchDir, bytes: u64, random: &mut Random) -> Data {
    let eighth = bytes / 8;
    let arena = Arena::new_in(dir).unwrap();
    let mut writer = arena.writer().unwrap();
    let mut items = Vec::new();
    while arena.len_bytes() < 3 * eighth {
        let (id, len) = (random.next(), 2_000 + random.len(200_000));
        items.push((id, len, writer.push(item(id, len)).unwrap()));
    }
    writer.finish().unwrap();
    let mut numbers = DiskVec::new_in(dir);
    numbers.try_extend(0..3 * eighth / 8).unwrap();
    let alloc = DiskAlloc::new_in(dir).unwrap();
    let mut blocks = Vec::new();
    let mut held = 0;
    while held < 2 * eighth {
        let (id, len) = (random.next(), 10_000 + random.len(1 << 20));
        blocks.push((id, block(&alloc, id, len)));
        held += len as u64;
    }
    Data {
        arena,
        items,
        numbers,
        added: 0,
        blocks,
        alloc,
    }
}

fn block(alloc: &DiskAlloc, id: u64, len: usize) -> AllocVec<u8, DiskAlloc> {
    let mut block = AllocVec::new_in(alloc.clone());
    block.try_reserve_exact(len).unwrap();
    block.extend_from_slice(&item(id, len));
    block
}

/// Checks every element; returns the number of bytes.
fn verify(data: &Data) -> u64 {
    let locations: Vec<Location> = data
        .items
        .iter()
        .map(|(_, _, location)| *location)
        .collect();
    let mut bytes = 0;
    for (index, found) in data.arena.stream(locations).enumerate() {
        let (id, len, _) = data.items[index];
        assert_item(&found.unwrap(), id, len, "of the arena");
        bytes += len as u64;
    }
    let mut expected = data.added;
    for chunk in data.numbers.scan() {
        for number in chunk {
            assert_eq!(*number, expected, "of the vector");
            expected += 1;
        }
        bytes += size_of_val(chunk) as u64;
    }
    assert_eq!(expected - data.added, data.numbers.len() as u64);
    for (id, block) in &data.blocks {
        assert_item(block, *id, block.len(), "of the allocator");
        bytes += block.len() as u64;
    }
    bytes
}

/// Changes each number, and replaces some blocks.
fn change(data: &mut Data, random: &mut Random) {
    for number in &mut data.numbers {
        *number += 1;
    }
    data.added += 1;
    for _ in 0..data.blocks.len() / 8 {
        let chosen = random.below(data.blocks.len());
        let len = data.blocks.swap_remove(chosen).1.len();
        let id = random.next();
        data.blocks.push((id, block(&data.alloc, id, len)));
    }
}

/// Checks single elements at random.
fn look_around(data: &Data, random: &mut Random) {
    let locations: Vec<usize> = (0..500).map(|_| random.below(data.items.len())).collect();
    let chosen: Vec<Location> = locations.iter().map(|index| data.items[*index].2).collect();
    let deliver = |index: usize, found: &[u8]| {
        let (id, len, _) = data.items[locations[index]];
        assert_item(found, id, len, "in a batch");
    };
    data.arena.get_many(&chosen, deliver).unwrap();
    let indices: Vec<usize> = (0..2000)
        .map(|_| random.below(data.numbers.len()))
        .collect();
    for (index, found) in indices.iter().zip(data.numbers.gather(&indices).unwrap()) {
        assert_eq!(found, *index as u64 + data.added, "gathered");
    }
}

/// Returns the resident memory of this process.
fn resident_mib() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64 / MIB
}
