//! Many reads of one file at once: sorted by the caller, neighbours joined here.
//!
//! This is the seam for asynchronous reads: whoever brings them replaces what stands behind
//! [`read_batch`], and the containers do not notice.

use crate::error::{Error, ErrorKind, Result};
use crate::storage::file::OwnedFile;

/// One piece of a file to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Where it starts in the file, in bytes.
    pub(crate) offset: u64,
    pub(crate) len: usize,
    /// What the caller calls it.
    pub(crate) index: usize,
}

/// Pieces that are not further apart than this many bytes are read by one call: to copy so many
/// bytes takes about as long as to enter the kernel once more.
const GAP_BYTES_MAX: u64 = 4 << 10;

/// The most bytes that one call reads, unless a single piece is longer. Bounds the buffer.
const RUN_BYTES_MAX: usize = 256 << 10;

/// Reads pieces in the order given and passes each to `deliver` with its index.
///
/// `requests` come sorted by offset. Of each run of neighbours the first error ends the batch;
/// runs before it have been delivered. A panic of `deliver` goes through.
pub(crate) fn read_batch(
    file: &OwnedFile,
    requests: impl Iterator<Item = Request>,
    deliver: &mut dyn FnMut(usize, &[u8]),
) -> Result<()> {
    let mut buffer = Vec::new();
    let mut run: Vec<Request> = Vec::new();
    let mut run_end = 0;
    for request in requests {
        let end = request.offset.saturating_add(request.len as u64);
        let start = run.first().map_or(request.offset, |first| first.offset);
        let near = request.offset <= run_end_plus_gap(run_end);
        let fits = end.saturating_sub(start) <= RUN_BYTES_MAX as u64;
        let joins = near && fits;
        if !joins && !run.is_empty() {
            read_run(file, &run, run_end, &mut buffer, deliver)?;
            run.clear();
            run_end = 0;
        }
        run.push(request);
        run_end = run_end.max(end);
    }
    read_run(file, &run, run_end, &mut buffer, deliver)
}

fn run_end_plus_gap(run_end: u64) -> u64 {
    run_end.saturating_add(GAP_BYTES_MAX)
}

/// Reads one run with one call, as a rule, and delivers its pieces.
fn read_run(
    file: &OwnedFile,
    run: &[Request],
    end: u64,
    buffer: &mut Vec<u8>,
    deliver: &mut dyn FnMut(usize, &[u8]),
) -> Result<()> {
    let Some(first) = run.first() else {
        return Ok(());
    };
    let out_of_memory = || {
        let reason = "there is no memory for the longest item";
        Error::refused(ErrorKind::OutOfMemory, "read a batch", reason)
    };
    let len = usize::try_from(end.saturating_sub(first.offset)).map_err(|_long| out_of_memory())?;
    // One giant item must not keep its memory for the rest of the batch.
    buffer.clear();
    buffer.shrink_to(RUN_BYTES_MAX);
    file.read_to_end_of(buffer, len, first.offset)?;
    for request in run {
        let start = request.offset.saturating_sub(first.offset);
        let start = usize::try_from(start).map_err(|_long| out_of_memory())?;
        let bytes = buffer.get(start..start.saturating_add(request.len));
        deliver(request.index, bytes.ok_or_else(out_of_memory)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::dir::ScratchDir;
    use crate::storage::scratch::ScratchFile;
    use crate::sys::fault::{Fault, Outcome, arm, disarm};

    const COUNT_ONLY: Fault = Fault {
        after: usize::MAX,
        sticky: false,
        outcome: Outcome::Zero,
    };

    fn calls_for(pieces: &[(u64, usize)]) -> usize {
        let file = ScratchFile::create(&ScratchDir::new(env!("CARGO_MANIFEST_DIR")).unwrap());
        let file = file.unwrap();
        file.extend(0, 4 << 20).unwrap();
        let bytes: Vec<u8> = (0..4 << 20).map(|at: u32| (at % 251) as u8).collect();
        file.write_all_at(&bytes, 0).unwrap();
        let requests = pieces.iter().enumerate();
        let requests = requests.map(|(index, &(offset, len))| Request { offset, len, index });
        let mut delivered = Vec::new();
        arm(COUNT_ONLY);
        read_batch(&file, requests, &mut |index, got| {
            let (offset, len) = pieces[index];
            let start = usize::try_from(offset).unwrap();
            assert_eq!(got, &bytes[start..start + len]);
            delivered.push(index);
        })
        .unwrap();
        assert!(delivered.into_iter().eq(0..pieces.len()));
        disarm().0
    }

    #[test]
    fn neighbours_are_joined_and_strangers_are_not() {
        assert_eq!(calls_for(&[]), 0);
        assert_eq!(calls_for(&[(0, 10), (10, 10), (500, 10), (4000, 96)]), 1);
        assert_eq!(calls_for(&[(0, 10), (100_000, 10), (200_000, 10)]), 3);
    }

    #[test]
    fn equal_and_overlapping_pieces_are_one_read() {
        assert_eq!(calls_for(&[(5, 100), (5, 100), (5, 20), (50, 10)]), 1);
    }

    #[test]
    fn a_run_is_bounded_and_a_long_piece_is_read_whole() {
        let dense: Vec<_> = (0..1024).map(|n| (n * 1024, 1024)).collect();
        assert_eq!(calls_for(&dense), 4, "1 MiB in runs of 256 KiB");
        assert_eq!(calls_for(&[(0, 3 << 20), (3 << 20, 10)]), 2);
    }
}
