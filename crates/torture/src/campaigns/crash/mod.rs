//! Power loss while a file is sealed: of the calls that `strace` has shown, every part that a crash
//! could leave is a disk image; in each, the name leads to the old file, to the new one, or to none.

pub(crate) mod image;
pub(crate) mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use outcore::ScratchDir;

use crate::campaigns::crash::image::{Crash, Found};
use crate::campaigns::crash::trace::Event;
use crate::job::{Ended, Job, Tally, exe, tell};
use crate::random::Random;
use crate::room::has_program;
use crate::runner::{Campaign, Case, Verdict};
use crate::work::mark;
use crate::work::sealed::{Content, KINDS, Made, OWN_FILE};

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "crash",
    about: "power loss while a file is sealed: every image that it could leave, from the calls",
    short: 20,
    long: 400,
    alone: false,
    canaries: &[("unsynced", 10), ("early-sync", 10), ("name-unsynced", 10)],
    case,
};

/// The images of each case.
const IMAGES: u64 = 250;

/// The name of the file.
const NAME: &str = "sealed";

fn case(case: &Case<'_>) -> Verdict {
    if !has_program("strace") {
        return Verdict::Skipped("no strace".to_owned());
    }
    let mut random = Random::new(case.seed);
    let dir = case.room.fresh("crash");
    let path = dir.join(NAME);
    let kind = random.pick(&KINDS);
    let replaces = random.once_in(2);
    let log = case.room.path().join("crash-trace");
    let job = Job::new("crash", case.seed, &dir)
        .with("kind", kind)
        .with("replaces", u8::from(replaces));
    // Sealed by a child too, since scratch files belong into this directory.
    let old = if replaces {
        let ended = job.clone().with("seed", case.seed + 1).run();
        match content(&ended) {
            Ok(old) => Some((old, fs::read(&path).unwrap())),
            Err(why) => return Verdict::Failed(why),
        }
    } else {
        None
    };
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-xx", "-s", "16777216", "-o"]);
    command
        .arg(&log)
        .args(["-e", &format!("trace={}", trace::CALLS)]);
    command.arg(exe()).args(job.arguments());
    job.prepare(&mut command);
    let ended = Ended::of(command);
    let new = match content(&ended) {
        Ok(new) => new,
        Err(why) if why.contains("strace") => return Verdict::Skipped(why),
        Err(why) => return Verdict::Failed(why),
    };
    let events = match trace::events(&fs::read_to_string(&log).unwrap_or_default()) {
        Ok(events) => planted(events, case.bug),
        Err(why) => return Verdict::Failed(why),
    };
    drop(fs::remove_file(&log));
    let images = Images {
        events,
        before: old.as_ref().map(|_old| (NAME.to_owned(), Found::Old)),
        old,
        new,
        whole: fs::read(&path).unwrap(),
    };
    images.check(&mut random).into()
}

/// Seals one file, between two marks in the trace.
pub(crate) fn child(job: &Job) {
    let kind = KINDS
        .into_iter()
        .find(|kind| *kind == job.text("kind"))
        .unwrap();
    let path = job.dir().join(NAME);
    let dir = ScratchDir::builder(job.dir()).allow_ram(true).build();
    let dir = dir.unwrap();
    // What is written before is a part of the file, too.
    if kind == OWN_FILE {
        mark();
    }
    let made = Made::new(kind, job.number("seed"), &dir).unwrap();
    if kind != OWN_FILE {
        mark();
    }
    let line = made.content.line();
    let sealed = made.seal(&path, job.number("replaces") > 0);
    mark();
    sealed.unwrap();
    tell(format_args!("sealed {line}"));
}

/// Returns what a child has sealed.
fn content(ended: &Ended) -> Result<Content, String> {
    ended.verdict()?;
    let line = ended
        .said
        .lines()
        .find_map(|line| line.strip_prefix("sealed "));
    line.and_then(Content::of_line)
        .ok_or_else(|| format!("the child said: {}", ended.said))
}

/// Takes calls out of a trace, or moves them, for a planted bug.
fn planted(mut events: Vec<Event>, bug: Option<&str>) -> Vec<Event> {
    let is_file = |event: &Event| matches!(event, Event::SyncFile(_));
    match bug {
        Some("unsynced") => events.retain(|event| !is_file(event)),
        Some("name-unsynced") => events.retain(|event| *event != Event::SyncDirectory),
        Some(_) => {
            let is_write = |event: &Event| matches!(event, Event::Write { .. });
            let last = events.iter().rposition(is_write).unwrap();
            let sync = events.iter().rposition(is_file).unwrap();
            let moved = events.remove(sync);
            events.insert(last, moved);
        }
        None => {}
    }
    events
}

/// The calls of one `seal`, and what has to be found.
struct Images {
    events: Vec<Event>,
    before: Option<(String, Found)>,
    old: Option<(Content, Vec<u8>)>,
    new: Content,
    /// The bytes of the new file.
    whole: Vec<u8>,
}

impl Images {
    fn check(&self, random: &mut Random) -> Result<Tally, String> {
        let mut tally = Tally::default();
        let before: BTreeMap<_, _> = self.before.iter().cloned().collect();
        for number in 0..IMAGES {
            // Each moment, and most often the late ones, when there are names.
            let at = if random.once_in(2) {
                random.below(self.events.len() + 1)
            } else {
                self.events.len() - random.below(4.min(self.events.len() + 1))
            };
            let crash = Crash {
                events: &self.events,
                at,
            };
            let names = crash.names(&before, random);
            let what = |why: String| format!("image {number}, after {at} calls: {why}");
            let is_done = at == self.events.len();
            self.named(names.get(NAME), is_done, &mut tally)
                .map_err(what)?;
            for found in names.values() {
                match found {
                    Found::Old => {
                        let (content, bytes) = self.old.as_ref().unwrap();
                        content.check(bytes.clone()).map_err(what)?;
                    }
                    // Also under the temporary name.
                    Found::New(file) => {
                        let (bytes, lost) = crash.bytes(*file, random);
                        tally.add("lost-pieces", lost);
                        let is_whole = bytes == self.whole;
                        self.new.check(bytes).map_err(what)?;
                        if !is_whole {
                            return Err(what("the file has other bytes".to_owned()));
                        }
                    }
                }
            }
            // A file without a name is lost, as it should be.
            if !names.values().any(|found| *found == Found::New(0)) {
                tally.add("lost-pieces", crash.bytes(0, random).1);
            }
            tally.add("images", 1);
        }
        tally.add("traces", 1);
        Ok(tally)
    }

    /// Checks what the name leads to.
    fn named(&self, found: Option<&Found>, is_done: bool, tally: &mut Tally) -> Result<(), String> {
        let outcome = match found {
            Some(Found::New(_)) => "new-files",
            _ if is_done => return Err("it was sealed, and the new file is not there".to_owned()),
            Some(Found::Old) => "old-files",
            None if self.old.is_none() => "no-files",
            None => return Err("the old file is gone, and the new one is not there".to_owned()),
        };
        tally.add(outcome, 1);
        Ok(())
    }
}
