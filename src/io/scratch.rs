//! A scratch file: an [`OwnedFile`] for this process alone, whose space counts against a budget.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::{Error, Result};
use crate::io::budget::Charge;
use crate::io::dir::ScratchDir;
use crate::io::file::{OwnedFile, check_len, limit_below};
#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
use crate::io::lent::Loan;
use crate::io::refusal::{Op, Refusal, Unnamed};
use crate::io::stats;
use crate::sys;

/// A file without a name in a [`ScratchDir`], whose claimed bytes count against its budget; or a
/// file of the user's, without one.
#[derive(Debug)]
pub(crate) struct ScratchFile {
    file: OwnedFile,
    /// Whose budget counts, if any.
    dir: Option<ScratchDir>,
    /// Bytes claimed for this file, and entered into the budget.
    charged_bytes: AtomicU64,
    /// Of a file that stays when this is gone: then it is emptied and unlocked.
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    loan: Option<Loan>,
}

/// Bytes that are about to be claimed.
struct Claim<'dir> {
    charge: Option<Charge<'dir>>,
    bytes: u64,
}

impl Deref for ScratchFile {
    type Target = OwnedFile;

    fn deref(&self) -> &OwnedFile {
        &self.file
    }
}

impl ScratchFile {
    pub(crate) fn create(dir: &ScratchDir) -> Result<Self, Refusal> {
        let file = dir.create_unnamed()?;
        Ok(Self {
            file: OwnedFile::new(file.shared()),
            dir: Some(dir.clone()),
            charged_bytes: AtomicU64::new(0),
            #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
            loan: None,
        })
    }

    /// Takes a file that has no name, and whose directory has no budget. Allocates nothing.
    pub(crate) fn without_dir(file: sys::File) -> Self {
        Self {
            file: OwnedFile::new(file),
            dir: None,
            charged_bytes: AtomicU64::new(0),
            #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
            loan: None,
        }
    }

    /// Takes a file of the user's, which has to be empty and nobody else's, and locks it.
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn lent(file: std::fs::File) -> Result<Self> {
        let (file, loan) = Loan::of(file)?;
        // From here on, drop empties and unlocks it.
        let mut lent = Self::without_dir(file);
        lent.loan = Some(loan);
        Ok(lent)
    }

    /// Extends the file from `from` bytes, its length now, to `to`, claiming space on disk.
    ///
    /// The caller sees to it that no other thread changes the length meanwhile.
    ///
    /// # Errors
    ///
    /// Length, claimed blocks and budget are as before after each of them, as far as the system
    /// lets the claimed part be given back.
    ///
    /// * [`StorageFull`](crate::ErrorKind::StorageFull),
    ///   [`FileTooLarge`](crate::ErrorKind::FileTooLarge), [`Forked`](crate::ErrorKind::Forked),
    ///   [`Io`](crate::ErrorKind::Io).
    pub(crate) fn extend(&self, from: u64, to: u64) -> Result<(), Refusal> {
        debug_assert!(from < to);
        self.file.check_owner(Op::Grow)?;
        check_len(to)?;
        let charge = self.charge(to.saturating_sub(from))?;
        if let Err(refused) = self.file.claim(from, to) {
            // ext4 leaves the file half grown when the disk is full (linux-facts G3).
            let _undone = self.file.set_len(Op::Grow, from);
            return Err(refused);
        }
        self.keep(charge);
        Ok(())
    }

    /// Cuts the file off at `to` bytes; its length was `from`. The space goes back to the disk and
    /// to the budget. On failure nothing has changed.
    pub(crate) fn shrink(&self, from: u64, to: u64) -> Result<(), Refusal> {
        debug_assert!(to <= from);
        self.file.set_len(Op::Shorten, to)?;
        self.give_back(from.saturating_sub(to));
        Ok(())
    }

    /// Gives the space of `len` bytes from `offset`, which are in the file and claimed, back to the
    /// budget, and to the disk where the file system can give back parts of files. Says whether that
    /// was done; then they read as zero. Otherwise they stay claimed. Allocates nothing.
    pub(crate) fn give_back_part(&self, offset: u64, len: u64) -> bool {
        let given = self.empty_part(offset, len);
        if given {
            self.give_back(len);
        }
        given
    }

    /// The disk's half of [`give_back_part`](Self::give_back_part): all books are as before, for
    /// [`give_back`](Self::give_back). Where it fails, some of the bytes may be a hole, and others
    /// not zero.
    pub(crate) fn empty_part(&self, offset: u64, len: u64) -> bool {
        if !self.file.is_owner() {
            return false;
        }
        let given = self.file.punch(offset, len);
        let given = given.or_else(|_refused| self.file.write_zeros(offset, len));
        given.is_ok()
    }

    /// Claims what is missing of `len` bytes from `offset` which the books have as claimed, and
    /// changes no byte of them; says whether it could. Allocates nothing.
    pub(crate) fn claim_again(&self, offset: u64, len: u64) -> bool {
        // Not by zeros where there is no such call: they would replace what is there.
        self.file.is_owner() && sys::retry(|| self.file.sys().allocate(offset, len)).is_ok()
    }

    /// Makes the file, which is new, `len` bytes long without claiming any of them: a hole, of which
    /// [`claim_part`](Self::claim_part) makes parts usable.
    pub(crate) fn set_sparse_len(&self, len: u64) -> Result<(), Refusal> {
        // Not counted as a failure: a shorter one may do.
        if let Some(limit) = limit_below(len) {
            return Err(Refusal::past_limit(len, limit));
        }
        let set = sys::retry(|| self.file.sys().set_len(len));
        set.map_err(|answer| Refusal::answered(Op::Map, &answer))
    }

    /// Claims space for `len` bytes from `offset`, all inside of the file and none claimed yet. When
    /// it fails, nothing is claimed.
    pub(crate) fn claim_part(&self, offset: u64, len: u64) -> Result<(), Refusal> {
        self.file.check_owner(Op::Grow)?;
        let charge = self.charge(len)?;
        if let Err(refused) = self.file.claim(offset, offset.saturating_add(len)) {
            // Part of the space may have been claimed.
            let _undone = self.file.punch(offset, len);
            return Err(refused);
        }
        self.keep(charge);
        Ok(())
    }

    /// Enters bytes into the budget, if there is one.
    fn charge(&self, bytes: u64) -> Result<Claim<'_>, Refusal> {
        let dir = self.dir.as_ref();
        let charge = dir.map(|dir| dir.charge(bytes)).transpose();
        let charge = charge.inspect_err(|_refused| stats::failed())?;
        Ok(Claim { charge, bytes })
    }

    /// Enters bytes into the books that are claimed now.
    fn keep(&self, Claim { charge, bytes }: Claim<'_>) {
        if let Some(charge) = charge {
            charge.keep();
        }
        self.charged_bytes.fetch_add(bytes, Relaxed);
        stats::claimed(bytes);
    }

    /// Enters into the books that bytes are not claimed any more.
    pub(crate) fn give_back(&self, bytes: u64) {
        self.charged_bytes.fetch_sub(bytes, Relaxed);
        self.release(bytes);
        stats::returned(bytes);
    }

    fn release(&self, bytes: u64) {
        if let Some(dir) = &self.dir {
            dir.release(bytes);
        }
    }

    /// Returns the bytes that are claimed on disk for this file.
    pub(crate) fn claimed_bytes(&self) -> u64 {
        self.charged_bytes.load(Relaxed)
    }

    /// Puts what was refused to this file into words.
    #[cold]
    pub(crate) fn error(&self, refusal: Refusal) -> Error {
        refusal.of(self.called())
    }

    /// Returns what the file is called in errors.
    fn called(&self) -> Unnamed<'_> {
        #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
        if self.loan.is_some() {
            return Unnamed::Given;
        }
        match &self.dir {
            Some(dir) => Unnamed::In(dir.path()),
            None => Unnamed::Anywhere,
        }
    }

    /// Returns the directory whose budget counts, if any.
    pub(crate) fn dir(&self) -> Option<&ScratchDir> {
        self.dir.as_ref()
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        self.give_back(self.claimed_bytes());
        #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
        if self.loan.is_some() && self.file.is_owner() {
            // Nobody is left to hear of a refusal.
            let _emptied = sys::retry(|| self.file.sys().set_len(0));
            let _unlocked = sys::retry(|| self.file.sys().unlock());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(
        any(feature = "allocator-api2", feature = "nightly"),
        not(any(miri, memory_backend))
    ))]
    use std::{io, path::Path};

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
        let read = file.read_to_end_of(&mut bytes, len, offset);
        read.map(|()| bytes).map_err(|refused| file.error(refused))
    }

    /// A `fallocate` that met a full ext4 left the file half grown, and the disk full for
    /// everybody else (linux-facts G3).
    #[test]
    fn a_growth_that_fails_halfway_is_undone() {
        let dir = dir();
        let file = ScratchFile::create(&dir).unwrap();
        file.extend(0, 8192).unwrap();
        arm(next_call(Outcome::HalfThenErrno(ENOSPC)));
        let error = file.error(file.extend(8192, 1 << 20).unwrap_err());
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
            let error = file.error(file.write_all_at(b"bytes", 0).unwrap_err());
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

    #[cfg(all(
        any(feature = "allocator-api2", feature = "nightly"),
        not(any(miri, memory_backend))
    ))]
    fn empty_file() -> std::fs::File {
        use std::sync::atomic::AtomicUsize;
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let name = format!("target/outcore-lent-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = options.open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    #[cfg(all(
        any(feature = "allocator-api2", feature = "nightly"),
        not(any(miri, memory_backend))
    ))]
    #[test]
    fn a_lent_file_is_locked_and_comes_back_empty() {
        let file = empty_file();
        let kept = file.try_clone().unwrap();
        // Another open description of the same file.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&kept));
        let again = || std::fs::File::options().read(true).write(true).open(&path);
        let other = sys::File::from_std(again().unwrap());
        other.try_lock().unwrap();
        let error = ScratchFile::lent(again().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("locked"), "{error}");
        other.unlock().unwrap();
        let lent = ScratchFile::lent(file).unwrap();
        let locked = other.try_lock().unwrap_err();
        assert_eq!(locked.kind(), io::ErrorKind::WouldBlock);
        lent.set_sparse_len(1 << 20).unwrap();
        lent.claim_part(0, 8192).unwrap();
        assert_eq!(lent.claimed_bytes(), 8192);
        drop(lent);
        assert_eq!(kept.metadata().unwrap().len(), 0);
        drop(ScratchFile::lent(again().unwrap()).unwrap());
    }

    /// A duplicate of a file that an allocator had was refused, and unlocked: the lock belongs to what
    /// was opened, which both share. Others could take it then, and empty it under the allocator. And as
    /// long as the first had not made it longer, the duplicate was taken, by a second allocator.
    #[cfg(all(
        any(feature = "allocator-api2", feature = "nightly"),
        not(any(miri, memory_backend))
    ))]
    #[test]
    fn a_duplicate_of_a_lent_file_is_refused_and_the_lock_stays() {
        let file = empty_file();
        let kept = file.try_clone().unwrap();
        let lent = ScratchFile::lent(file).unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&kept));
        let other = std::fs::File::options().read(true).write(true).open(path);
        let other = sys::File::from_std(other.unwrap());
        for len in [0, 1 << 20] {
            lent.set_sparse_len(len).unwrap();
            let error = ScratchFile::lent(kept.try_clone().unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            let message = error.to_string();
            assert!(message.contains("another allocator"), "{message}");
            let locked = other.try_lock().unwrap_err();
            assert_eq!(locked.kind(), io::ErrorKind::WouldBlock, "at {len}");
        }
        drop(lent);
        drop(ScratchFile::lent(kept).unwrap());
    }

    /// What is refused must neither be emptied nor stay locked.
    #[cfg(all(
        any(feature = "allocator-api2", feature = "nightly"),
        not(any(miri, memory_backend))
    ))]
    #[test]
    fn a_file_that_cannot_be_lent_is_left_alone() {
        let file = empty_file();
        std::os::unix::fs::FileExt::write_all_at(&file, b"the user's", 0).unwrap();
        for _ in 0..2 {
            let error = ScratchFile::lent(file.try_clone().unwrap()).unwrap_err();
            assert_eq!(
                error.to_string(),
                "cannot use the given file: it is not empty"
            );
            assert_eq!(file.metadata().unwrap().len(), 10);
        }
        let directory = std::fs::File::options()
            .read(true)
            .open(env!("CARGO_MANIFEST_DIR"))
            .unwrap();
        let error = ScratchFile::lent(directory).unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
    }

    #[test]
    fn a_part_that_cannot_be_claimed_leaves_the_books_as_they_were() {
        let dir = ScratchDir::builder(env!("CARGO_MANIFEST_DIR"))
            .quota_bytes(1 << 20)
            .build()
            .unwrap();
        let file = ScratchFile::create(&dir).unwrap();
        file.set_sparse_len(4 << 20).unwrap();
        let refused = file.claim_part(0, 2 << 20).unwrap_err();
        assert_eq!(refused, Refusal::over_quota(2 << 20, 0, 1 << 20));
        arm(next_call(Outcome::HalfThenErrno(ENOSPC)));
        file.claim_part(0, 1 << 20).unwrap_err();
        assert_eq!(disarm(), (2, 1), "half of it was given back");
        assert_eq!((file.claimed_bytes(), dir.used_bytes()), (0, 0));
        file.claim_part(0, 1 << 20).unwrap();
        assert!(file.give_back_part(0, 1 << 20));
        assert_eq!((file.claimed_bytes(), dir.used_bytes()), (0, 0));
    }
}
