//! Many items at once, in the order of the files.

use crate::containers::arena::{Arena, ArenaMap, Location, no_memory, span};
use crate::error::Result;
use crate::read::ReadOptions;
use crate::read::batch::{Piece, prefetch, read_batch};

/// A position, and the index of its location among those that were asked for.
type Numbered = (u64, usize);

impl Arena {
    /// Reads many items and passes each to `deliver`, with its index in `locations`.
    ///
    /// The items come in any order: those that are in memory at once, the others as the device
    /// brings them, of which many are on their way at a time. Each index is delivered once, also
    /// where locations repeat. The more locations one call gets, the better.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = outcore::Arena::new()?;
    /// let mut writer = arena.writer()?;
    /// let locations: Vec<_> = ["c", "a", "b"].map(|text| writer.push(text)).into();
    /// let locations: Vec<_> = locations.into_iter().collect::<outcore::Result<_>>()?;
    /// writer.flush()?;
    /// let mut found = vec![Vec::new(); 3];
    /// arena.get_many(&locations, |index, bytes| found[index] = bytes.to_vec())?;
    /// assert_eq!(found, [b"c", b"a", b"b"]);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`get_into`](Self::get_into). All locations are checked before the first is read,
    /// so a bad one is found before anything is delivered; when the system fails to read, part of
    /// the batch may have been. [`Forked`](crate::ErrorKind::Forked): `deliver` forked, and this is
    /// the child.
    ///
    /// # Cost
    ///
    /// Items that are close together are one read of up to 64 KiB. Of what is in memory, one
    /// `preadv2` or `pread` for each read. Of what is not, an `io_uring`, which the process keeps for
    /// the next call, and a few entries into the kernel for each 128 reads; where the system
    /// refuses that, up to 8 threads, or 32 for direct reads. A buffer of 64 KiB for each read that
    /// is on its way, 16 MiB in all at most, of which only what is used takes memory; the longest
    /// item, if that is longer; and 16 bytes for each location.
    pub fn get_many(
        &self,
        locations: &[Location],
        deliver: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        self.get_many_with(&ReadOptions::new(), locations, deliver)
    }

    /// Reads many items as [`get_many`](Self::get_many) does, in the way that `options` say.
    ///
    /// # Errors
    ///
    /// Those of [`get_many`](Self::get_many).
    pub fn get_many_with(
        &self,
        options: &ReadOptions,
        locations: &[Location],
        mut deliver: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        let order = self.in_file_order(locations)?;
        for index in locations
            .iter()
            .zip(0..)
            .filter_map(|(location, index)| location.is_empty().then_some(index))
        {
            deliver(index, &[]);
        }
        let piece = |number| self.piece(locations, order.get(number)?);
        read_batch(options, &self.inner.idle, &piece, &mut deliver)
    }

    /// Checks all locations and returns those of items with bytes, in the order of the files.
    fn in_file_order(&self, locations: &[Location]) -> Result<Vec<Numbered>> {
        let mut order: Vec<Numbered> = Vec::new();
        let reserved = order.try_reserve_exact(locations.len());
        reserved.map_err(|_full| no_memory())?;
        for (index, location) in locations.iter().enumerate() {
            if self.find(*location)?.is_some() {
                order.push((location.position(), index));
            }
        }
        order.sort_unstable_by_key(|(position, _index)| *position);
        Ok(order)
    }

    /// Returns where an item is. It was found before, and no file goes away.
    fn piece(&self, locations: &[Location], (_, index): &Numbered) -> Option<Piece<'_>> {
        let location = locations.get(*index)?;
        let shard = self.inner.shards.get(location.file())?.get()?;
        Some(Piece {
            file: &shard.file,
            span: span(*location),
            index: *index,
        })
    }
}

impl ArenaMap {
    /// Has the kernel start to read items, and does not wait for them: for look-ups by
    /// [`get`](Self::get) that are known some time before.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = outcore::Arena::new()?;
    /// let mut writer = arena.writer()?;
    /// let locations = [writer.push("near")?, writer.push("far")?];
    /// writer.flush()?;
    /// let map = arena.map()?;
    /// map.prefetch_many(&locations)?;
    /// // Other work, while the device reads.
    /// assert_eq!(map.get(locations[1])?, b"far");
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get) for any of the locations, before anything is read; and
    /// [`Io`](crate::ErrorKind::Io): the system refuses.
    ///
    /// # Cost
    ///
    /// One `fadvise` for items that are close together. It starts the read, so when the device has
    /// more to do than it can queue, it waits for it. 16 bytes for each location.
    pub fn prefetch_many(&self, locations: &[Location]) -> Result<()> {
        let order = self.arena().in_file_order(locations)?;
        let place = |number| self.arena().piece(locations, number);
        prefetch(order.iter().filter_map(place))
    }
}
