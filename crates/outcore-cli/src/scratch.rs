//! Where bytes go that memory has no room for, opened when the first of them come.

use std::path::PathBuf;
use std::sync::OnceLock;

use outcore::{Arena, DiskVec, Location, ScratchDir};

use crate::failure::Result;

/// What `--help` says about the option that names the directory.
pub(crate) const HELP: &str = "Put scratch files into DIR [default: $OUTCORE_DIR or else $TMPDIR; if \
neither is set, the first that is not in RAM and can be written to of /var/tmp, $XDG_CACHE_HOME or \
else $HOME/.cache, and the current directory]";

/// The directory for scratch files.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: Option<PathBuf>,
    dir: OnceLock<ScratchDir>,
}

impl Scratch {
    /// Names the directory; without a path it is the one that the environment suggests.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            dir: OnceLock::new(),
        }
    }

    /// Opens the directory, once.
    ///
    /// # Errors
    ///
    /// It cannot be used.
    pub(crate) fn dir(&self) -> Result<&ScratchDir> {
        if let Some(dir) = self.dir.get() {
            return Ok(dir);
        }
        let dir = match &self.path {
            Some(path) => ScratchDir::new(path)?,
            None => ScratchDir::from_env()?,
        };
        Ok(self.dir.get_or_init(|| dir))
    }

    /// Returns how many bytes scratch files have now.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.dir.get().map_or(0, ScratchDir::used_bytes)
    }

    /// Makes an arena, which takes space on disk while it lives.
    ///
    /// # Errors
    ///
    /// The directory cannot be used.
    pub(crate) fn arena(&self) -> Result<Arena> {
        Ok(Arena::new_in(self.dir()?)?)
    }

    /// Makes a list.
    ///
    /// # Errors
    ///
    /// The directory cannot be used.
    pub(crate) fn list<T>(&self) -> Result<DiskVec<T>> {
        Ok(DiskVec::new_in(self.dir()?))
    }
}

/// A sequence of bytes that is appended to, in pieces of an arena.
///
/// What is appended in one call stays together.
#[derive(Debug)]
pub(crate) struct Appender {
    writer: outcore::ArenaWriter,
    staged: Vec<u8>,
    pieces: DiskVec<Location>,
}

/// Bytes that are collected before they become a piece.
pub(crate) const PIECE_BYTES: usize = 32 << 10;

/// What an appender takes of memory: its piece, the writer's buffer, the begin of the
/// list of pieces.
pub(crate) const APPENDER_BYTES: usize = PIECE_BYTES + (256 << 10) + (64 << 10);

impl Appender {
    /// Starts a sequence.
    ///
    /// # Errors
    ///
    /// The directory cannot be used.
    pub(crate) fn new(arena: &Arena) -> Result<Self> {
        Ok(Self {
            writer: arena.writer()?,
            staged: Vec::with_capacity(PIECE_BYTES),
            pieces: arena.dir().map_or_else(DiskVec::new, DiskVec::new_in),
        })
    }

    /// Appends a few words.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails.
    #[inline]
    pub(crate) fn push<const N: usize>(&mut self, words: [u64; N]) -> Result<()> {
        if self.staged.len() + N * size_of::<u64>() > PIECE_BYTES {
            self.flush()?;
        }
        for word in words {
            self.staged.extend_from_slice(&word.to_le_bytes());
        }
        Ok(())
    }

    #[cold]
    fn flush(&mut self) -> Result<()> {
        if !self.staged.is_empty() {
            self.pieces.push(self.writer.push(&self.staged)?)?;
            self.staged.clear();
        }
        Ok(())
    }

    /// Ends the sequence.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails.
    pub(crate) fn finish(mut self) -> Result<DiskVec<Location>> {
        self.flush()?;
        self.writer.finish().map_err(outcore::Error::from)?;
        Ok(self.pieces)
    }
}

/// Reads what an [`Appender`] has written, `N` words at a time, in order.
///
/// # Errors
///
/// The disk fails, or `each` does.
pub(crate) fn read_words<const N: usize>(
    arena: &Arena,
    pieces: &[Location],
    mut each: impl FnMut([u64; N]) -> Result<()>,
) -> Result<()> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    for &location in pieces {
        piece.clear();
        arena.get_into(location, &mut piece)?;
        for item in piece.chunks_exact(N * size_of::<u64>()) {
            let mut words = [0; N];
            for (word, bytes) in words.iter_mut().zip(item.chunks_exact(size_of::<u64>())) {
                let mut eight = [0; 8];
                eight.copy_from_slice(bytes);
                *word = u64::from_le_bytes(eight);
            }
            each(words)?;
        }
    }
    Ok(())
}
