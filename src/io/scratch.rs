//! A scratch file: a preallocated file, and where its bytes are.

use std::ops::Deref;

use crate::error::{Error, Result};
use crate::io::account::Account;
use crate::io::dir::ScratchDir;
use crate::io::file::OwnedFile;
#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
use crate::io::lent::Loan;
use crate::io::preallocated::Preallocated;
use crate::io::refusal::{Refusal, Unnamed};
use crate::sys;

/// A file for this process alone.
#[derive(Debug)]
pub(crate) struct ScratchFile {
    file: Preallocated,
    backing: Backing,
}

/// Where a file is, which decides how errors name it and what a drop does to it. The budget is kept
/// elsewhere.
#[derive(Debug)]
enum Backing {
    /// In a scratch directory, without a name: freed when it is closed.
    Scratch(ScratchDir),
    /// In a file of the caller's: a drop empties and unlocks it.
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    Lent { _loan: Loan },
    /// In a directory of which no path was kept, without a name.
    Anywhere,
}

impl Backing {
    /// Returns what the file is called in errors.
    fn called(&self) -> Unnamed<'_> {
        match self {
            Self::Scratch(dir) => Unnamed::In(dir.path()),
            #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
            Self::Lent { .. } => Unnamed::Given,
            Self::Anywhere => Unnamed::Anywhere,
        }
    }
}

impl Deref for ScratchFile {
    type Target = Preallocated;

    fn deref(&self) -> &Preallocated {
        &self.file
    }
}

impl ScratchFile {
    /// Creates a file without a name, whose preallocated bytes count against the directory's budget.
    pub(crate) fn create(dir: &ScratchDir) -> Result<Self, Refusal> {
        Ok(Self::in_dir(dir.create_unnamed()?, dir))
    }

    /// The same, of a file that can get a name later, and then is no scratch file any more; `None` where
    /// there are none such.
    #[cfg(feature = "sealed")]
    pub(crate) fn create_linkable(dir: &ScratchDir) -> Result<Option<Self>, Refusal> {
        let created = dir.create_linkable()?;
        Ok(created.map(|file| Self::in_dir(file, dir)))
    }

    fn in_dir(file: sys::File, dir: &ScratchDir) -> Self {
        let file = OwnedFile::new(file.shared());
        file.cache().set_policy(dir.cache_policy());
        Self {
            file: Preallocated::new(file, Account::in_dir(dir)),
            backing: Backing::Scratch(dir.clone()),
        }
    }

    /// Takes a file that has no name, and whose directory has no budget. Allocates nothing.
    pub(crate) fn without_dir(file: sys::File) -> Self {
        Self {
            file: Preallocated::new(OwnedFile::new(file), Account::without_budget()),
            backing: Backing::Anywhere,
        }
    }

    /// Takes a file of the user's, which has to be empty and in use by nothing else, and locks it.
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn lent(file: std::fs::File) -> Result<Self> {
        let (file, loan) = Loan::of(file)?;
        Ok(Self {
            // From here on, drop empties and unlocks it.
            file: Preallocated::new(OwnedFile::new(file), Account::without_budget()),
            backing: Backing::Lent { _loan: loan },
        })
    }

    /// Puts what was refused to this file into words.
    #[cold]
    pub(crate) fn error(&self, refusal: Refusal) -> Error {
        refusal.of(self.backing.called())
    }

    /// Returns the scratch directory that the file is in, if any.
    pub(crate) fn dir(&self) -> Option<&ScratchDir> {
        match &self.backing {
            Backing::Scratch(dir) => Some(dir),
            #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
            Backing::Lent { .. } => None,
            Backing::Anywhere => None,
        }
    }
}

#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
impl Drop for ScratchFile {
    fn drop(&mut self) {
        if matches!(self.backing, Backing::Lent { .. }) && self.file.is_owner() {
            // No caller is left that could handle a refusal.
            let _emptied = sys::retry(|| self.file.sys().set_len(0));
            let _unlocked = sys::retry(|| self.file.sys().unlock());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(
        unix,
        any(feature = "allocator-api2", feature = "nightly"),
        not(any(miri, memory_backend))
    ))]
    use std::{io, path::Path, sync::atomic::Ordering::Relaxed};

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
    /// all other programs (linux-facts G3).
    #[test]
    fn a_growth_that_fails_halfway_is_undone() {
        let dir = dir();
        let file = ScratchFile::create(&dir).unwrap();
        file.grow(0, [8192]).unwrap();
        arm(next_call(Outcome::HalfThenErrno(ENOSPC)));
        let error = file.error(file.grow(8192, [1 << 20]).unwrap_err());
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
        file.grow(0, [3 << 20]).unwrap();
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
        file.grow(0, [4096]).unwrap();
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
        file.grow(0, [4096]).unwrap();
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
        file.grow(0, [1 << 20]).unwrap();
        file.shrink(1 << 20, 4096).unwrap();
        assert_eq!(file.sys().disk_bytes().unwrap(), 4096);
        assert_eq!(dir.used_bytes(), 4096);
    }

    #[cfg(all(
        unix,
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
        unix,
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
        unix,
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
        unix,
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
