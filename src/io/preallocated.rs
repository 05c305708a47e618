//! A file whose space is preallocated before it is used, and the only ways in which it grows.
//!
//! It has no directory and no name; its owner has, such as a
//! [`ScratchFile`](crate::io::scratch::ScratchFile).

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::bug::bug;
use crate::error::Result;
use crate::io::account::Account;
use crate::io::file::{OwnedFile, check_len, limit_below};
use crate::io::refusal::{Op, Refusal};
use crate::sys;

/// An open file and the account of its preallocated bytes.
#[derive(Debug)]
pub(crate) struct Preallocated {
    /// Before `account`: the space is free when the file is closed.
    file: OwnedFile,
    account: Account,
    /// Whether the file may be longer than its owner knows, since a failed growth could not be
    /// undone.
    is_overlong: AtomicBool,
}

impl Deref for Preallocated {
    type Target = OwnedFile;

    fn deref(&self) -> &OwnedFile {
        &self.file
    }
}

impl Preallocated {
    pub(crate) const fn new(file: OwnedFile, account: Account) -> Self {
        Self {
            file,
            account,
            is_overlong: AtomicBool::new(false),
        }
    }

    /// Grows the file from `len` bytes, its length, to the first length of `wanted` for which there
    /// is space, and returns that length. They are in descending order: the last is the one that is
    /// needed, those before are more than needed.
    ///
    /// The caller ensures that no other thread changes the length meanwhile.
    ///
    /// # Errors
    ///
    /// What the last length was refused for. Length, preallocated blocks and budget are as before,
    /// as far as the system allows the blocks to be given back.
    ///
    /// * [`StorageFull`](crate::ErrorKind::StorageFull),
    ///   [`FileTooLarge`](crate::ErrorKind::FileTooLarge), [`Forked`](crate::ErrorKind::Forked),
    ///   [`Io`](crate::ErrorKind::Io).
    pub(crate) fn grow<const N: usize>(&self, len: u64, wanted: [u64; N]) -> Result<u64, Refusal> {
        const { assert!(N > 0, "no length is asked for") };
        let mut last = None;
        for to in wanted {
            match last {
                Some((before, _refused)) if before == to => {}
                _ => match self.extend(len, to) {
                    Ok(()) => return Ok(to),
                    Err(refused) => last = Some((to, refused)),
                },
            }
        }
        match last {
            Some((_to, refused)) => Err(refused),
            None => bug!("no length was tried"),
        }
    }

    /// Extends the file from `from` bytes, its length, to `to`.
    fn extend(&self, from: u64, to: u64) -> Result<(), Refusal> {
        let Some(added) = to.checked_sub(from).filter(|added| *added > 0) else {
            bug!("a file of {from} bytes grows to {to}");
        };
        self.file.check_owner(Op::Grow)?;
        check_len(to)?;
        let entry = self.account.charge(added)?;
        if let Err(refused) = self.file.claim(from, to) {
            // ext4 leaves the file half grown when the disk is full (linux-facts G3).
            self.undo(from);
            return Err(refused);
        }
        entry.keep();
        Ok(())
    }

    /// Cuts off what a growth added that is not used.
    fn undo(&self, len: u64) {
        let undone = self.file.set_len(Op::Grow, len);
        self.is_overlong.store(undone.is_err(), Relaxed);
    }

    /// Takes back a growth from `to` bytes to `from` that its owner cannot use.
    pub(crate) fn ungrow(&self, from: u64, to: u64) {
        self.account.give_back(less(from, to));
        self.undo(to);
    }

    /// Cuts off what a failed growth of a file of `len` bytes may have left behind.
    pub(crate) fn cut_off(&self, len: u64) -> Result<(), Refusal> {
        if self.is_overlong.load(Relaxed) {
            self.file.set_len(Op::Shorten, len)?;
            self.is_overlong.store(false, Relaxed);
        }
        Ok(())
    }

    /// Preallocates what is missing of a file that has `len` bytes already, and changes none of them.
    pub(crate) fn adopt(&self, len: u64) -> Result<(), Refusal> {
        check_len(len)?;
        if len == 0 {
            return Ok(());
        }
        let entry = self.account.charge(len)?;
        self.file.claim_existing(len)?;
        entry.keep();
        Ok(())
    }

    /// Cuts the file off at `to` bytes; its length was `from`. The space is returned to the disk and
    /// to the budget. On failure nothing has changed.
    pub(crate) fn shrink(&self, from: u64, to: u64) -> Result<(), Refusal> {
        let freed = less(from, to);
        self.file.set_len(Op::Shorten, to)?;
        self.account.give_back(freed);
        Ok(())
    }

    /// Gives the space of `len` bytes from `offset`, which are in the file and preallocated, back to
    /// the budget, and to the disk where the file system can free parts of files. Returns whether
    /// that was done; then they read as zero. Otherwise they stay preallocated. Allocates nothing.
    pub(crate) fn give_back_part(&self, offset: u64, len: u64) -> bool {
        let given = self.empty_part(offset, len);
        if given {
            self.give_back(len);
        }
        given
    }

    /// The disk's half of [`give_back_part`](Self::give_back_part): the account is as before, for
    /// [`give_back`](Self::give_back). On failure, some of the bytes may be a hole, and others not
    /// zero.
    pub(crate) fn empty_part(&self, offset: u64, len: u64) -> bool {
        if !self.file.is_owner() {
            return false;
        }
        let given = self.file.punch(offset, len);
        let given = given.or_else(|_refused| self.file.write_zeros(offset, len));
        given.is_ok()
    }

    /// Preallocates what is missing of `len` bytes from `offset` that the account has, and changes no
    /// byte of them; returns whether it succeeded. Allocates nothing.
    pub(crate) fn claim_again(&self, offset: u64, len: u64) -> bool {
        // Not by zeros where there is no such call: they would replace what is there.
        self.file.is_owner() && sys::retry(|| self.file.sys().allocate(offset, len)).is_ok()
    }

    /// Makes the file, which is new, `len` bytes long without preallocating any of them: a hole, of
    /// which [`claim_part`](Self::claim_part) makes parts usable.
    pub(crate) fn set_sparse_len(&self, len: u64) -> Result<(), Refusal> {
        // Not counted as a failure: a shorter one may do.
        if let Some(limit) = limit_below(len) {
            return Err(Refusal::past_limit(len, limit));
        }
        let set = sys::retry(|| self.file.sys().set_len(len));
        set.map_err(|answer| Refusal::answered(Op::Map, &answer))
    }

    /// Preallocates `len` bytes from `offset`, all inside of the file and none preallocated yet. When
    /// it fails, none of them is. Allocates no memory: allocators use it.
    pub(crate) fn claim_part(&self, offset: u64, len: u64) -> Result<(), Refusal> {
        self.file.check_owner(Op::Grow)?;
        let end = offset.checked_add(len);
        let end = end.unwrap_or_else(|| bug!("{len} bytes at {offset}"));
        let entry = self.account.charge(len)?;
        if let Err(refused) = self.file.claim_uncounted(offset, end) {
            // Part of the space may have been preallocated.
            let _undone = self.file.punch(offset, len);
            return Err(refused);
        }
        entry.keep();
        Ok(())
    }

    /// Removes bytes from the account that are no longer preallocated.
    pub(crate) fn give_back(&self, bytes: u64) {
        self.account.give_back(bytes);
    }

    /// Returns the preallocated bytes.
    pub(crate) fn claimed_bytes(&self) -> u64 {
        self.account.bytes()
    }
}

fn less(from: u64, to: u64) -> u64 {
    let rest = from.checked_sub(to);
    rest.unwrap_or_else(|| bug!("a file of {from} bytes shrinks to {to}"))
}
