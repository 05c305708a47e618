//! Who keeps a file, and which of its bytes: handles, and parts that belong to one owner.
#![expect(
    unsafe_code,
    reason = "lends out a mapping part by part, and frees what keeps it; see docs/safety.md"
)]

use std::mem::ManuallyDrop;
use std::ops::Range;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::containers::range_file::allot::Refused;
use crate::containers::range_file::body::Body;
use crate::error::{Error, ErrorKind, Result};

/// The way to a body, for those who keep it.
///
/// # Invariants
///
/// 1. Leads to a body made by `Box`, which is freed by whoever is told by its books that nobody else
///    has them: the last handle when it closes them, or the last part after that. Until then nobody
///    has a `&mut` to it, but for `Handle::exclusive`.
#[derive(Clone, Copy)]
struct Link(NonNull<Body>);

// SAFETY: a link is a shared reference to a body, and with its owner the right to free it. A body
// may be shared and sent, which `crosses` checks; bytes cross threads, too.
unsafe impl Send for Link {}
// SAFETY: as above.
unsafe impl Sync for Link {}

const _: () = {
    const fn crosses<T: Send + Sync>() {}
    crosses::<Body>();
};

impl Link {
    /// Returns the body.
    ///
    /// # Safety
    ///
    /// The caller keeps it for `'a`: has not closed its books, or has bytes out that it has not
    /// reported to them.
    #[inline]
    unsafe fn body<'a>(self) -> &'a Body {
        // SAFETY: the body lives, as the caller says, and is only shared (invariant 1).
        unsafe { self.0.as_ref() }
    }

    /// Frees the body.
    ///
    /// # Safety
    ///
    /// Its books have just told the caller, and nobody else, that nobody has them any more.
    unsafe fn free(self) {
        // SAFETY: it was made by a box (invariant 1); the caller is the last to know it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// What keeps a file open for new ranges. Clones do it together: dropping the last one ends that, and
/// the file goes with the last range.
#[derive(Clone)]
pub(super) struct Handle {
    /// The same as in `closing`: one step less to the counter.
    link: Link,
    closing: Arc<Closing>,
}

/// What all clones of a handle share: dropping it closes the books.
struct Closing {
    /// # Invariants
    ///
    /// 1. There is one `Closing` to a body. Only who has it makes parts.
    link: Link,
}

impl Handle {
    pub(super) fn new(body: Body) -> Self {
        let link = Link(NonNull::from(Box::leak(Box::new(body))));
        let closing = Arc::new(Closing { link });
        Self { link, closing }
    }

    #[inline]
    pub(super) fn body(&self) -> &Body {
        // SAFETY: as long as this handle lives, `closing` does, and the books are open.
        unsafe { self.link.body() }
    }

    /// Returns the body alone, if there is no other handle and no part is out; else what there is.
    pub(super) fn exclusive(&mut self) -> Result<&mut Body, &'static str> {
        if Arc::get_mut(&mut self.closing).is_none() {
            return Err("another handle to it is alive");
        }
        if !self.body().allot.is_all_back() {
            return Err("ranges of it are alive");
        }
        // SAFETY: there are no parts, and `&mut self` keeps the only handle to the only `Closing`
        // (its invariant 1) from making some, so nobody else leads to the body.
        Ok(unsafe { self.link.0.as_mut() })
    }

    #[inline]
    pub(super) fn allocate(&self, len: u64) -> Option<Part> {
        let range = self.body().allot.allocate(len)?;
        Some(self.part(range))
    }

    /// Gives out just this range.
    pub(super) fn claim(&self, range: Range<u64>) -> Result<Part> {
        const ACTION: &str = "claim a range of";
        let Range { start, end } = range;
        let body = self.body();
        let (kind, reason) = match body.allot.claim(&range) {
            Ok(()) if range.is_empty() => return Ok(Part::empty(start)),
            Ok(()) => return Ok(self.part(range)),
            Err(Refused::OutOfBounds) => {
                let len = body.allot.len();
                let reason = format!("{start}..{end} is no range of {len} bytes");
                (ErrorKind::OutOfBounds, reason)
            }
            Err(Refused::InUse) => {
                let reason = format!("some of {start}..{end} was given out already");
                (ErrorKind::RangesInUse, reason)
            }
            Err(Refused::Sealed) => {
                let reason = "the file has a name by now".to_owned();
                (ErrorKind::RangesInUse, reason)
            }
        };
        Err(Error::refused(kind, ACTION, reason).at(body.path()))
    }

    /// Makes the part of a range that the books have just given out, and that is not empty.
    #[inline]
    fn part(&self, range: Range<u64>) -> Part {
        let Range { start, end } = range;
        let link = self.link;
        Part {
            span: Span { link, start, end },
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        // SAFETY: the books are still open.
        let body = unsafe { self.link.body() };
        let fresh = body.allot.fresh();
        // No reference to the body leads into the call: the last part may free it before it ends.
        if body.allot.back().close(fresh) {
            // SAFETY: no part is out, and no handle can make one.
            unsafe { self.link.free() };
        }
    }
}

/// Bytes of a body: the inside of `Part` and of `Kept`, which a copy does not outlive.
#[derive(Clone, Copy)]
struct Span {
    /// # Invariants
    ///
    /// 1. If `start..end` is not empty, it is out in the books of the body, and in no other `Part` or
    ///    `Kept`. If it is empty, the link leads nowhere.
    link: Link,
    start: u64,
    end: u64,
}

impl Span {
    /// Returns the body; `None` of no bytes.
    #[inline]
    fn body(&self) -> Option<&Body> {
        // SAFETY: the bytes are out (invariant 1) until their owner is dropped.
        (self.start < self.end).then(|| unsafe { self.link.body() })
    }

    /// Returns where the bytes are.
    #[inline]
    fn bytes(&self) -> *mut [u8] {
        let Some(body) = self.body() else {
            return ptr::slice_from_raw_parts_mut(NonNull::dangling().as_ptr(), 0);
        };
        debug_assert!(self.end <= body.allot.len());
        // No conversion changes a number: the file is no longer than the space (invariant 2 of
        // `Body`).
        let start = usize::try_from(self.start).unwrap_or(0);
        let len = usize::try_from(self.end.saturating_sub(self.start)).unwrap_or(0);
        // SAFETY: the books give out what is in the file (their invariant 3), which is in the space.
        let first = unsafe { body.base().add(start) };
        ptr::slice_from_raw_parts_mut(first.as_ptr(), len)
    }
}

/// Part of a file that belongs to this value alone. Dropping it lets others have it.
pub(super) struct Part {
    span: Span,
}

impl Part {
    /// Makes a part of no bytes, and of no file.
    pub(super) fn empty(at: u64) -> Self {
        let span = Span {
            link: Link(NonNull::dangling()),
            start: at,
            end: at,
        };
        Self { span }
    }

    #[inline]
    pub(super) fn start(&self) -> u64 {
        self.span.start
    }

    #[inline]
    pub(super) fn end(&self) -> u64 {
        self.span.end
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the addresses show bytes of the file, which exist (invariants 1 and 2 of `Body`)
        // and are this part's (invariant 1 of `Span`), which is borrowed; nobody writes to them.
        unsafe { &*self.span.bytes() }
    }

    #[inline]
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the part is borrowed alone, so nobody else reads them either.
        unsafe { &mut *self.span.bytes() }
    }

    /// Writes `bytes` at `offset` of the file by a system call.
    ///
    /// All of them have to fit: what is written to the file is seen by its owner only.
    pub(super) fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let Span { start, end, .. } = self.span;
        let body = self.span.body();
        let last = offset.saturating_add(bytes.len() as u64);
        if offset < start || last > end {
            let reason = format!("{offset}..{last} is not in the range {start}..{end}");
            let refused = Error::refused(ErrorKind::OutOfBounds, "write to", reason);
            return Err(refused.at(body.map_or(Path::new(""), Body::path)));
        }
        // Nothing else fits into a part of no bytes.
        let Some(body) = body else { return Ok(()) };
        // SAFETY: they are in the part, which is borrowed alone.
        unsafe { body.write_all_at(bytes, offset) }
    }

    /// Cuts the part in two at `middle`, which has to be inside or at an end.
    pub(super) fn split_at(self, middle: u64) -> (Self, Self) {
        let Span { link, start, end } = self.span;
        assert!(start <= middle && middle <= end);
        if middle == start {
            return (Self::empty(start), self);
        }
        if middle == end {
            return (self, Self::empty(end));
        }
        let _disowned = ManuallyDrop::new(self);
        let part = |start, end| Self {
            span: Span { link, start, end },
        };
        (part(start, middle), part(middle, end))
    }

    /// Notes the part as written, and keeps it for good.
    pub(super) fn keep(self) -> Kept {
        let span = ManuallyDrop::new(self).span;
        if let Some(body) = span.body() {
            body.allot.finish(span.start..span.end);
        }
        Kept { span }
    }
}

impl Drop for Part {
    // So small that whoever moves a part has it in registers, and nowhere in memory where a drop
    // could look for it.
    #[inline]
    fn drop(&mut self) {
        let Span { link, start, end } = self.span;
        if start < end {
            give_back(link, start, end);
        }
    }
}

/// Ends a part that is not empty and not used any more.
#[inline(never)]
fn give_back(link: Link, start: u64, end: u64) {
    let span = Span { link, start, end };
    let Some(body) = span.body() else { return };
    // In a forked child the books may be locked for good, by a thread that is not there; nobody needs
    // them there either.
    let unreported = if body.file.is_owner() {
        body.allot.give_back(start..end);
        1
    } else {
        end.saturating_sub(start)
    };
    // As in the drop of `Kept`.
    if body.allot.back().release(unreported) {
        // SAFETY: the books say so, and the part is not used any more.
        unsafe { link.free() };
    }
}

/// Part of a file that is written: it is read and nothing else, and its bytes never get another
/// owner.
pub(super) struct Kept {
    span: Span,
}

impl Kept {
    pub(super) fn start(&self) -> u64 {
        self.span.start
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: as of `Part`; only reads it.
        unsafe { &*self.span.bytes() }
    }

    /// Waits until the bytes of `range`, which is in the part, are on the device.
    pub(super) fn sync(&self, range: &Range<u64>) -> Result<()> {
        debug_assert!(self.span.start <= range.start && range.end <= self.span.end);
        match self.span.body() {
            Some(body) if !range.is_empty() => body.sync_range(range),
            _ => Ok(()),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let len = self.span.end.saturating_sub(self.span.start);
        let Some(body) = self.span.body() else { return };
        // No reference to the body leads into the call: others may free it before it ends.
        if body.allot.back().release(len) {
            // SAFETY: the books say so, and the part is not used any more.
            unsafe { self.span.link.free() };
        }
    }
}

#[cfg(not(any(loom, shuttle)))]
#[cfg(test)]
mod tests;
