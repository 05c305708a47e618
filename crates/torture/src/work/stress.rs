//! Threads on shared containers: one arena, one allocator, one range file, and a vector for each
//! thread in one directory. Other threads also check what a thread made.

use std::sync::Mutex;
use std::thread;

use allocator_api2::vec::Vec as AllocVec;
use outcore::range_file::ALIGNMENT;
use outcore::{Arena, DiskAlloc, DiskVec, Location, RangeFile, ScratchDir};

use crate::random::{Random, assert_item, item, size};
use crate::work::Work;

/// Items, blocks and ranges that every thread may check and take.
struct Shared {
    dir: ScratchDir,
    arena: Arena,
    alloc: DiskAlloc,
    file: RangeFile,
    items: Mutex<Vec<(u64, usize, Location)>>,
    blocks: Mutex<Vec<(u64, AllocVec<u8, DiskAlloc>)>>,
}

pub(crate) fn run(work: &mut Work) {
    let dir = work.scratch().unwrap();
    let path = work.dir.join("stress");
    let shared = Shared {
        arena: Arena::new_in(&dir).unwrap(),
        alloc: DiskAlloc::new_in(&dir).unwrap(),
        file: RangeFile::create(&path, (work.bytes as u64).max(4 << 20)).unwrap(),
        dir,
        items: Mutex::new(Vec::new()),
        blocks: Mutex::new(Vec::new()),
    };
    if work.has_bug("lose") {
        let location = shared.arena.writer().unwrap().push(item(1, 100)).unwrap();
        shared.items.lock().unwrap().push((2, 100, location));
    }
    let threads = 2 * thread::available_parallelism().map_or(1, usize::from);
    let seeds: Vec<u64> = (0..threads).map(|_| work.random.next()).collect();
    thread::scope(|scope| {
        for seed in &seeds {
            let (shared, steps) = (&shared, work.steps);
            scope.spawn(move || one_thread(shared, *seed, steps));
        }
    });
    work.operations += (threads * work.steps) as u64;
    let Shared {
        arena,
        alloc,
        file,
        items,
        blocks,
        dir: _dir,
    } = shared;
    let items = items.into_inner().unwrap();
    let locations: Vec<Location> = items.iter().map(|(_, _, location)| *location).collect();
    let deliver = |index: usize, bytes: &[u8]| {
        let (id, len, _) = items[index];
        assert_item(bytes, id, len, "at the end");
    };
    arena.get_many(&locations, deliver).unwrap();
    for (id, block) in blocks.into_inner().unwrap() {
        assert_item(&block, id, block.len(), "a block at the end");
    }
    drop(alloc);
    file.publish().unwrap();
    let bytes = std::fs::read(path).unwrap();
    for (number, block) in bytes.chunks(size(ALIGNMENT)).enumerate() {
        let written = block.iter().any(|byte| *byte != 0);
        if written {
            assert_item(block, number as u64, block.len(), "a block of the file");
        }
    }
}

fn one_thread(shared: &Shared, seed: u64, steps: usize) {
    let mut random = Random::new(seed);
    let mut writer = shared.arena.writer().unwrap();
    let mut own: Vec<(u64, usize, Location)> = Vec::new();
    let mut numbers = DiskVec::<u64>::new_in(&shared.dir);
    for step in 0..steps {
        match random.below(12) {
            0..=3 => {
                let longest = if random.once_in(10) { 400_000 } else { 2_000 };
                let (id, len) = (random.next(), random.len(longest));
                own.push((id, len, writer.push(item(id, len)).unwrap()));
            }
            4 => {
                writer.flush().unwrap();
                shared.items.lock().unwrap().append(&mut own);
            }
            5 | 6 => {
                let chosen = {
                    let items = shared.items.lock().unwrap();
                    let index = random.below(items.len());
                    items.get(index).copied()
                };
                if let Some((id, len, location)) = chosen {
                    let bytes = shared.arena.get(location).unwrap();
                    assert_item(&bytes, id, len, "of any thread");
                }
            }
            7 | 8 => exchange_block(shared, &mut random),
            9 => write_ranges(shared, &mut random),
            10 => {
                let from = numbers.len() as u64;
                let count = random.len(60_000) as u64;
                numbers.try_extend(from..from + count).unwrap();
                if random.once_in(3) {
                    numbers.evict(..).unwrap();
                }
            }
            _ => {
                let len = random.below(numbers.len() + 1);
                numbers.truncate(len);
                let same = numbers
                    .iter()
                    .zip(0..)
                    .all(|(found, expected)| *found == expected);
                assert!(same, "step {step}: the thread's own vector");
            }
        }
    }
    writer.finish().unwrap();
    shared.items.lock().unwrap().append(&mut own);
}

/// Stores a block of this thread in the shared list, and often frees or grows one of another
/// thread.
fn exchange_block(shared: &Shared, random: &mut Random) {
    let (id, len) = (random.next(), random.len(100_000));
    let mut block = AllocVec::new_in(shared.alloc.clone());
    block.extend_from_slice(&item(id, len));
    let taken = {
        let mut blocks = shared.blocks.lock().unwrap();
        blocks.push((id, block));
        let index = random.below(blocks.len());
        (blocks.len() > 40 || random.once_in(3)).then(|| blocks.swap_remove(index))
    };
    if let Some((id, mut block)) = taken {
        let len = block.len();
        block.reserve_exact(random.len(50_000));
        assert_item(&block, id, len, "a block of any thread");
    }
}

fn write_ranges(shared: &Shared, random: &mut Random) {
    let Some(mut range) = shared.file.allocate(ALIGNMENT * (1 + random.len(8) as u64)) else {
        return;
    };
    let first = range.start() / ALIGNMENT;
    if random.once_in(4) {
        // A range that was given back reads as zeros.
        assert!(
            range.iter().all(|byte| *byte == 0),
            "{range:?} was used before"
        );
        return;
    }
    for (number, block) in (first..).zip(range.chunks_mut(size(ALIGNMENT))) {
        let len = block.len();
        block.copy_from_slice(&item(number, len));
    }
    range.freeze();
}
