//! A scratch file: an [`OwnedFile`] without a name, whose space counts against a budget.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::Result;
use crate::storage::dir::{GROW, ScratchDir};
use crate::storage::file::OwnedFile;
use crate::storage::stats;

/// A file without a name in a [`ScratchDir`], whose claimed bytes count against its budget.
#[derive(Debug)]
pub(crate) struct ScratchFile {
    file: OwnedFile,
    dir: ScratchDir,
    /// Bytes entered into the budget of `dir` for this file.
    charged_bytes: AtomicU64,
}

impl Deref for ScratchFile {
    type Target = OwnedFile;

    fn deref(&self) -> &OwnedFile {
        &self.file
    }
}

impl ScratchFile {
    pub(crate) fn create(dir: &ScratchDir) -> Result<Self> {
        let file = dir.create_unnamed()?;
        Ok(Self {
            file: OwnedFile::new(file, dir.path()),
            dir: dir.clone(),
            charged_bytes: AtomicU64::new(0),
        })
    }

    /// Extends the file from `from` bytes, its length now, to `to`, claiming space on disk.
    ///
    /// The caller sees to it that nobody else changes the length meanwhile.
    ///
    /// # Errors
    ///
    /// Length, claimed blocks and budget are as before after each of them, as far as the system
    /// lets the claimed part be given back.
    ///
    /// * [`StorageFull`](crate::ErrorKind::StorageFull),
    ///   [`FileTooLarge`](crate::ErrorKind::FileTooLarge), [`Forked`](crate::ErrorKind::Forked),
    ///   [`Io`](crate::ErrorKind::Io).
    pub(crate) fn extend(&self, from: u64, to: u64) -> Result<()> {
        debug_assert!(from < to);
        self.file.check_owner(GROW)?;
        self.file.check_len(to)?;
        let added = to.saturating_sub(from);
        let charged = self.dir.charge(added);
        charged.inspect_err(|_refused| stats::failed())?;
        if let Err(refused) = self.file.claim(from, to) {
            // ext4 leaves the file half grown when the disk is full (linux-facts G3).
            let _undone = self.file.set_len(GROW, from);
            self.dir.release(added);
            return Err(refused);
        }
        self.charged_bytes.fetch_add(added, Relaxed);
        stats::claimed(added);
        Ok(())
    }

    /// Cuts the file off at `to` bytes; its length was `from`. The space goes back to the disk and
    /// to the budget. On failure nothing has changed.
    pub(crate) fn shrink(&self, from: u64, to: u64) -> Result<()> {
        debug_assert!(to <= from);
        self.file.set_len("shorten a file in", to)?;
        self.give_back(from.saturating_sub(to));
        Ok(())
    }

    /// Gives the space of `len` bytes from `offset`, which are in the file and claimed, back to the
    /// budget, and to the disk where the file system can give back parts of files. Says whether that
    /// was done; then they read as zero. Otherwise they stay claimed.
    pub(crate) fn give_back_part(&self, offset: u64, len: u64) -> bool {
        let given = self.file.punch(offset, len);
        let given = given.or_else(|_refused| self.file.write_zeros(offset, len));
        if given.is_ok() {
            self.give_back(len);
        }
        given.is_ok()
    }

    /// Makes the file `len` bytes long without claiming any of them: a hole, of which
    /// [`claim_part`](Self::claim_part) makes parts usable.
    pub(crate) fn set_sparse_len(&self, len: u64) -> Result<()> {
        self.file.check_len(len)?;
        self.file.set_len(GROW, len)
    }

    /// Claims space for `len` bytes from `offset`, all inside of the file and none claimed yet.
    ///
    /// On failure nothing is claimed.
    pub(crate) fn claim_part(&self, offset: u64, len: u64) -> Result<()> {
        self.file.check_owner(GROW)?;
        let charged = self.dir.charge(len);
        charged.inspect_err(|_refused| stats::failed())?;
        if let Err(refused) = self.file.claim(offset, offset.saturating_add(len)) {
            // Part of the space may have been claimed.
            let _undone = self.file.punch(offset, len);
            self.dir.release(len);
            return Err(refused);
        }
        self.charged_bytes.fetch_add(len, Relaxed);
        stats::claimed(len);
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.charged_bytes.fetch_sub(bytes, Relaxed);
        self.dir.release(bytes);
        stats::returned(bytes);
    }

    /// Returns the bytes that are claimed on disk for this file.
    pub(crate) fn claimed_bytes(&self) -> u64 {
        self.charged_bytes.load(Relaxed)
    }

    pub(crate) fn dir(&self) -> &ScratchDir {
        &self.dir
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        self.give_back(self.claimed_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::sys::fault::{Fault, Outcome, arm, disarm};

    const EIO: i32 = 5;
    const EINTR: i32 = 4;
    const ENOSPC: i32 = 28;
    const EOPNOTSUPP: i32 = 95;

    fn dir() -> ScratchDir {
        ScratchDir::new(env!("CARGO_MANIFEST_DIR")).unwrap()
    }

    fn next_call(outcome: Outcome) -> Fault {
        Fault {
            after: 0,
            sticky: false,
            outcome,
        }
    }

    fn read(file: &ScratchFile, len: usize, offset: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        file.read_to_end_of(&mut bytes, len, offset)?;
        Ok(bytes)
    }

    /// A `fallocate` that met a full ext4 left the file half grown, and the disk full for
    /// everybody else (linux-facts G3).
    #[test]
    fn a_growth_that_fails_halfway_is_undone() {
        let dir = dir();
        let file = ScratchFile::create(&dir).unwrap();
        file.extend(0, 8192).unwrap();
        arm(next_call(Outcome::HalfThenErrno(ENOSPC)));
        let error = file.extend(8192, 1 << 20).unwrap_err();
        assert_eq!(
            disarm(),
            (2, 1),
            "the fault was met, and undone by one call"
        );
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(file.sys().len().unwrap(), 8192);
        assert_eq!(file.sys().disk_bytes().unwrap(), 8192);
        assert_eq!((file.claimed_bytes(), dir.used_bytes()), (8192, 8192));
        drop(file);
        assert_eq!(dir.used_bytes(), 0);
    }

    #[test]
    fn where_space_cannot_be_reserved_zeros_are_written() {
        let file = ScratchFile::create(&dir()).unwrap();
        arm(next_call(Outcome::Errno(EOPNOTSUPP)));
        file.extend(0, 3 << 20).unwrap();
        assert_eq!(disarm().1, 1);
        assert!(
            file.sys().disk_bytes().unwrap() >= 3 << 20,
            "a hole is no claim"
        );
        assert_eq!(read(&file, 10, (3 << 20) - 10).unwrap(), [0; 10]);
    }

    #[test]
    fn short_and_interrupted_transfers_are_finished() {
        let file = ScratchFile::create(&dir()).unwrap();
        file.extend(0, 4096).unwrap();
        let bytes: Vec<u8> = (0..200).collect();
        for outcome in [Outcome::Short, Outcome::Errno(EINTR)] {
            arm(next_call(outcome));
            file.write_all_at(&bytes, 100).unwrap();
            assert_eq!(disarm(), (2, 1));
            arm(next_call(outcome));
            assert_eq!(read(&file, 200, 100).unwrap(), bytes);
            assert_eq!(disarm(), (2, 1));
        }
    }

    #[test]
    fn transfers_that_move_nothing_or_fail_are_errors() {
        let file = ScratchFile::create(&dir()).unwrap();
        file.extend(0, 4096).unwrap();
        for outcome in [Outcome::Zero, Outcome::Errno(EIO)] {
            arm(next_call(outcome));
            let error = file.write_all_at(b"bytes", 0).unwrap_err();
            disarm();
            assert!(error.to_string().starts_with("cannot write to a file in"));
            arm(next_call(outcome));
            let error = read(&file, 5, 0).unwrap_err();
            disarm();
            assert!(error.to_string().starts_with("cannot read a file in"));
        }
        assert!(read(&file, 10, 4090).is_err(), "the end of the file");
    }

    #[test]
    fn a_shorter_file_gives_space_and_budget_back() {
        let dir = dir();
        let file = ScratchFile::create(&dir).unwrap();
        file.extend(0, 1 << 20).unwrap();
        file.shrink(1 << 20, 4096).unwrap();
        assert_eq!(file.sys().disk_bytes().unwrap(), 4096);
        assert_eq!(dir.used_bytes(), 4096);
    }
}
