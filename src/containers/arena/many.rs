//! Reading many items at once, in the order of the files.

use crate::containers::arena::{Arena, ArenaMap, Location, no_memory, span};
use crate::error::Result;
use crate::io::refusal::Refusal;
use crate::read::ReadOptions;
use crate::read::batch::{Piece, prefetch, read_batch};

/// A position, and the index of its location in the request.
type Numbered = (u64, usize);

impl Arena {
    /// Reads many items and passes each to `deliver`, with its index in `locations`.
    ///
    /// The items are delivered in any order: those in memory at once, the others as their reads
    /// complete, of which many are in flight at a time. Each index is delivered once, also if
    /// locations repeat. The more locations one call gets, the better.
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
    /// Those of [`get_into`](Self::get_into). All locations are checked before the first read, so a
    /// bad one is found before anything is delivered; after a failed read, part of the batch may
    /// have been delivered. [`Forked`](crate::ErrorKind::Forked): `deliver` forked, and this is the
    /// child.
    ///
    /// # Cost
    ///
    /// Items that are close together are one read of up to 64 KiB. Items in memory cost one
    /// `preadv2` or `pread` for each read. Others are read by an `io_uring`, which the process
    /// keeps for the next call, with a few system calls for each 128 reads; if the system refuses
    /// that, by up to 8 threads, or 32 for direct reads. Memory: a buffer of 64 KiB for each read
    /// in flight, at most 16 MiB in all, of which only the used part takes memory; the longest
    /// item, if that is longer; and 16 bytes for each location.
    pub fn get_many(
        &self,
        locations: &[Location],
        deliver: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        self.get_many_with(&ReadOptions::new(), locations, deliver)
    }

    /// Reads many items like [`get_many`](Self::get_many), in the way that `options` say.
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
        if let Some(archive) = self.inner.archive() {
            return archive.get_many(options, locations, &mut deliver);
        }
        let order = self.in_file_order(locations);
        let order = order.map_err(|refused| self.error(refused))?;
        for index in locations
            .iter()
            .zip(0..)
            .filter_map(|(location, index)| location.is_empty().then_some(index))
        {
            deliver(index, &[]);
        }
        let piece = |number| self.piece(locations, order.get(number)?);
        let read = read_batch(options, &self.inner.idle, &piece, &mut deliver);
        read.map_err(|refused| self.error(refused))
    }

    /// Checks all locations and returns those of items that are not empty, in the order of the
    /// files.
    fn in_file_order(&self, locations: &[Location]) -> Result<Vec<Numbered>, Refusal> {
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

    /// Returns the piece of an item. The item was found before, and no file is removed.
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
    /// Makes the kernel start to read items, and does not wait for them: for look-ups by
    /// [`get`](Self::get) that are known some time ahead.
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
    /// One `fadvise` for items that are close together. It starts the read, and waits if the device
    /// has a full queue. 16 bytes for each location.
    pub fn prefetch_many(&self, locations: &[Location]) -> Result<()> {
        let arena = self.arena();
        let started = arena.in_file_order(locations).and_then(|order| {
            let pieces = order.iter();
            prefetch(pieces.filter_map(|number| arena.piece(locations, number)))
        });
        started.map_err(|refused| arena.error(refused))
    }
}
