//! Fault injection in reads: each piece is right or an error, whatever call fails. Most failures
//! are not visible: the ring is refused, reads are cancelled or short, and a plain read completes
//! them.

use std::sync::Arc;

use crate::error::Result;
use crate::io::scratch::ScratchFile;
use crate::read::ReadOptions;
use crate::read::idle::Idle;
use crate::read::tests::{cold_file, content, make_cold, pieces, read_by, take_by, ways};
use crate::sys::buffer::Buffer;
use crate::sys::plan::aside;
use crate::testing::{Campaign, Life};

const EAGAIN: i32 = 11;
const ENOSYS: i32 = 38;
const ECANCELED: i32 = 125;

/// The ways to read that make different system calls.
fn few_ways() -> impl Iterator<Item = ReadOptions> {
    let [ring, threads, single, _, _, direct_threads, _] = ways();
    [ring, threads, single, direct_threads].into_iter()
}

/// What to read, and how.
struct Job<'job> {
    way: &'job ReadOptions,
    file: &'job ScratchFile,
    bytes: &'job [u8],
    pieces: &'job [(u64, usize)],
}

/// Reads in every way, with faults.
fn campaigns(name: &str, sample: usize, pieces: &[(u64, usize)], read: fn(&mut Life, &Job<'_>)) {
    let bytes = content();
    let file = cold_file(&bytes);
    let mut planted = bytes.clone();
    let (offset, len) = pieces[pieces.len() / 3];
    planted[usize::try_from(offset).unwrap() + len / 2] ^= 1;
    for way in few_ways() {
        let live = |life: &mut Life| {
            // Opened and closed as a caller would.
            drop(life.scratch_dir());
            // Reads allocate buffers if something is not in memory, and a test cannot guarantee
            // that it is.
            let _buffer = Buffer::several(1, 1, true);
            // A file keeps the descriptor that it opened for direct reads.
            let fresh = way.is_direct().then(|| aside(|| cold_file(&bytes)));
            let file = fresh.as_ref().unwrap_or(&file);
            aside(|| make_cold(file));
            let is_planted = life.is_planted("another bit");
            let job = Job {
                way: &way,
                file,
                bytes: if is_planted { &planted } else { &bytes },
                pieces,
            };
            read(life, &job);
        };
        Campaign::new(format!("reads, {name}, {way:?}"), sample, live)
            .and_with(&[EAGAIN, ENOSYS, ECANCELED])
            .inexact()
            .plants("another bit", "other bytes")
            .run();
    }
}

/// Checks the errors that the caller got; only lasting faults, or two faults, can cause more than
/// one error.
fn refused(life: &mut Life, answers: impl IntoIterator<Item = Result<()>>) -> bool {
    let errors: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    for error in &errors {
        life.explain(error);
    }
    let count = errors.len();
    let few = !life.is_single() || count <= 1;
    assert!(few, "{}: {count} errors by one fault", life.name());
    if let Some(error) = errors.first() {
        life.gave_up(&error.to_string());
    }
    count > 0
}

#[test]
fn a_batch_is_whole_or_an_error_whatever_call_fails() {
    campaigns("a batch", 60, &pieces(5)[..30], |life, job| {
        // The second batch finds the engine of the first.
        let idle = Idle::default();
        for _ in 0..2 {
            loop {
                let (count, answer) = read_by(job.way, &idle, job.file, job.bytes, job.pieces);
                if !refused(life, [answer]) {
                    assert_eq!(count, job.pieces.len(), "{}", life.name());
                    break;
                }
            }
            aside(|| make_cold(job.file));
        }
    });
}

#[test]
fn each_item_of_a_stream_is_whole_or_an_error_whatever_call_fails() {
    let mut pieces = pieces(9)[..25].to_vec();
    pieces.reverse();
    campaigns("a stream", 60, &pieces, |life, job| {
        // The second stream finds the engine of the first.
        let idle = Arc::default();
        for _ in 0..2 {
            loop {
                let answers = take_by(job.way, &idle, job.file, job.bytes, job.pieces);
                assert_eq!(answers.len(), job.pieces.len(), "{}", life.name());
                if !refused(life, answers) {
                    break;
                }
            }
            aside(|| make_cold(job.file));
        }
    });
}
