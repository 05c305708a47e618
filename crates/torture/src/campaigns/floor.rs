//! Many threads at the free floor of one directory: the free space never falls below it, and no
//! request is refused for which there is room.

use std::path::Path;
use std::sync::Barrier;
use std::sync::Mutex;
use std::thread;

use allocator_api2::vec::Vec as AllocVec;
use outcore::{Arena, ArenaWriter, DiskAlloc, DiskVec, Error, ErrorKind, ScratchDir};

use crate::job::{Job, counted};
use crate::random::{Random, size};
use crate::room::free_bytes;
use crate::runner::{Campaign, Case, Verdict};

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "floor",
    about: "32 threads that grow at the free floor of a directory: kept, and nothing refused without need",
    short: 24,
    long: 600,
    alone: false,
    canaries: &[("each-alone", 12)],
    case,
};

const MIB: u64 = 1 << 20;
const THREADS: usize = 32;

/// The metadata of the file system while files grow: blocks of extents, directories.
const SLACK: u64 = MIB / 2;

fn case(case: &Case<'_>) -> Verdict {
    let disk = if case.seed % 3 == 0 {
        case.room.tmpfs(96 * MIB)
    } else {
        case.room.ext4(160 * MIB)
    };
    let disk = match disk {
        Ok(disk) => disk,
        Err(why) => return Verdict::Skipped(why),
    };
    let job = Job::new("floor", case.seed, disk.path()).bug(case.bug);
    let what = format!("on {}", disk.path().display());
    let verdict = job.run().verdict();
    verdict.map_err(|why| format!("{what}: {why}")).into()
}

/// The objects of a thread, which keep its space.
struct Held {
    vecs: Vec<DiskVec<u8>>,
    writer: ArenaWriter,
    blocks: Vec<AllocVec<u8, DiskAlloc>>,
}

/// The state that all threads share.
struct Shared {
    dir: ScratchDir,
    alloc: DiskAlloc,
    floor: u64,
    /// Whether each thread checks the floor by itself, as programs without the library do.
    each_alone: bool,
    /// The shortest growth that was refused.
    refused: Mutex<u64>,
}

pub(crate) fn child(job: &Job) {
    let mut random = Random::new(job.number("seed"));
    let path = job.dir();
    let each_alone = job.text("bug") == "each-alone";
    let room = (4 + random.next() % 28) * MIB;
    let floor = free_bytes(&path) - room;
    let dir = ScratchDir::builder(&path).allow_ram(true);
    let dir = if each_alone {
        dir
    } else {
        dir.min_free_bytes(floor)
    };
    let dir = dir.build().unwrap();
    let arena = Arena::new_in(&dir).unwrap();
    let shared = Shared {
        alloc: DiskAlloc::new_in(&dir).unwrap(),
        dir,
        floor,
        each_alone,
        refused: Mutex::new(u64::MAX),
    };
    let start = Barrier::new(THREADS);
    let seeds: Vec<u64> = (0..THREADS).map(|_| random.next()).collect();
    let held: Vec<Held> = thread::scope(|scope| {
        let one = |seed: &u64| {
            let (shared, arena, start, seed) = (&shared, &arena, &start, *seed);
            scope.spawn(move || {
                start.wait();
                one_thread(shared, arena, seed, &path_of(shared))
            })
        };
        let threads: Vec<_> = seeds.iter().map(one).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let free = free_bytes(&path);
    assert!(free + SLACK >= floor, "{free} bytes are free of {floor}");
    let refused = shared.refused.into_inner().unwrap();
    let left = free.saturating_sub(floor);
    assert!(
        left < refused,
        "{refused} bytes were refused, and {left} are there"
    );
    counted(
        "growths",
        held.iter().map(|held| held.vecs.len() as u64).sum(),
    );
    drop(held);
}

fn path_of(shared: &Shared) -> std::path::PathBuf {
    shared.dir.path().to_owned()
}

/// Grows until a growth is refused.
fn one_thread(shared: &Shared, arena: &Arena, seed: u64, path: &Path) -> Held {
    let mut random = Random::new(seed);
    let mut held = Held {
        vecs: Vec::new(),
        writer: arena.writer().unwrap(),
        blocks: Vec::new(),
    };
    loop {
        let bytes = (1 + random.next() % 16) * (128 << 10);
        if shared.each_alone {
            if free_bytes(path).saturating_sub(bytes) < shared.floor {
                return held;
            }
            thread::yield_now();
        }
        let grown = match random.below(8) {
            0 => held.writer.reserve(bytes),
            1 | 2 => in_block(shared, &mut held, bytes),
            _ => in_vec(shared, &mut held, bytes),
        };
        let free = free_bytes(path);
        assert!(
            free + SLACK >= shared.floor,
            "{free} bytes are free of {}",
            shared.floor
        );
        if let Err(refused) = grown {
            assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
            let mut shortest = shared.refused.lock().unwrap();
            // A writer allocates whole extents, and has unflushed bytes.
            *shortest = (*shortest).min(bytes + SLACK);
            return held;
        }
    }
}

fn in_vec(shared: &Shared, held: &mut Held, bytes: u64) -> Result<(), Error> {
    let mut vec = DiskVec::new_in(&shared.dir);
    vec.reserve_exact(size(bytes))?;
    held.vecs.push(vec);
    Ok(())
}

/// An allocator gives no reason, so a vector requests the same space. It must be refused as well,
/// since no space is given back meanwhile.
#[expect(
    clippy::panic_in_result_fn,
    reason = "a panic in a case is what is looked for"
)]
fn in_block(shared: &Shared, held: &mut Held, bytes: u64) -> Result<(), Error> {
    let mut block = AllocVec::new_in(shared.alloc.clone());
    if block.try_reserve_exact(size(bytes)).is_ok() {
        held.blocks.push(block);
        return Ok(());
    }
    let refused = in_vec(shared, held, bytes);
    assert!(
        refused.is_err(),
        "{bytes} bytes were refused, and are there"
    );
    refused
}
