//! Vectors of strings and spools: on small disks that are full at any moment, on three file systems,
//! with calls that fail, killed at any moment, and in forked children.

use outcore::{ErrorKind, MemoryBudget, ScratchDir, Spool};

use crate::campaigns::fork::{assert_forked, check};
use crate::campaigns::{full, inject, kill};
use crate::job::Job;
use crate::random::{Random, size};
use crate::runner::{Campaign, Case, Verdict};
use crate::sys::in_forked_child;
use crate::work::spooled::{self, Value};
use crate::work::strings;

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "strings",
    about: "strings and spools: full tmpfs, ext4 and XFS, failing calls, SIGKILL, forked children",
    short: 28,
    long: 3000,
    alone: false,
    canaries: &[
        ("believe", 24),
        ("lose", 8),
        ("named", 24),
        ("left", 4),
        ("touched", 4),
    ],
    case,
};

const MIB: u64 = 1 << 20;

/// What the cases work on.
const CONTAINERS: [&str; 2] = ["strings", "spool"];

fn case(case: &Case<'_>) -> Verdict {
    let number = size(case.seed);
    let container = CONTAINERS[number % CONTAINERS.len()];
    let kind = number / CONTAINERS.len();
    let mut random = Random::new(case.seed);
    let kind = match case.bug {
        Some("named") => 5,
        Some("touched") => 6,
        Some(_) => kind % 4,
        None => kind % 7,
    };
    let (name, bytes) = match kind {
        0 => ("tmpfs", 8 * MIB),
        1 => ("ext4", 32 * MIB),
        // An XFS is no smaller.
        2 => ("xfs", 304 * MIB),
        3 => ("tmpfs", MIB),
        4 => return inject::on_one_of(case, &CONTAINERS),
        5 => {
            let killed = kill::scratch_of(case, container, &mut random);
            return killed.unwrap_or_else(Verdict::Failed);
        }
        _ => return forked(case, container),
    };
    let disk = match name {
        "tmpfs" => case.room.tmpfs(bytes),
        "ext4" => case.room.ext4(bytes),
        _ => case.room.xfs(bytes),
    };
    let disk = match disk {
        Ok(disk) => disk,
        Err(why) => return Verdict::Skipped(why),
    };
    let what = format!("{container} on {name} of {bytes} bytes");
    full::on_disk(case, container, bytes, disk.path())
        .map_err(|why| format!("{what}: {why}"))
        .into()
}

fn forked(case: &Case<'_>, container: &str) -> Verdict {
    let job = Job::new("fork-strings", case.seed, &case.room.fresh("fork"))
        .with("container", container)
        .bug(case.bug);
    let verdict = job.run().verdict();
    verdict.map_err(|why| format!("{container}: {why}")).into()
}

/// Forks, and has the child do what it may and may not do.
pub(crate) fn fork_child(job: &Job) {
    let dir = ScratchDir::new(job.dir()).unwrap();
    let mut random = Random::new(job.number("seed"));
    let touches = job.text("bug") == "touched";
    if job.text("container") == "spool" && !touches {
        spool(&dir, &mut random);
    } else {
        vector(&dir, &mut random, touches);
    }
}

fn vector(dir: &ScratchDir, random: &mut Random, touches: bool) {
    let count = 20_000 + random.len(200_000);
    let items = strings::filled(dir, count);
    let index = random.below(count);
    let choice = random.below(7);
    let mut owned = Some(items);
    let ended = in_forked_child(|| {
        let items = owned.as_mut().unwrap();
        if touches {
            assert_eq!(items[0], *strings::text(0).as_bytes());
        }
        match choice {
            0 => assert_eq!(items[index], *strings::text(index).as_bytes()),
            // The child has copies of the windows, which fill up after a while.
            1 => while items.push("the child's").is_ok() && items.len() < 4 * count {},
            2 => {
                items.clear();
                drop(items.push("the child's"));
            }
            3 => assert_forked(items.gather(&[0, index])),
            4 => assert_forked(items.sort_external(&MemoryBudget::new(8 << 20))),
            5 => assert_forked(items.try_clone()),
            _ => drop(owned.take()),
        }
    });
    check(ended, !touches && choice == 0);
    let mut items = owned.take().unwrap();
    assert_eq!(items.len(), count);
    let more = (count..count + 50_000).map(strings::text);
    items.try_extend(more).unwrap();
    let texts = (0..count + 50_000).map(|number| strings::text(number).into_bytes());
    assert!(items.iter().eq(texts), "in the parent");
}

fn check_value(spool: &Spool<Value>, index: usize) {
    let expected = spooled::make(index as u64);
    assert_eq!(spool.get(index).unwrap(), Some(expected));
}

fn spool(dir: &ScratchDir, random: &mut Random) {
    let budget = MemoryBudget::new(MemoryBudget::MIN_BYTES / 2);
    let mut spool: Spool<Value> = Spool::new_in(&budget, dir);
    let count = 60_000 + random.len(20_000) as u64;
    spool.try_extend((0..count).map(spooled::make)).unwrap();
    assert!(spool.disk_bytes() > 0, "it is in memory");
    let index = random.below(60_000);
    let choice = random.below(5);
    let mut owned = Some(spool);
    let ended = in_forked_child(|| {
        let spool = owned.as_mut().unwrap();
        match choice {
            0 => check_value(spool, index),
            1 => {
                let values = spool.iter().unwrap().map(Result::unwrap);
                assert!(values.eq((0..count).map(spooled::make)));
            }
            2 => {
                // Until a block would be written.
                let refused =
                    (0..count).find_map(|number| spool.push(&spooled::make(number)).err());
                assert_eq!(refused.unwrap().kind(), ErrorKind::Forked);
            }
            3 => {
                // It has a file of its own then.
                spool.clear();
                spool.try_extend((0..count).map(spooled::make)).unwrap();
                check_value(spool, index);
            }
            _ => drop(owned.take()),
        }
    });
    check(ended, false);
    let mut spool = owned.take().unwrap();
    spool
        .try_extend((count..count + 10_000).map(spooled::make))
        .unwrap();
    let values = spool.into_iter().map(Result::unwrap);
    assert!(
        values.eq((0..count + 10_000).map(spooled::make)),
        "in the parent"
    );
}
