//! Threads with private descriptor tables: a number that one thread opens refers to other files in
//! the others, and each container keeps to its own files.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Barrier;
use std::thread;

use rustix::fs::{AtFlags, CWD, linkat};

use crate::job::{Job, counted};
use crate::random::{Random, size};
use crate::runner::{Campaign, Case, Verdict};
use crate::sys::{make_descriptors_private, tmpfile_flag};
use crate::work;

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "tables",
    about: "threads with private descriptors, by unshare(CLONE_FILES): each keeps to its own files",
    short: 30,
    long: 3000,
    alone: false,
    canaries: &[("first", 1)],
    case,
};

/// The containers of single threads. Spilled blocks belong to all threads of a program.
const CONTAINERS: [&str; 4] = ["ranged", "arena", "vec", "alloc"];

const THREADS: u64 = 4;

fn case(case: &Case<'_>) -> Verdict {
    let what = if case.bug.is_some() {
        "bug-tables"
    } else {
        "tables"
    };
    let dir = case.room.fresh("tables");
    let container = CONTAINERS[size(case.seed) % CONTAINERS.len()];
    let job = Job::new(what, case.seed, &dir)
        .with("container", container)
        .with("steps", 100)
        .with("bytes", 2 << 20);
    let verdict = job.run().verdict();
    verdict.map_err(|why| format!("{container}: {why}")).into()
}

pub(crate) fn child(job: &Job) {
    let mut random = Random::new(job.number("seed"));
    let start = Barrier::new(size(THREADS));
    thread::scope(|scope| {
        for number in 0..THREADS {
            let dir = job.dir().join(number.to_string());
            fs::create_dir(&dir).unwrap();
            let others = random.below(5);
            // One thread keeps the table of the first thread.
            let is_private = number > 0;
            // Every other thread publishes, whatever the rest does.
            let container = if number % 2 == 0 {
                "ranged"
            } else {
                job.text("container")
            };
            let own = Job::new("work", random.next(), &dir)
                .with("container", container)
                .with("steps", job.number("steps"))
                .with("bytes", job.number("bytes"));
            let start = &start;
            scope.spawn(move || {
                start.wait();
                if is_private {
                    make_descriptors_private();
                }
                // So that the numbers differ between threads.
                let _open: Vec<File> = (0..others).map(|_| unnamed(&own)).collect();
                work::run_beside_others(&own);
            });
        }
    });
    counted("threads", THREADS);
}

fn unnamed(job: &Job) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(tmpfile_flag());
    options.open(job.dir()).unwrap()
}

/// A program that names a file by `/proc/self/fd`.
pub(crate) fn bug(job: &Job) {
    use std::io::Write;
    let start = Barrier::new(2);
    let name = job.dir().join("name");
    thread::scope(|scope| {
        scope.spawn(|| {
            make_descriptors_private();
            let mut file = unnamed(job);
            file.write_all(b"own").unwrap();
            start.wait();
            // The first thread has another file under this number.
            start.wait();
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(CWD, path, CWD, &name, AtFlags::SYMLINK_FOLLOW).unwrap();
            start.wait();
        });
        start.wait();
        let mut file = unnamed(job);
        file.write_all(b"foreign").unwrap();
        start.wait();
        start.wait();
    });
    assert_eq!(
        fs::read(name).unwrap(),
        b"own",
        "another file was published"
    );
}
