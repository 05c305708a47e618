//! Where a mapped region is among the addresses, and how it moves when they end.
#![expect(
    unsafe_code,
    reason = "shows a file at a second place, and copies a window; see docs/safety.md"
)]

use std::ops::Range;
use std::ptr;

use crate::error::{ErrorKind, Result};
use crate::exact::{difference, range_from, sum};
use crate::io::refusal::{Op, Refusal, retry};
use crate::mapping::addresses::Addresses;
use crate::mapping::advice::Advice;
use crate::mapping::growth::page_down;
use crate::mapping::region::mapped::Mapped;
use crate::mapping::region::out_of_memory;
use crate::sys;
use crate::sys::{Access, Hint};

impl Mapped {
    /// Ensures that there are addresses for the bytes up to `need`. If there are too few, the live part
    /// moves: to the start of its addresses if half of them are free there, otherwise to other
    /// addresses.
    pub(super) fn ensure_addresses(&mut self, need: usize) -> Result<(), Refusal> {
        let len = self.space.as_ref().map_or(0, |space| space.len());
        if need <= sum(self.origin, len) && len > 0 {
            return Ok(());
        }
        let origin = self.origin_of(self.front);
        let free = difference(origin, self.origin);
        let alive = difference(self.end, origin);
        let suffices = alive <= free && difference(need, origin) <= len;
        if suffices && free >= len / 2 {
            return self.move_down(origin);
        }
        match self.move_away(need, origin) {
            Err(refused) if suffices && refused.kind() == ErrorKind::OutOfMemory => {
                self.move_down(origin)
            }
            moved => moved,
        }
    }

    /// Moves the live part to the start of other addresses, enough for the bytes up to `need`.
    fn move_away(&mut self, need: usize, origin: usize) -> Result<(), Refusal> {
        let space = self.reserve_addresses(difference(need, origin), origin)?;
        if self.front < self.end {
            self.appear_at(&space, origin)?;
        }
        (self.space, self.origin) = (Some(space), origin);
        Ok(())
    }

    /// Moves the live part to the start of its addresses, where as many were given back. On failure
    /// it stays where it is.
    fn move_down(&mut self, origin: usize) -> Result<(), Refusal> {
        let live = self.front..self.end;
        let place = |range: &Range<usize>| range_from(origin, range);
        let space = self.space();
        let moved = self.appear_at(space, origin).and_then(|()| {
            // SAFETY: the bytes are at the other place too, and it is that which is used from here
            // on. The caller has `&mut self`, so no reference leads into either.
            let left = sys::retry(|| unsafe { space.release(self.part(live.clone())) });
            left.map_err(|answer| out_of_memory(&answer))
        });
        if moved.is_err() {
            // SAFETY: nothing is in use there. A refusal leaves pages that nothing touches before it
            // has replaced them: nothing but `appear_at` goes there.
            let _cleared = unsafe { space.release(place(&live)) };
        }
        moved?;
        self.origin = origin;
        Ok(())
    }

    /// Returns which byte is at the start of the addresses, if they are reserved for those from
    /// `front`, a whole page.
    pub(super) fn origin_of(&self, front: usize) -> usize {
        page_down(front, self.kind.align().max(sys::page_size()))
    }

    /// Reserves addresses for `need` bytes from `origin`, and for more, so that the region does not
    /// soon move again.
    fn reserve_addresses(&self, need: usize, origin: usize) -> Result<Addresses, Refusal> {
        let alive = difference(self.end, origin);
        let ample = need.max(alive.saturating_mul(4));
        let align = self.kind.align();
        let reserved = Addresses::reserve(ample, 1, align);
        let reserved = reserved.or_else(|_no_room| Addresses::reserve(need, 1, align));
        reserved.map_err(|answer| out_of_memory(&answer))
    }

    /// Makes the live part appear in `space` a second time, whose base is the place of the byte
    /// `origin`: the file shown again, the window copied. It may be the same space, where the two
    /// places lie apart. After a failure, part of it may have.
    fn appear_at(&self, space: &sys::Space, origin: usize) -> Result<(), Refusal> {
        let place = |range: &Range<usize>| range_from(origin, range);
        let shown = self.front..self.filed;
        if let (false, Some(file)) = (shown.is_empty(), &self.file) {
            let offset = shown.start as u64;
            // SAFETY: nothing uses the place yet, and of the two windows on the file only one will
            // be used: the caller gives up this or the old place.
            retry(Op::Map, || unsafe {
                space.show(place(&shown), file.sys(), offset, Access::ReadWrite)
            })?;
            if self.kind.advice != Advice::Normal {
                let _hint = space.advise(place(&shown), Hint::from(self.kind.advice));
            }
        }
        let window = self.filed..self.end;
        if !window.is_empty() {
            // SAFETY: nothing uses the place yet.
            let made = sys::retry(|| unsafe { space.commit(place(&window)) });
            made.map_err(|answer| out_of_memory(&answer))?;
            let from = self.place(window.start);
            let to = space.base().as_ptr().wrapping_add(place(&window).start);
            // SAFETY: both are memory of that length, and lie apart.
            unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, window.len()) };
        }
        Ok(())
    }

    /// Exchanges the addresses for just as many as are in use, with or without those in front. Where
    /// that fails, nothing has changed.
    #[cfg(test)]
    pub(super) fn use_up_addresses(&mut self, with_front: bool) {
        let origin = if with_front {
            self.origin
        } else {
            self.origin_of(self.front)
        };
        let len = difference(self.end, origin);
        let Ok(space) = Addresses::exactly(len, 1, self.kind.align()) else {
            return;
        };
        if self.appear_at(&space, origin).is_ok() {
            (self.space, self.origin) = (Some(space), origin);
        }
    }
}
