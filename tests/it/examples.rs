//! The examples run.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::support::process::child;
use crate::support::{new_dir, test_name};

#[cfg(not(miri))]
#[path = "../../examples/async_reads.rs"]
mod async_reads;
#[path = "../../examples/download.rs"]
mod download;
#[path = "../../examples/group_by.rs"]
mod group_by;
#[path = "../../examples/sorted_lines.rs"]
mod sorted_lines;
#[cfg(feature = "serde")]
#[path = "../../examples/two_passes.rs"]
mod two_passes;
#[path = "../../examples/word_count.rs"]
mod word_count;

#[test]
fn a_download_goes_on_where_it_stopped() {
    download::main().unwrap();
}

#[test]
fn groups_are_ranked() {
    group_by::main().unwrap();
}

#[test]
fn lines_are_sorted_and_found() {
    sorted_lines::main().unwrap();
}

#[test]
#[cfg(feature = "serde")]
fn values_are_read_twice() {
    two_passes::main().unwrap();
}

#[test]
fn words_are_counted() {
    word_count::main().unwrap();
}

#[test]
#[cfg(not(miri))]
fn tasks_go_on_while_items_are_read() {
    async_reads::main().unwrap();
}

/// How a test server treats the connections after the first ones.
#[derive(Clone, Copy)]
enum After {
    Reset,
    /// Does not answer.
    Silence,
}

/// A server that answers a given number of connections.
struct Server {
    address: SocketAddr,
    answered: Arc<AtomicUsize>,
}

/// The workers of the example.
const WORKERS: usize = 4;

impl Server {
    /// Starts a server. It sends a message for each connection after the answered ones.
    fn start(content: Vec<u8>, answers: usize, after: After, late: Sender<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answered);
        thread::spawn(move || {
            let mut silent: Vec<TcpStream> = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                if count.load(Relaxed) < answers {
                    download::answer(stream, &content).unwrap();
                    count.fetch_add(1, Relaxed);
                    continue;
                }
                match after {
                    After::Reset => download::reset(stream).unwrap(),
                    After::Silence => silent.push(stream),
                }
                if late.send(()).is_err() {
                    return;
                }
            }
        });
        Self { address, answered }
    }

    fn answered(&self) -> usize {
        self.answered.load(Relaxed)
    }
}

/// More than a few batches, and not a multiple of a piece.
fn content() -> Vec<u8> {
    let words = (0..).flat_map(|word: u32| word.wrapping_mul(0x9E37_79B9).to_le_bytes());
    words.take(100 * download::PIECE + 7).collect()
}

const PIECES: usize = 101;

/// Downloads the rest from a server that answers all; returns the number of pieces.
fn finish(target: &Path) -> usize {
    let (late, _nobody) = channel();
    let server = Server::start(content(), usize::MAX, After::Reset, late);
    download::download(server.address, target).unwrap();
    assert!(fs::read(target).unwrap() == content(), "other bytes");
    let names = fs::read_dir(target.parent().unwrap()).unwrap().count();
    assert_eq!(names, 1, "the partial file and the record are gone");
    // The first connection asked for the length.
    server.answered() - 1
}

/// The record was saved only after all workers had succeeded: one connection was reset after 20
/// pieces, and all of them were downloaded again.
#[test]
fn a_connection_that_is_reset_costs_its_own_piece_only() {
    for answers in [1, 2, 9, 21, 100] {
        let target = new_dir().join("target");
        let (late, lates) = channel();
        let server = Server::start(content(), answers, After::Reset, late);
        let refused = download::download(server.address, &target).unwrap_err();
        // Each worker meets the reset once, if a piece is left for it.
        let met = WORKERS.min(PIECES + 1 - answers);
        let lates = lates.iter().take(met).count();
        assert_eq!(lates, met, "{refused}");
        let rest = finish(&target);
        assert_eq!(rest + answers - 1, PIECES, "reset after {answers}");
        fs::remove_dir_all(target.parent().unwrap()).unwrap();
    }
}

const TARGET: &str = "OUTCORE_TEST_TARGET";
const ADDRESS: &str = "OUTCORE_TEST_ADDRESS";

/// A killed process must have saved every complete batch. The record was only saved at the end.
#[test]
fn a_download_that_is_killed_loses_less_than_a_batch() {
    let Some(_) = child(test_name!()) else {
        let [target, address] = [TARGET, ADDRESS].map(|name| std::env::var(name).unwrap());
        return download::download(address.parse().unwrap(), &PathBuf::from(target)).unwrap();
    };
    for pieces in [1, 20, 5 * download::BATCH, 90] {
        let target = new_dir().join("target");
        let (late, lates) = channel();
        let server = Server::start(content(), pieces + 1, After::Silence, late);
        let process = child(test_name!()).unwrap();
        let process = process
            .env(TARGET, &target)
            .env(ADDRESS, server.address.to_string());
        let mut process = process.spawn();
        // Each worker waits for an answer, so none is saving.
        for _worker in 0..WORKERS {
            lates.recv().unwrap();
        }
        process.kill().unwrap();
        assert_eq!(process.wait().unwrap().signal(), Some(9));
        // A save may include pieces that arrived after it was due.
        let saved = pieces / download::BATCH * download::BATCH;
        let rest = finish(&target);
        let expected = PIECES - pieces..=PIECES - saved;
        assert!(expected.contains(&rest), "killed after {pieces}: {rest}");
        fs::remove_dir_all(target.parent().unwrap()).unwrap();
    }
}
