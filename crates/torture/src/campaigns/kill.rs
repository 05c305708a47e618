//! `SIGKILL` at any moment: scratch files leave no name and no space, a published file is complete
//! or absent, a lock is free again. And of two openers of one file, the second is refused.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant};

use outcore::range_file::ALIGNMENT;
use outcore::{ErrorKind, RangeFile};

use crate::job::{Job, Tally, tell};
use crate::random::Random;
use crate::room::{free_bytes, names_in};
use crate::runner::{Campaign, Case, Verdict};
use crate::sys::{create_ranged_in_place, open_ranged};
use crate::work::{self, CONTAINERS, PUBLISHED};

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "kill",
    about: "SIGKILL at any moment: no names and no space left, files complete or absent, no locks",
    short: 150,
    long: 10_000,
    alone: false,
    canaries: &[("named", 30), ("in-place", 60)],
    case,
};

const SIGKILL: i32 = 9;
const MIB: u64 = 1 << 20;
/// The length of each published file; odd, and more than one page.
const LEN: usize = 50_001;

fn case(case: &Case<'_>) -> Verdict {
    let mut random = Random::new(case.seed);
    let verdict = match (case.bug, case.seed % 5) {
        (Some("named"), _) | (None, 0 | 1) => scratch(case, &mut random),
        (Some(_), _) | (None, 2 | 3) => publish(case, &mut random),
        (None, _) => hold(case, &mut random),
    };
    verdict.unwrap_or_else(Verdict::Failed)
}

/// Starts a job, waits for some of its lines and a random moment, and kills it.
fn kill(job: &Job, lines: usize, random: &mut Random) -> Result<(), String> {
    let mut command = job.command();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut victim = command.spawn().unwrap();
    let mut said = BufReader::new(victim.stdout.take().unwrap()).lines();
    for _ in 0..lines {
        if said.next().is_none() {
            let output = victim.wait_with_output().unwrap();
            let complained = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("the victim ended too early: {complained}"));
        }
    }
    std::thread::sleep(Duration::from_micros(random.len(20_000) as u64));
    victim.kill().unwrap();
    let ended = victim.wait().unwrap();
    let _open_until_now: std::io::Lines<BufReader<ChildStdout>> = said;
    if ended.signal() == Some(SIGKILL) {
        Ok(())
    } else {
        Err(format!("the victim ended by itself: {ended}"))
    }
}

/// Containers at work, killed on a small disk: all space is free again.
fn scratch(case: &Case<'_>, random: &mut Random) -> Result<Verdict, String> {
    let container = random.pick(&CONTAINERS);
    scratch_of(case, container, random)
}

/// One of them.
pub(crate) fn scratch_of(
    case: &Case<'_>,
    container: &str,
    random: &mut Random,
) -> Result<Verdict, String> {
    let disk = if container == "spill" {
        case.room.ext4(64 * MIB)
    } else {
        case.room.tmpfs(64 * MIB)
    };
    // Without a separate disk, only names can be checked.
    let path = match &disk {
        Ok(disk) => disk.path().to_owned(),
        Err(_why) => case.room.fresh("kill"),
    };
    let base = free_bytes(&path);
    let job = Job::new("kill-scratch", case.seed, &path)
        .with("container", container)
        .with("steps", 100_000)
        .with("bytes", 8 * MIB)
        .bug(case.bug);
    kill(&job, 1, random).map_err(|why| format!("{container}: {why}"))?;
    let published = path.join(PUBLISHED);
    if container == "ranged" && case.bug.is_none() {
        drop(fs::remove_file(published));
    }
    let left = names_in(&path);
    if !left.is_empty() {
        return Err(format!("{container}: left behind: {left:?}"));
    }
    if disk.is_ok() {
        all_is_free(&path, base).map_err(|why| format!("{container}: {why}"))?;
    }
    Ok(Verdict::Passed(Tally::of("killed-at-work")))
}

/// Waits until as many bytes are free as before: the kernel ends an `io_uring` some time after its
/// process, and until then the ring has its files open; and XFS frees the space of deleted files in
/// the background.
pub(super) fn all_is_free(path: &Path, base: u64) -> Result<(), String> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let started = Instant::now();
    loop {
        let free = free_bytes(path);
        if free == base {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(format!("{base} bytes were free before, {free} now"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Works until it is killed.
pub(crate) fn scratch_child(job: &Job) -> ! {
    if job.text("bug") == "named" {
        fs::write(job.dir().join("scratch"), "with a name").unwrap();
    }
    tell("works");
    work::run(job);
    loop {
        std::thread::park();
    }
}

/// Publishes files until the end, some in place of others.
fn publish(case: &Case<'_>, random: &mut Random) -> Result<Verdict, String> {
    let dir = case.room.fresh("kill");
    let job = Job::new("kill-publish", case.seed, &dir).bug(case.bug);
    let mut tally = Tally::default();
    let lines = 1 + random.below(40);
    kill(&job, lines, random)?;
    let mut left_aside = false;
    for name in names_in(&dir) {
        let bytes = fs::read(dir.join(&name)).unwrap();
        let aside = name.starts_with(".outcore-publish-");
        if !aside && name != "same" && !name.starts_with("new-") {
            return Err(format!("{name}: an unexpected name"));
        }
        let whole = bytes.len() == LEN && bytes[0] > 0 && bytes.iter().all(|b| *b == bytes[0]);
        if !whole {
            return Err(format!("{name}: {} bytes, and not complete", bytes.len()));
        }
        left_aside |= aside;
        tally.add("whole-files", 1);
    }
    if left_aside {
        // As documented, the next file that is published in its place removes it.
        let refused = |refused: &dyn std::fmt::Display| format!("publish after a kill: {refused}");
        let file = RangeFile::create(dir.join("same"), LEN as u64).map_err(|e| refused(&e))?;
        file.publish().map_err(|e| refused(&e))?;
        let names = names_in(&dir);
        if names.iter().any(|name| name.starts_with('.')) {
            return Err(format!("a temporary name is left: {names:?}"));
        }
        tally.add("temporary-names", 1);
    }
    tally.add("killed-while-publishing", 1);
    Ok(Verdict::Passed(tally))
}

/// Publishes until it is killed.
pub(crate) fn publish_child(job: &Job) {
    let dir = job.dir();
    for round in (1..=u8::MAX).cycle() {
        for name in [format!("new-{round}"), "same".to_owned()] {
            let path = dir.join(name);
            if job.text("bug") == "in-place" {
                tell("writes");
                fs::write(&path, vec![round; LEN / 2]).unwrap();
                tell("half");
                fs::write(&path, vec![round; LEN]).unwrap();
                continue;
            }
            tell("create");
            let file = RangeFile::create(path, LEN as u64).unwrap();
            while let Some(mut range) = file.allocate(3 * ALIGNMENT) {
                if range.start() % (2 * ALIGNMENT) == 0 {
                    range.fill(round);
                } else {
                    let bytes = vec![round; range.len()];
                    range.write_all_at(&bytes, 0).unwrap();
                }
                range.freeze();
            }
            for gap in file.written().gaps(file.len()) {
                file.claim(gap).unwrap().fill(round);
            }
            tell("publish");
            file.publish().unwrap();
            tell("published");
        }
    }
}

/// A file that another process has open, under each of its names; it is free when that process is
/// killed.
fn hold(case: &Case<'_>, random: &mut Random) -> Result<Verdict, String> {
    let dir = case.room.fresh("kill");
    let path = dir.join("held");
    let (hard, soft) = (dir.join("hard"), dir.join("soft"));
    fs::write(&path, [1; 10_000]).unwrap();
    fs::hard_link(&path, &hard).unwrap();
    symlink(&path, &soft).unwrap();
    let named = [&path, &hard, &soft];
    let held = random.pick(&named);
    let job = Job::new("kill-hold", case.seed, &dir).path("file", held);
    let mut command = job.command();
    let mut holder = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines();
    let opened = said
        .next()
        .is_some_and(|line| line.is_ok_and(|line| line == "open"));
    let refused = |path: &Path| open_ranged(path).err().map(|refused| refused.kind());
    let kinds: Vec<_> = named.iter().map(|path| refused(path)).collect();
    let in_place = create_ranged_in_place(&path, 5000).is_err();
    holder.kill().unwrap();
    holder.wait().unwrap();
    if !opened || !in_place || kinds != [Some(ErrorKind::AlreadyOpen); 3] {
        return Err(format!(
            "{} is held, and opening it says {kinds:?}",
            held.display()
        ));
    }
    for path in named {
        let file = open_ranged(path).map_err(|refused| format!("after the kill: {refused}"))?;
        // The same in this process.
        let again = refused(path);
        if again != Some(ErrorKind::AlreadyOpen) {
            return Err(format!("twice in one process: {again:?}"));
        }
        drop(file);
    }
    let bytes = fs::read(&path).unwrap();
    let expected = [vec![7; 100], vec![1; 9_900]].concat();
    if bytes != expected {
        return Err("the stores of the killed process are lost".to_owned());
    }
    Ok(Verdict::Passed(Tally::of("held-by-another")))
}

/// Opens a file and stores to it, and waits until it is killed.
pub(crate) fn hold_child(job: &Job) -> ! {
    let file = open_ranged(&job.path_of("file")).unwrap();
    let mut range = file.claim(0..100).unwrap();
    range.fill(7);
    tell("open");
    loop {
        std::thread::park();
    }
}
