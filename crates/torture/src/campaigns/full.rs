//! Full disks: small file systems on which another file takes and frees space. No signal, no loss,
//! all space is returned, and work continues when there is space again.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use crate::campaigns::kill;
use crate::job::{Ended, Job, Tally};
use crate::random::{Random, size};
use crate::room::{free_bytes, names_in};
use crate::runner::{Campaign, Case, Verdict};
use crate::sys;
use crate::work::{CONTAINERS, PUBLISHED};

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "full",
    about: "small disks that are full: tmpfs of 1 and 8 MiB, ext4 of 16 and 64 MiB, and a neighbour",
    short: 200,
    long: 5000,
    alone: false,
    canaries: &[("believe", 60), ("unclaimed", 4), ("left", 4)],
    case,
};

const MIB: u64 = 1 << 20;

/// The disks, in the order of the seeds.
const DISKS: [(&str, u64); 4] = [
    ("tmpfs", MIB),
    ("tmpfs", 8 * MIB),
    ("ext4", 16 * MIB),
    ("ext4", 64 * MIB),
];

fn case(case: &Case<'_>) -> Verdict {
    let number = size(case.seed);
    let container = CONTAINERS[number % CONTAINERS.len()];
    let (kind, mut bytes) = DISKS[number / CONTAINERS.len() % DISKS.len()];
    let is_ext4 = kind == "ext4" || container == "spill";
    // A global allocator accepts no directory in memory.
    if is_ext4 {
        bytes = bytes.max(16 * MIB);
    }
    let disk = if is_ext4 {
        case.room.ext4(bytes)
    } else {
        case.room.tmpfs(bytes)
    };
    let disk = match disk {
        Ok(disk) => disk,
        Err(why) => return Verdict::Skipped(why),
    };
    let what = format!("{container} on {}", disk.path().display());
    on_disk(case, container, bytes, disk.path())
        .map_err(|why| format!("{what}: {why}"))
        .into()
}

/// Has a container work on a disk of `bytes` bytes.
pub(crate) fn on_disk(
    case: &Case<'_>,
    container: &str,
    bytes: u64,
    path: &Path,
) -> Result<Tally, String> {
    let base = free_bytes(path);
    let mut random = Random::new(case.seed);
    let what = match case.bug {
        Some("unclaimed" | "left") => "bug-full",
        _ => "work",
    };
    let mut job = Job::new(what, case.seed, path)
        .with("container", container)
        .with("steps", if container == "external" { 2 } else { 300 })
        .with("bytes", (bytes + bytes / 2).min(32 * MIB))
        .with("grow", "StorageFull")
        .bug(case.bug);
    // In one case of four, the neighbour is another process at the same time; in the others it
    // alternates with the work, so that the seed repeats everything.
    let beside = random.once_in(4);
    if !beside {
        job = job.with("neighbour", 1);
    }
    let ended = if beside {
        with_neighbour(&job, path, bytes, &mut random)
    } else {
        job.run()
    };
    let mut tally = ended.verdict()?;
    tally.add(&format!("on-{container}"), 1);
    drop(std::fs::remove_file(path.join(PUBLISHED)));
    let left = names_in(path);
    if !left.is_empty() {
        return Err(format!("left behind: {left:?}"));
    }
    kill::all_is_free(path, base)?;
    Ok(tally)
}

/// Runs a job while another process takes and frees space on the same disk, all the time.
fn with_neighbour(job: &Job, path: &Path, bytes: u64, random: &mut Random) -> Ended {
    let name = path.join("beside");
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).open(&name).unwrap();
    let is_done = AtomicBool::new(false);
    let ended = thread::scope(|scope| {
        scope.spawn(|| {
            let ones = vec![1; 32 << 10];
            while !is_done.load(Relaxed) {
                let mut at = 0;
                let end = random.next() % bytes;
                while at < end && !is_done.load(Relaxed) {
                    match file.write_at(&ones, at) {
                        Ok(taken) => at += taken as u64,
                        Err(_full) => break,
                    }
                }
                thread::yield_now();
                file.set_len(random.next() % (at + 1)).unwrap();
            }
        });
        let ended = job.run();
        is_done.store(true, Relaxed);
        ended
    });
    // A child that another worker is starting has the file open until `exec`.
    file.set_len(0).unwrap();
    std::fs::remove_file(name).unwrap();
    ended
}

/// A program that does not preallocate: it makes its file long and maps it.
pub(crate) fn bug(job: &Job) {
    let path = job.dir().join("sparse");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    let file = options.open(&path).unwrap();
    if job.text("bug") == "left" {
        file.set_len(MIB).unwrap();
        return;
    }
    let len = size(2 * free_bytes(&job.dir()) + MIB);
    file.set_len(len as u64).unwrap();
    let bytes = sys::naive_map(&file, len).unwrap();
    for byte in bytes.iter_mut().step_by(4096) {
        *byte = 1;
    }
}
