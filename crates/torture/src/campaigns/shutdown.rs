//! A file system that is shut down at any moment while files are sealed, as by a power cut: after it is
//! mounted again, what was sealed is there, and every file is whole.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use outcore::{AtomicFile, ScratchDir};

use crate::job::{Job, Tally, tell};
use crate::random::Random;
use crate::room::{Mounted, names_in};
use crate::runner::{Campaign, Case, Verdict};
use crate::sys;
use crate::work::sealed::{Content, KINDS, Made};

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "shutdown",
    about: "ext4 and XFS shut down while files are sealed: after a mount, all are whole and there",
    short: 6,
    long: 300,
    alone: false,
    canaries: &[("unsynced", 20)],
    case,
};

const MIB: u64 = 1 << 20;

/// The file that is replaced all the time.
const SAME: &str = "same";

fn case(case: &Case<'_>) -> Verdict {
    let mut random = Random::new(case.seed);
    let made = if case.seed % 2 == 0 {
        case.room.ext4(64 * MIB)
    } else {
        case.room.xfs(320 * MIB)
    };
    let mounted = match made {
        Ok(mounted) => mounted,
        Err(why) => return Verdict::Skipped(why),
    };
    run(case, &mounted, &mut random).unwrap_or_else(Verdict::Failed)
}

fn run(case: &Case<'_>, mounted: &Mounted, random: &mut Random) -> Result<Verdict, String> {
    let job = Job::new("shutdown", case.seed, &case.room.fresh("shutdown"))
        .path("target", mounted.path())
        .bug(case.bug);
    let mut command = job.command();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = Vec::new();
    for _ in 0..random.below(24) {
        lines.extend(said.next().and_then(Result::ok));
    }
    std::thread::sleep(Duration::from_micros(random.len(20_000) as u64));
    // The log is flushed or not; the data are not.
    let flushes_log = random.once_in(3);
    let root = File::options().read(true).open(mounted.path());
    let shut = root.and_then(|root| sys::shut_down(&root, flushes_log));
    if let Err(refused) = shut {
        drop(child.kill());
        drop(child.wait());
        return Ok(Verdict::Skipped(format!("no shutdown: {refused}")));
    }
    // It ends with the first error.
    lines.extend(said.map_while(Result::ok));
    let ended = child.wait_with_output().unwrap();
    if !ended.status.success() {
        let complained = String::from_utf8_lossy(&ended.stderr).into_owned();
        return Err(format!("{}: {complained}", ended.status));
    }
    mounted.mount_again()?;
    check(mounted.path(), &lines).map(Verdict::Passed)
}

/// Compares the files with what the child said of them.
fn check(dir: &Path, lines: &[String]) -> Result<Tally, String> {
    let mut tally = Tally::of("shutdowns");
    let lines: Vec<(&str, &str, Content)> = lines
        .iter()
        .filter_map(|line| {
            let (state, rest) = line.split_once(' ')?;
            let (name, content) = rest.split_once(' ')?;
            Some((state, name, Content::of_line(content)?))
        })
        .collect();
    for name in names_in(dir) {
        let bytes = fs::read(dir.join(&name)).map_err(|refused| format!("{name}: {refused}"))?;
        let said = lines.iter().filter(|(_state, said, _)| *said == name);
        let is_aside = name.starts_with(".outcore-publish-");
        let said = if is_aside {
            lines.iter().collect::<Vec<_>>()
        } else {
            said.collect()
        };
        // The last one that was sealed, or one that was begun after that.
        let last = said.iter().rposition(|(state, ..)| *state == "sealed");
        let allowed = if is_aside {
            &said[..]
        } else {
            &said[last.unwrap_or(0)..]
        };
        let checks: Vec<_> = allowed
            .iter()
            .map(|(.., content)| content.check(bytes.clone()))
            .collect();
        if !checks.iter().any(Result::is_ok) {
            return Err(format!("{name}: {} bytes: {checks:?}", bytes.len()));
        }
        tally.add("whole-files", 1);
        tally.add("temporary-names", u64::from(is_aside));
    }
    for (state, name, _content) in &lines {
        if *state == "sealed" && !dir.join(name).exists() {
            return Err(format!("{name} was sealed, and is not there"));
        }
        tally.add("sealed", u64::from(*state == "sealed"));
    }
    Ok(tally)
}

/// Seals files until that fails.
pub(crate) fn child(job: &Job) {
    let target = job.path_of("target");
    let dir = ScratchDir::new(&target);
    let Ok(dir) = dir else { return };
    for round in 1..400 {
        for (name, replaces) in [(format!("new-{round}"), false), (SAME.to_owned(), true)] {
            let kind = KINDS[round % KINDS.len()];
            let seed = job.number("seed") * 1000 + 2 * round as u64 + u64::from(replaces);
            // Where its file is on the file system that is shut down, so is an error.
            let Ok(made) = Made::new(kind, seed, &dir) else {
                return;
            };
            let (path, line) = (target.join(&name), made.content.line());
            tell(format_args!("begun {name} {line}"));
            let sealed = if job.text("bug") == "unsynced" {
                seal_unsynced(made, &job.dir().join("aside"), &path)
            } else {
                made.seal(&path, replaces)
            };
            if sealed.is_err() {
                return;
            }
            tell(format_args!("sealed {name} {line}"));
        }
    }
}

/// The planted bug: the same bytes under the same name, and no sync.
fn seal_unsynced(made: Made, aside: &Path, path: &Path) -> outcore::Result<()> {
    made.seal(aside, true)?;
    let mut file = AtomicFile::create(path)?;
    file.write_all(&fs::read(aside)?)?;
    file.publish_without_sync()
}
