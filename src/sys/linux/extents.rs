//! The extents of a file on the device, as far as needed: whether other files share them.
#![expect(
    unsafe_code,
    reason = "one ioctl, for which rustix has no function; see docs/safety.md"
)]

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::ioctl::{self, Opcode, Updater, opcode};

use crate::sys::Shared;

/// The head of the argument of `FS_IOC_FIEMAP`, as in the kernel's `fiemap.h`.
#[derive(Default)]
#[repr(C)]
struct Head {
    start: u64,
    len: u64,
    flags: u32,
    /// How many extents the kernel has entered.
    found: u32,
    /// How many fit.
    room: u32,
    reserved: u32,
}

/// One piece of the file.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Extent {
    start: u64,
    on_device: u64,
    len: u64,
    reserved_words: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// The number of extents of one request.
const ROOM: u8 = 64;
const EXTENTS: usize = ROOM as usize;

#[derive(Default)]
#[repr(C)]
struct Question {
    head: Head,
    extents: Extents,
}

#[repr(C)]
struct Extents([Extent; EXTENTS]);

impl Default for Extents {
    fn default() -> Self {
        Self([Extent::default(); EXTENTS])
    }
}

const _: () = assert!(size_of::<Head>() == 32 && size_of::<Extent>() == 56);

/// The number of the request covers the head alone.
const FIEMAP: Opcode = opcode::read_write::<Head>(b'f', 11);

/// Other files share the extent.
const SHARED: u32 = 0x2000;

/// Asks about the first pieces of `range`.
pub(super) fn shared(file: BorrowedFd<'_>, range: Range<u64>) -> io::Result<Shared> {
    let mut question = Question::default();
    question.head.start = range.start;
    question.head.len = range.end.saturating_sub(range.start);
    question.head.room = u32::from(ROOM);
    // SAFETY: this request takes a head and as many extents as the head has room for, which is the
    // layout of `Question` and of the kernel's header.
    let request = unsafe { Updater::<'_, FIEMAP, Question>::new(&mut question) };
    // SAFETY: the kernel writes into the question, which lives until the call returns, and keeps no
    // pointer.
    let answer = unsafe { ioctl::ioctl(file, request) };
    match answer {
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL) => {
            return Err(io::ErrorKind::Unsupported.into());
        }
        answer => answer?,
    }
    Ok(first_shared(&question, &range))
}

/// Reads the answer.
fn first_shared(question: &Question, range: &Range<u64>) -> Shared {
    let found = usize::try_from(question.head.found).unwrap_or(EXTENTS);
    let extents = question
        .extents
        .0
        .get(..found)
        .unwrap_or(&question.extents.0);
    let pieces = extents.iter().map(|extent| {
        let end = extent.start.saturating_add(extent.len);
        (
            extent.start.clamp(range.start, range.end)..end.clamp(range.start, range.end),
            extent.flags,
        )
    });
    let mut pieces = pieces.filter(|(piece, _flags)| !piece.is_empty());
    let (mut asked, mut shared) = (range.start, None);
    for (piece, flags) in pieces.by_ref() {
        asked = piece.end;
        if flags & SHARED != 0 {
            shared = Some(piece);
            break;
        }
    }
    // Behind the last piece there is nothing. A piece that makes no progress would be requested for
    // ever.
    if shared.is_none() && (found < EXTENTS || asked == range.start) {
        asked = range.end;
    }
    Shared { shared, asked }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(extents: &[(u64, u64, u32)], found: u32) -> Question {
        let mut question = Question::default();
        question.head.found = found;
        for (target, (start, len, flags)) in question.extents.0.iter_mut().zip(extents) {
            (target.start, target.len, target.flags) = (*start, *len, *flags);
        }
        question
    }

    #[test]
    fn the_first_shared_piece_is_found_within_the_range() {
        let answer = answer(
            &[(0, 4096, 0), (4096, 8192, SHARED), (12288, 4096, SHARED)],
            3,
        );
        let found = first_shared(&answer, &(100..9000));
        assert_eq!((found.shared, found.asked), (Some(4096..9000), 9000));
        let found = first_shared(&answer, &(5000..20_000));
        assert_eq!((found.shared, found.asked), (Some(5000..12288), 12288));
    }

    #[test]
    fn each_answer_brings_the_question_forward() {
        let full: Vec<_> = (0..64).map(|number| (number * 4096, 4096, 0)).collect();
        let found = first_shared(&answer(&full, 64), &(0..1 << 30));
        assert_eq!((found.shared, found.asked), (None, 64 * 4096));
        for (extents, count) in [(&full[..0], 0), (&full[..5], 5), (&full[..], u32::MAX)] {
            let found = first_shared(&answer(extents, count), &(1 << 20..1 << 30));
            assert_eq!((found.shared, found.asked), (None, 1 << 30), "{count}");
        }
    }
}
