//! Compressed inputs: what they are compressed with, and their bytes as they are unpacked.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::input::list::Stream;
use crate::size::format_bytes;

/// Bytes that tell the formats apart.
const MAGIC_BYTES: usize = 4;

/// Packed bytes that are read at once.
const READ_BYTES: usize = 128 << 10;

/// What a decoder takes beside its window, with the packed bytes.
const DECODER_BYTES: u64 = 768 << 10;

/// What one of gzip takes, with the packed bytes.
const GZIP_BYTES: u64 = 256 << 10;

/// The binary logarithms of the smallest and of the largest window that zstd gets. Streams of its
/// levels up to 19 need 8 MiB, others up to 128 MiB.
const WINDOW_LOG_MIN: u32 = 20;
const WINDOW_LOG_MAX: u32 = 27;

/// Of the memory, a window takes at most one part of this many.
const WINDOW_DIVISOR: u64 = 16;

/// What something is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Zstd,
}

impl Codec {
    /// Returns the format that the end of a name stands for.
    fn of_name(path: &Path) -> Option<Self> {
        let name = path.as_os_str().as_bytes();
        let ends = |end: &str| {
            let tail = name.len().checked_sub(end.len()).map(|at| &name[at..]);
            tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
        };
        if ends(".gz") {
            Some(Self::Gzip)
        } else if ends(".zst") {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// Returns the format of something that begins with these bytes.
    fn of_magic(first: &[u8]) -> Option<Self> {
        match first {
            // With deflate, the only method there is.
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            // A frame with content, or one to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Returns the format of a file by its first bytes, or else by its name.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn of_file(path: &Path, file: &mut impl Read) -> io::Result<Option<Self>> {
        let (bytes, len) = first_bytes(file)?;
        Ok(Self::of_magic(&bytes[..len]).or_else(|| Self::of_name(path)))
    }
}

/// How much memory decoders may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    log: u32,
}

impl Window {
    /// Returns the largest window for which there is room within a limit on memory.
    pub(crate) fn within(limit_bytes: u64) -> Self {
        let log = (limit_bytes / WINDOW_DIVISOR).max(1).ilog2();
        Self {
            log: log.clamp(WINDOW_LOG_MIN, WINDOW_LOG_MAX),
        }
    }

    /// Returns how much a decoder takes at most.
    pub(crate) fn decoder_bytes(self) -> u64 {
        (1 << self.log) + DECODER_BYTES
    }

    /// Returns how much a decoder of a format takes at most.
    pub(crate) fn bytes_of(self, codec: Codec) -> u64 {
        match codec {
            Codec::Gzip => GZIP_BYTES,
            Codec::Zstd => self.decoder_bytes(),
        }
    }
}

/// The bytes of something that may be compressed, as they are unpacked.
pub(crate) struct Unpacked {
    state: State,
    window: Window,
}

enum State {
    /// Not looked at: the first bytes will tell.
    New(Stream),
    Open(Stream),
}

impl Unpacked {
    /// Unpacks a stream, if its first bytes say that it is compressed.
    pub(crate) fn by_magic(packed: Stream, window: Window) -> Self {
        Self {
            state: State::New(packed),
            window,
        }
    }

    /// Unpacks a stream of a format.
    ///
    /// # Errors
    ///
    /// There is no memory for the decoder.
    pub(crate) fn of(codec: Codec, packed: Stream, window: Window) -> io::Result<Self> {
        let packed = BufReader::with_capacity(READ_BYTES, packed);
        Ok(Self {
            state: State::Open(decoder(codec, packed, window)?),
            window,
        })
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let State::New(stream) = &mut self.state {
            let (bytes, len) = first_bytes(stream)?;
            let first = Cursor::new(bytes).take(len as u64);
            let rest = std::mem::replace(stream, Box::new(io::empty()));
            let all = first.chain(rest);
            self.state = State::Open(match Codec::of_magic(&bytes[..len]) {
                Some(codec) => {
                    let all = BufReader::with_capacity(READ_BYTES, all);
                    decoder(codec, all, self.window)?
                }
                None => Box::new(all),
            });
        }
        let (State::New(stream) | State::Open(stream)) = &mut self.state;
        stream
            .read(buffer)
            .map_err(|answer| explained(answer, self.window))
    }
}

/// Reads the first bytes of something; returns them, and how many there are.
fn first_bytes(stream: &mut impl Read) -> io::Result<([u8; MAGIC_BYTES], usize)> {
    let mut bytes = [0; MAGIC_BYTES];
    let mut len = 0;
    while len < MAGIC_BYTES {
        match stream.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(answer) if answer.kind() == io::ErrorKind::Interrupted => {}
            Err(answer) => return Err(answer),
        }
    }
    Ok((bytes, len))
}

fn decoder(
    codec: Codec,
    packed: impl BufRead + Send + 'static,
    window: Window,
) -> io::Result<Stream> {
    Ok(match codec {
        // A file may be several, one after the other.
        Codec::Gzip => Box::new(MultiGzDecoder::new(packed)),
        Codec::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
            decoder.window_log_max(window.log)?;
            Box::new(decoder)
        }
    })
}

/// Adds a remedy to an answer of zstd, which has no kind of its own.
fn explained(answer: io::Error, window: Window) -> io::Error {
    if !answer.to_string().contains("too much memory") {
        return answer;
    }
    io::Error::other(format!(
        "it needs a window of more than {}; give more --memory, or unpack it with zstd -dc",
        format_bytes(1 << window.log)
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    fn unpacked(packed: Vec<u8>) -> io::Result<Vec<u8>> {
        let window = Window::within(1 << 28);
        let mut bytes = Vec::new();
        Unpacked::by_magic(Box::new(Cursor::new(packed)), window).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn the_first_bytes_tell_what_a_stream_is() {
        let text = b"some text\n".repeat(50_000);
        assert_eq!(unpacked(text.clone()).unwrap(), text);
        for packed in [gzip(&text), zstd(&text)] {
            assert!(packed.len() < text.len() / 10);
            assert_eq!(unpacked(packed.clone()).unwrap(), text);
            // One after the other, as `cat` makes them.
            assert_eq!(unpacked(packed.repeat(2)).unwrap(), text.repeat(2));
            // Cut off: what is missing is not taken for the end.
            assert!(unpacked(packed[..packed.len() - 5].to_vec()).is_err());
        }
        for short in [&b""[..], b"a", b"\x1f", b"\x1f\x8b", b"\x28\xb5\x2f"] {
            assert_eq!(unpacked(short.to_vec()).unwrap(), short);
        }
    }

    #[test]
    fn a_name_or_the_first_bytes_tell_what_a_file_is() {
        for (name, bytes, codec) in [
            ("a.gz", &b"text"[..], Some(Codec::Gzip)),
            ("a.GZ", b"", Some(Codec::Gzip)),
            ("a.zst", b"text", Some(Codec::Zstd)),
            ("a", b"\x1f\x8b\x08\x00", Some(Codec::Gzip)),
            ("a.gz", b"\x28\xb5\x2f\xfd", Some(Codec::Zstd)),
            ("a.txt", b"\x50\x2a\x4d\x18", Some(Codec::Zstd)),
            ("agz", b"text", None),
            ("a.gz.txt", b"text", None),
        ] {
            let found = Codec::of_file(Path::new(name), &mut Cursor::new(bytes)).unwrap();
            assert_eq!(found, codec, "{name}");
        }
    }

    #[test]
    fn a_window_that_memory_has_no_room_for_is_an_error_with_a_remedy() {
        let text: Vec<u8> = (0..9_u32 << 20).flat_map(u32::to_le_bytes).collect();
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(24).unwrap();
        encoder.write_all(&text).unwrap();
        let packed = encoder.finish().unwrap();
        let read = |limit_bytes| {
            let window = Window::within(limit_bytes);
            let packed = Box::new(Cursor::new(packed.clone()));
            io::copy(&mut Unpacked::by_magic(packed, window), &mut io::sink())
        };
        assert_eq!(read(1 << 28).unwrap(), text.len() as u64);
        let text = read(1 << 27).unwrap_err().to_string();
        assert!(text.contains("more than 8 MiB; give more"), "{text}");
    }
}
