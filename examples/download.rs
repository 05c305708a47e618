//! Downloads a file in parallel. Connections are reset at times, and a process can be killed at any
//! moment: the next attempt continues where this one stopped.
//!
//! `cargo run --example download`: the server runs in this program, on the loopback interface.
#![expect(clippy::print_stdout, reason = "a program that prints its results")]
#![expect(unsafe_code, reason = "the file is visible while it fills")]

use std::io::{BufRead, BufReader, Error, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::{fs, io, ops::Range, path::Path, process, thread};

use outcore::{RangeFile, Result, ScratchDir, Written};

pub(crate) const PIECE: usize = 64 << 10;
/// How many pieces arrive between two saves of the record: the most that an attempt can lose.
pub(crate) const BATCH: usize = 8;

pub(crate) fn main() -> Result<()> {
    let content: Vec<u8> = (0..1_000_001_u32).flat_map(u32::to_le_bytes).collect();
    let address = serve(content.clone())?;
    let dir = ScratchDir::from_env()?
        .path()
        .join(format!("download-{}", process::id()));
    fs::create_dir_all(&dir)?;
    let target = dir.join("numbers.bin");
    for attempt in 1..=10 {
        let Err(refused) = download(address, &target) else {
            println!("attempt {attempt}: complete");
            break;
        };
        println!("attempt {attempt}: {refused}");
    }
    let same = fs::read(&target)? == content;
    fs::remove_dir_all(&dir)?;
    let answer = same.then_some(());
    Ok(answer.ok_or_else(|| Error::other("wrong bytes"))?)
}

/// Downloads the missing parts of `target`.
pub(crate) fn download(address: SocketAddr, target: &Path) -> Result<()> {
    let [part, record] = ["part", "record"].map(|end| target.with_extension(end));
    let (len, _) = request(address, &(0..1))?;
    // A record without its file belongs to another download.
    let (file, done) = if fs::exists(&part)? {
        // SAFETY: the directory is ours, and no other program changes files in it.
        (unsafe { RangeFile::open(&part) }?, load(&record)?)
    } else {
        // SAFETY: as above.
        (
            unsafe { RangeFile::create_in_place(&part, len) }?,
            Written::new(),
        )
    };
    if file.len() != len {
        return Err(Error::other("the length has changed").into());
    }
    let pieces = Mutex::new(done.gaps(len).flat_map(in_pieces).collect::<Vec<_>>());
    let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let (done, came) = (Mutex::new(done), AtomicUsize::new(0));
    let save = || -> Result<()> {
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        // The order is list, sync, record: every range that the record names is on the device.
        done.merge(&file.written());
        file.sync_all()?;
        save(&record, &done)
    };
    let work = || -> Result<()> {
        while let Some(piece) = next() {
            let mut range = file.claim(piece.clone())?;
            let (_, mut body) = request(address, &piece)?;
            body.read_exact(&mut range)?; // from the socket into the file
            range.freeze();
            let number = came.fetch_add(1, Relaxed).wrapping_add(1);
            if number.checked_rem(BATCH) == Some(0) {
                save()?;
            }
        }
        Ok(())
    };
    let ended = thread::scope(|scope| {
        let workers = [(); 4].map(|()| scope.spawn(work));
        let died = |_panic| Err(Error::other("a thread panicked").into());
        workers.map(|worker| worker.join().unwrap_or_else(died))
    });
    // Ranges that arrived before an error are saved, too.
    save()?;
    ended.into_iter().collect::<Result<()>>()?;
    file.publish()?;
    fs::rename(&part, target)?;
    Ok(fs::remove_file(&record)?)
}

/// Saves a record in one step: after a crash the file is the old one or the new one.
fn save(record: &Path, done: &Written) -> Result<()> {
    let text = done.to_string();
    let file = RangeFile::create(record, text.len() as u64)?;
    file.claim(0..text.len() as u64)?
        .copy_from_slice(text.as_bytes());
    Ok(file.publish()?)
}

/// Reads the record of an earlier attempt, if there is one.
fn load(record: &Path) -> Result<Written> {
    match fs::read_to_string(record) {
        Err(refused) if refused.kind() == io::ErrorKind::NotFound => Ok(Written::new()),
        text => text?.parse(),
    }
}

fn in_pieces(gap: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let starts = (gap.start..gap.end).step_by(PIECE);
    starts.map(move |start| start..gap.end.min(start.saturating_add(PIECE as u64)))
}

/// Requests some bytes; returns the total length, and a stream of the bytes.
fn request(address: SocketAddr, Range { start, end }: &Range<u64>) -> Result<(u64, impl Read)> {
    let mut stream = TcpStream::connect(address)?;
    let range = format!("bytes={start}-{}", end.saturating_sub(1));
    write!(stream, "GET / HTTP/1.1\r\nRange: {range}\r\n\r\n")?;
    let mut answer = BufReader::new(stream);
    let mut headers = String::new();
    for line in answer.by_ref().lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        headers.push_str(&line);
    }
    let len = headers.rsplit('/').next().and_then(|len| len.parse().ok());
    Ok((len.ok_or_else(|| Error::other("no length"))?, answer))
}

/// Serves the content; every 25th connection is reset.
fn serve(content: Vec<u8>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for (number, stream) in (1_usize..).zip(listener.incoming().flatten()) {
            let served = match number.checked_rem(25) {
                Some(0) => reset(stream),
                _ => answer(stream, &content),
            };
            // The server ignores clients that disconnect.
            drop(served);
        }
    });
    Ok(address)
}

/// Closes a connection with unread data, which resets it.
pub(crate) fn reset(mut stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0])
}

/// Sends the bytes that a request asks for.
pub(crate) fn answer(mut stream: TcpStream, content: &[u8]) -> io::Result<()> {
    let mut range = String::new();
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(asked) = line.strip_prefix("Range: bytes=") {
            asked.clone_into(&mut range);
        }
    }
    let ends = range
        .split_once('-')
        .map(|(start, last)| (start.parse(), last.parse()));
    let Some((Ok(start), Ok(last))) = ends else {
        return Err(Error::other("no range"));
    };
    let bytes = content.get::<std::ops::RangeInclusive<usize>>(start..=last);
    let header = format!("Content-Range: bytes {range}/{}", content.len());
    write!(stream, "HTTP/1.1 206 Partial\r\n{header}\r\n\r\n")?;
    stream.write_all(bytes.unwrap_or_default())
}
