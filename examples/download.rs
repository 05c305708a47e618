//! Downloads a file in parallel, is interrupted, and goes on where it stopped.
//!
//! `cargo run --example download`: the server is in this program, on the loopback interface.
#![expect(clippy::print_stdout, reason = "a program that says what it does")]
#![expect(unsafe_code, reason = "the file is seen while it fills")]

use std::io::{BufRead, BufReader, Error, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::{fs, io, ops::Range, path::Path, process, sync::Mutex, thread};

use outcore::{RangeFile, Result, ScratchDir, Written};

const PIECE: usize = 64 << 10;
pub(crate) fn main() -> Result<()> {
    let content: Vec<u8> = (0..1_000_001_u32).flat_map(u32::to_le_bytes).collect();
    let address = serve(content.clone())?;
    let dir = ScratchDir::from_env()?
        .path()
        .join(format!("download-{}", process::id()));
    fs::create_dir_all(&dir)?;
    let target = dir.join("numbers.bin");
    // The first attempt ends after 20 pieces, as if the process had been killed.
    for pieces_max in [20, usize::MAX] {
        println!("{} bytes came", download(address, &target, pieces_max)?);
    }
    let same = fs::read(&target)? == content;
    fs::remove_dir_all(&dir)?;
    let answer = same.then_some(());
    Ok(answer.ok_or_else(|| Error::other("other bytes"))?)
}

/// Gets what is missing of `target`, so many pieces at most; returns how many bytes that were.
fn download(address: SocketAddr, target: &Path, pieces_max: usize) -> Result<u64> {
    let [part, record] = ["part", "record"].map(|end| target.with_extension(end));
    let (len, _) = request(address, &(0..1))?;
    // SAFETY: the directory is ours, and nobody else changes files in it.
    let open = || unsafe { RangeFile::open(&part) };
    // SAFETY: as above.
    let create = || unsafe { RangeFile::create_in_place(&part, len) };
    let file = if fs::exists(&part)? { open() } else { create() }?;
    let mut done = load(&record);
    let pieces = done.gaps(len).flat_map(in_pieces).take(pieces_max);
    let pieces = Mutex::new(pieces.collect::<Vec<_>>());
    let next = || pieces.lock().ok()?.pop();
    let work = || -> Result<()> {
        while let Some(piece) = next() {
            let mut range = file.claim(piece.clone())?;
            let (_, mut body) = request(address, &piece)?;
            body.read_exact(&mut range)?; // from the socket into the file
            range.freeze();
        }
        Ok(())
    };
    thread::scope(|scope| -> Result<()> {
        for worker in [(); 4].map(|()| scope.spawn(work)) {
            worker
                .join()
                .map_err(|_died| Error::other("a thread panicked"))??;
        }
        Ok(())
    })?;
    // First what is written, then the sync, then the record: what it names is on the device.
    let new = file.written();
    file.sync_all()?;
    done.merge(&new);
    let line = |span: Range<u64>| format!("{} {}\n", span.start, span.end);
    fs::write(&record, done.spans().map(line).collect::<String>())?;
    if done.contains(&(0..len)) {
        file.publish()?;
        fs::rename(&part, target)?;
        fs::remove_file(&record)?;
    }
    Ok(new.bytes())
}

fn in_pieces(gap: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let starts = (gap.start..gap.end).step_by(PIECE);
    starts.map(move |start| start..gap.end.min(start.saturating_add(PIECE as u64)))
}

/// Reads the record of an earlier attempt.
fn load(record: &Path) -> Written {
    let text = fs::read_to_string(record).unwrap_or_default();
    let spans = text.lines().filter_map(|line| line.split_once(' '));
    let span = |(start, end): (&str, &str)| Some(start.parse().ok()?..end.parse().ok()?);
    spans.filter_map(span).collect()
}

/// Asks for some bytes; returns the length of the whole, and a stream of them.
fn request(address: SocketAddr, Range { start, end }: &Range<u64>) -> Result<(u64, impl Read)> {
    let mut stream = TcpStream::connect(address)?;
    let range = format!("bytes={start}-{}", end.saturating_sub(1));
    write!(stream, "GET / HTTP/1.1\r\nRange: {range}\r\n\r\n")?;
    let mut answer = BufReader::new(stream);
    let lines = answer.by_ref().lines().map_while(io::Result::ok);
    let headers: String = lines.take_while(|line| !line.is_empty()).collect();
    let len = headers.rsplit('/').next().and_then(|len| len.parse().ok());
    Ok((len.ok_or_else(|| Error::other("no length"))?, answer))
}

fn serve(content: Vec<u8>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let answer = move |stream| answer(stream, &content);
    thread::spawn(move || listener.incoming().flatten().filter_map(answer).count());
    Ok(address)
}

fn answer(mut stream: TcpStream, content: &[u8]) -> Option<()> {
    let mut lines = BufReader::new(&stream).lines().map_while(io::Result::ok);
    let range = lines.find_map(|line| Some(line.strip_prefix("Range: bytes=")?.to_owned()))?;
    let (start, last) = range.split_once('-')?;
    let bytes = content.get(start.parse().ok()?..=last.parse().ok()?)?;
    let header = format!("Content-Range: bytes {range}/{}", content.len());
    write!(stream, "HTTP/1.1 206 Partial\r\n{header}\r\n\r\n").ok()?;
    stream.write_all(bytes).ok()
}
