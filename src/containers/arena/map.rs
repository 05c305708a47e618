//! Items without a copy: the arena's files, mapped.
#![expect(
    unsafe_code,
    reason = "borrows bytes that are final; see docs/safety.md"
)]

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::bug::bug;
use crate::containers::arena::shard::Shard;
use crate::containers::arena::{Arena, FILES_MAX, Location, no_memory, span};
use crate::error::{ErrorKind, Result};
use crate::io::refusal::Refusal;
use crate::mapping::advice::Advice;
use crate::mapping::view::View;

/// A view of an [`Arena`] that lends its items instead of copying them; made by [`Arena::map`].
///
/// The fastest way to read items that are in memory, and the slowest way to read many that are not:
/// the thread waits for each missing page, and with [`Advice::Normal`] for the whole read-ahead of
/// the device. A view also shows items that are flushed later.
///
/// # Examples
///
/// ```
/// let arena = outcore::Arena::new()?;
/// let mut writer = arena.writer()?;
/// let location = writer.push("borrowed")?;
/// writer.flush()?;
/// let map = arena.map()?;
/// let item: &[u8] = map.get(location)?;
/// assert_eq!(item, b"borrowed");
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # When the device fails
///
/// A page that the device cannot deliver is an error for [`Arena::get`], but kills the process with
/// `SIGBUS` when it is accessed here, as with every mapped file.
pub struct ArenaMap {
    arena: Arena,
    views: [OnceLock<View>; FILES_MAX],
    /// The advice for views; locked while a view is created.
    advice: Mutex<Advice>,
}

impl Arena {
    /// Creates a view that lends items instead of copying them.
    ///
    /// # Errors
    ///
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): no addresses are left for the arena's content.
    /// * [`Io`](ErrorKind::Io): the system refuses the mapping.
    /// * [`ReadOnly`](ErrorKind::ReadOnly): it was opened from a file by `Arena::open`, and other programs
    ///   could change that under the borrowed bytes.
    ///
    /// # Cost
    ///
    /// One `mmap` and one `madvise` for each file. Reserves up to 1 TiB of addresses for each,
    /// which take no memory.
    pub fn map(&self) -> Result<ArenaMap> {
        if let Some(archive) = self.inner.archive() {
            let reason = "other programs can change a file that has a name, also under a map; \
                          copy the items";
            return Err(archive.refused(ErrorKind::ReadOnly, reason));
        }
        let map = ArenaMap {
            arena: self.clone(),
            views: [const { OnceLock::new() }; FILES_MAX],
            advice: Mutex::new(Advice::Normal),
        };
        for (number, shard) in self.inner.shards().enumerate() {
            let made = map.view(number, shard);
            made.map_err(|refused| self.error(refused))?;
        }
        Ok(map)
    }
}

impl ArenaMap {
    /// Returns a reference to an item.
    ///
    /// # Errors
    ///
    /// * [`ForeignLocation`](ErrorKind::ForeignLocation), [`NotFlushed`](ErrorKind::NotFlushed),
    ///   [`OutOfBounds`](ErrorKind::OutOfBounds): as from [`Arena::get_into`].
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): the item was pushed after the map was created,
    ///   past the addresses that could be reserved. Create a new map.
    ///
    /// # Cost
    ///
    /// No system call and no copy; a page fault for each page that is not mapped yet.
    pub fn get(&self, location: Location) -> Result<&[u8]> {
        let item = self.item(location);
        item.map_err(|refused| self.arena.error(refused))
    }

    fn item(&self, location: Location) -> Result<&[u8], Refusal> {
        let Some(shard) = self.arena.find(location)? else {
            return Ok(&[]);
        };
        let view = self.view(location.file(), shard)?;
        let len = span(location).len();
        // SAFETY: `find` returned that the bytes are flushed. Such bytes are in the file, and are
        // neither written again nor cut off while the arena lives, which `self` holds.
        let bytes = unsafe { view.bytes(location.offset(), len) };
        bytes.ok_or_else(View::too_small)
    }

    /// Sets the order in which items will be read.
    ///
    /// [`Advice::Random`] is right for look-ups in an arena that is larger than memory: it keeps
    /// the kernel from reading far more than the item.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io): the system refuses the advice.
    ///
    /// # Cost
    ///
    /// One `madvise` for each file.
    pub fn advise(&self, advice: Advice) -> Result<()> {
        let mut current = self.advice.lock().unwrap_or_else(PoisonError::into_inner);
        for view in self.views.iter().filter_map(OnceLock::get) {
            let advised = view.advise(advice);
            advised.map_err(|refused| self.arena.error(refused))?;
        }
        *current = advice;
        Ok(())
    }

    /// Returns the arena that is mapped.
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Returns the view of a file, and creates it at the first request.
    fn view(&self, number: usize, shard: &Shard) -> Result<&View, Refusal> {
        let Some(place) = self.views.get(number) else {
            bug!("file {number} of {FILES_MAX}");
        };
        if let Some(view) = place.get() {
            return Ok(view);
        }
        let advice = self.advice.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = place.get() {
            return Ok(view);
        }
        let len_min = usize::try_from(shard.len_bytes()).map_err(|_long| no_memory())?;
        let view = View::new(&shard.file, len_min)?;
        if *advice != Advice::Normal {
            // A refused hint costs speed, and must not fail the read.
            let _hint = view.advise(*advice);
        }
        Ok(place.get_or_init(|| view))
    }
}

impl fmt::Debug for ArenaMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mapped = self.views.iter().filter_map(OnceLock::get);
        f.debug_struct("ArenaMap")
            .field("arena", &self.arena)
            .field("mapped_bytes", &mapped.map(View::len).sum::<usize>())
            .finish_non_exhaustive()
    }
}
