//! Many items at once, in the order of the files.

use crate::arena::{Arena, Location, no_memory};
use crate::error::Result;
use crate::storage::batch::{Request, read_batch};

impl Arena {
    /// Reads many items and passes each to `deliver`, with its index in `locations`.
    ///
    /// The items come in the order of the files, whatever the order of `locations`; items that lie
    /// close together are read by one call. Each index is delivered once, also where locations
    /// repeat.
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
    /// the batch may have been.
    ///
    /// # Cost
    ///
    /// One `pread` for each run of items that are less than 4 KiB apart, of up to 256 KiB; a
    /// buffer of that size, or of the longest item; 24 bytes for each location.
    pub fn get_many(
        &self,
        locations: &[Location],
        mut deliver: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        let mut empty = Vec::new();
        let mut order: Vec<(Location, usize)> = Vec::new();
        order
            .try_reserve_exact(locations.len())
            .map_err(|_full| no_memory())?;
        for (index, location) in locations.iter().enumerate() {
            match self.find(*location)? {
                Some(_) => order.push((*location, index)),
                None => empty.push(index),
            }
        }
        for index in empty {
            deliver(index, &[]);
        }
        order.sort_unstable();
        for group in order.chunk_by(|(a, _), (b, _)| a.file() == b.file()) {
            let Some((first, _)) = group.first() else {
                continue;
            };
            let Some(shard) = self.find(*first)? else {
                continue;
            };
            let requests = group.iter().map(|(location, index)| Request {
                offset: location.offset(),
                len: usize::try_from(location.len()).unwrap_or(usize::MAX),
                index: *index,
            });
            read_batch(&shard.file, requests, &mut deliver)?;
        }
        Ok(())
    }
}
