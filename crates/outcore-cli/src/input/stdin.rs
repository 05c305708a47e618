//! Standard input. A regular file leaves the page cache as inputs with names do.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;

use outcore::InputFile;

use crate::failure::{Failure, Result};
use crate::input::list::Stream;

/// Returns standard input without the buffer that std puts in front of it.
///
/// # Errors
///
/// It is closed.
pub(super) fn open() -> Result<(File, Metadata)> {
    let refused = |answer| Failure::read("standard input", &answer);
    let owned = io::stdin().as_fd().try_clone_to_owned().map_err(refused)?;
    let file = File::from(owned);
    let facts = file.metadata().map_err(refused)?;
    Ok((file, facts))
}

/// A file that is read from its position on. The position goes along: a program that shares it reads on
/// where this one ends.
pub(crate) struct Stdin {
    input: InputFile,
    file: File,
    position: u64,
}

impl Stdin {
    /// Returns an open file as a stream, whatever it is.
    pub(crate) fn stream(file: File, facts: &Metadata) -> Stream {
        // Files under /proc have a length of 0, and have bytes.
        let is_long = facts.is_file() && facts.len() > 0;
        match is_long.then(|| Self::of(&file)) {
            Some(Ok(stdin)) => Box::new(stdin),
            _ => Box::new(file),
        }
    }

    fn of(file: &File) -> io::Result<Self> {
        let mut file = file.try_clone()?;
        Ok(Self {
            position: file.stream_position()?,
            input: file.try_clone()?.into(),
            file,
        })
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let filled = self.input.read_at(buffer, self.position)?;
        self.position += filled as u64;
        self.file.seek(SeekFrom::Start(self.position))?;
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Returns a file without a name.
    fn unnamed(text: &[u8]) -> File {
        let binary = std::env::current_exe().unwrap();
        let path = binary.with_file_name(format!("stdin-{}-{}", std::process::id(), text.len()));
        let options = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        let mut file = options.unwrap();
        std::fs::remove_file(path).unwrap();
        file.write_all(text).unwrap();
        file
    }

    #[test]
    fn a_file_is_read_from_its_position_which_goes_along() {
        let text: Vec<u8> = (0..700_000_u32)
            .map(|number| number.to_le_bytes()[1])
            .collect();
        let mut shared = unnamed(&text);
        shared.seek(SeekFrom::Start(1000)).unwrap();
        let facts = shared.metadata().unwrap();
        let mut stream = Stdin::stream(shared.try_clone().unwrap(), &facts);
        let mut first = vec![0; 300_000];
        stream.read_exact(&mut first).unwrap();
        assert!(first == text[1000..301_000]);
        assert_eq!(shared.stream_position().unwrap(), 301_000);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest == text[301_000..]);
        assert_eq!(shared.stream_position().unwrap(), text.len() as u64);
    }

    #[test]
    fn what_is_no_regular_file_or_has_no_length_is_read_as_it_is() {
        for path in ["/dev/zero", "/proc/self/status"] {
            let file = File::options().read(true).open(path).unwrap();
            let facts = file.metadata().unwrap();
            let mut stream = Stdin::stream(file, &facts);
            let mut bytes = [1; 10];
            stream.read_exact(&mut bytes).unwrap();
            assert_ne!(bytes, [1; 10], "{path}");
        }
    }
}
