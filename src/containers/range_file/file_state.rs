//! The file behind all handles and ranges: its length, its addresses, its syncs.
#![expect(unsafe_code, reason = "maps a file for writing; see docs/safety.md")]

use std::ffi::OsString;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::PoisonError;

use crate::bug::bug;
use crate::containers::range_file::allocator::RangeAllocator;
use crate::error::{Error, ErrorKind, Result};
use crate::exact::narrow;
use crate::io::account::Account;
use crate::io::cache::CachePolicy;
use crate::io::file::OwnedFile;
use crate::io::place::Place;
use crate::io::preallocated::Preallocated;
use crate::io::refusal::{Op, Refusal};
use crate::mapping::addresses::Addresses;
use crate::mapping::growth::{ADDRESSABLE_BYTES, page_down, page_up};
use crate::sync::Mutex;
use crate::sys;
use crate::sys::Access;

/// A file, its addresses, and the allocator of its bytes.
#[derive(Debug)]
pub(super) struct FileState {
    pub(super) allocator: RangeAllocator,
    /// # Invariants
    ///
    /// 1. All of `space` shows `file` from its first byte, for reading and writing, as long as the
    ///    state lives.
    /// 2. The file has at least as many bytes as `allocator` says, all of them preallocated, and at
    ///    most as many as the space. It is cut off only behind them.
    /// 3. Others can reach the file by a name only if `is_named`, where a caller of an `unsafe`
    ///    function vouches for them, or if `aside` is set or `is_named` was set by publishing, when
    ///    no bytes are lent any more.
    space: Addresses,
    pub(super) file: Preallocated,
    pub(super) place: Place,
    /// Whether the file has its name.
    pub(super) is_named: bool,
    /// The temporary name that it has until then, while another file is replaced.
    pub(super) aside: Option<OsString>,
    /// Locked while the file grows.
    growing: Mutex<()>,
}

impl FileState {
    /// Preallocates `len` bytes of a new file and maps it.
    ///
    /// On failure, its name, if it has one, is removed.
    pub(super) fn of_new(place: Place, file: OwnedFile, len: u64, is_named: bool) -> Result<Self> {
        let file = Preallocated::new(file, Account::without_budget());
        let claimed = check_addressable(len).and_then(|()| {
            if len > 0 {
                file.grow(0, [len])?;
            }
            if is_named {
                // So that flushed bytes can be found again.
                file.sync_all()?;
                file.sync_by(|| place.sync())?;
            }
            Ok(())
        });
        let ready = claimed.map_err(|refused| refused.of_file(CLAIM, place.path()));
        let space = ready.and_then(|()| show(&place, &file, len));
        if is_named && space.is_err() {
            let _removed = place.remove(None);
        }
        Ok(Self::new(place, file, space?, (len, 0), is_named))
    }

    /// Preallocates the missing space of a file of `len` bytes and maps it.
    ///
    /// # Safety
    ///
    /// As long as the state lives, no other code changes bytes that are lent, or makes the file
    /// shorter.
    pub(super) unsafe fn of_existing(place: Place, file: OwnedFile, len: u64) -> Result<Self> {
        let file = Preallocated::new(file, Account::without_budget());
        let claimed = check_addressable(len).and_then(|()| file.adopt(len));
        claimed.map_err(|refused| refused.of_file(CLAIM, place.path()))?;
        let space = show(&place, &file, len)?;
        Ok(Self::new(place, file, space, (len, len), true))
    }

    fn new(
        place: Place,
        file: Preallocated,
        space: Addresses,
        (len, content): (u64, u64),
        is_named: bool,
    ) -> Self {
        Self {
            allocator: RangeAllocator::new(len, content),
            space,
            file,
            place,
            is_named,
            aside: None,
            growing: Mutex::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Returns the address of the first byte.
    #[inline]
    pub(super) fn base(&self) -> NonNull<u8> {
        self.space.base()
    }

    /// Puts what was refused to the file into words.
    #[cold]
    pub(super) fn error(&self, action: &'static str, refused: Refusal) -> Error {
        refused.of_file(action, self.path())
    }

    /// Returns an error in a forked child, where the bytes are not mapped.
    pub(super) fn check_owner(&self, action: &'static str) -> Result<()> {
        let checked = self.file.check_owner(Op::Sync);
        checked.map_err(|refused| self.error(action, refused))
    }

    /// Makes the file `len` bytes long, unless it is as long already.
    pub(super) fn grow(&self, len: u64) -> Result<()> {
        self.check_owner(GROW)?;
        let growing = self.growing.lock();
        let _growing = growing.unwrap_or_else(PoisonError::into_inner);
        let old = self.allocator.len();
        if len <= old {
            return Ok(());
        }
        if self.allocator.is_sealed() {
            // Others can reach the file by a name, and may have made it longer: it must not be cut
            // off.
            return Err(self.cannot_grow());
        }
        if len > self.space.len() as u64 {
            let reason = "the addresses that were reserved for the file end before";
            let refused = Error::refused(ErrorKind::CapacityOverflow, GROW, reason);
            return Err(refused.at(self.path()));
        }
        let grown = check_addressable(len).and_then(|()| self.file.grow(old, [len]));
        grown.map_err(|refused| self.error(CLAIM, refused))?;
        if self.allocator.grow(len) {
            return Ok(());
        }
        self.file.ungrow(len, old);
        Err(self.cannot_grow())
    }

    #[cold]
    fn cannot_grow(&self) -> Error {
        let reason = "it is published, or has grown too often";
        Error::refused(ErrorKind::CapacityOverflow, GROW, reason).at(self.path())
    }

    /// Cuts off what a failed growth added and could not remove.
    pub(super) fn cut_off(&self, action: &'static str) -> Result<()> {
        let cut = self.file.cut_off(self.allocator.len());
        cut.map_err(|refused| self.error(action, refused))
    }

    /// Removes the temporary name, if there is one.
    pub(super) fn remove_aside(&mut self) {
        if let Some(aside) = self.aside.take() {
            self.place.remove_aside(&aside);
        }
    }

    /// Sets what stays in the page cache of what is written from now on.
    pub(super) fn set_cache_policy(&self, policy: CachePolicy) {
        self.file.cache().set_policy(policy);
    }

    /// Waits until all bytes are on the device.
    pub(super) fn sync_all(&self) -> Result<()> {
        let owned = self.file.check_owner(Op::Sync);
        let synced = owned.and_then(|()| self.file.sync_all());
        synced.map_err(|refused| self.error(SYNC, refused))
    }

    /// Waits until the bytes of `range`, which is in the file and not empty, are on the device.
    pub(super) fn sync_range(&self, range: &Range<u64>) -> Result<()> {
        self.check_owner(SYNC)?;
        let page = sys::page_size();
        let (start, end) = (narrow(range.start), narrow(range.end));
        let end = page_up(end, page).unwrap_or_else(|| bug!("no page ends after byte {end}"));
        let pages = page_down(start, page)..end.min(self.space.len());
        // SAFETY: all of the space shows the file (invariant 1).
        let synced = (self.file).sync_by(|| unsafe { self.space.sync(pages.clone()) });
        synced.map_err(|refused| self.error(SYNC, refused))
    }

    /// Writes `bytes` at `offset`; all of them have to be inside the file.
    ///
    /// # Safety
    ///
    /// The bytes that are overwritten are lent to the caller alone.
    pub(super) unsafe fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|refused| self.error("write to", refused))
    }
}

impl Drop for FileState {
    fn drop(&mut self) {
        if self.check_owner(SYNC).is_err() {
            return;
        }
        self.remove_aside();
        // A forked child may have the file open, and the lock with it.
        let _unlocked = sys::retry(|| self.file.sys().unlock());
    }
}

/// Maps a file of `len` bytes, and reserves addresses behind it for growth.
fn show(place: &Place, file: &OwnedFile, len: u64) -> Result<Addresses> {
    let refused = |answer| Refusal::failed(Op::Map, &answer).of_file("map", place.path());
    let need = usize::try_from(len);
    let need = need.map_err(|_long| too_large().of_file(CLAIM, place.path()))?;
    let space = Addresses::reserve(need.max(1), SHARES, sys::page_size()).map_err(refused)?;
    // SAFETY: no other code knows the addresses yet. The file has no name, or the caller of an
    // `unsafe` function vouches for all other programs.
    sys::retry(|| unsafe { space.show_all(file.sys(), Access::ReadWrite) }).map_err(refused)?;
    Ok(space)
}

/// Refuses a length that no process can address.
fn check_addressable(len: u64) -> Result<(), Refusal> {
    if len > ADDRESSABLE_BYTES as u64 {
        return Err(too_large());
    }
    Ok(())
}

#[cold]
fn too_large() -> Refusal {
    let reason = "the length passes what can be addressed";
    Refusal::ours(Op::Grow, ErrorKind::CapacityOverflow, reason)
}

/// The number of address shares of a file: with the heap backend, where a share is small, enough
/// for the growth in integration tests.
const SHARES: usize = if cfg!(all(any(miri, memory_backend), not(test))) {
    64
} else {
    1
};

/// The names of operations in errors.
const CLAIM: &str = "claim space for";
const GROW: &str = "grow";
const SYNC: &str = "sync";
