//! An output that is filled from begin to end: one buffer is written by a thread of its own while the
//! next one fills.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, scope};

use crate::failure::{Failure, Result};
use crate::output::sequence::Sequence;

/// Buffers that there are.
pub(crate) const BUFFERS: usize = 3;

/// What is written to.
#[derive(Debug)]
pub(crate) struct Filling<'a> {
    sequence: &'a Sequence,
    buffer: Vec<u8>,
    buffer_len: usize,
    records: u64,
    /// Where full buffers go and empty ones come from, if there is a thread for that.
    thread: Option<Thread>,
}

/// The way to the thread, and the way back.
type Thread = (SyncSender<Vec<u8>>, Receiver<Vec<u8>>);

/// Lets `work` fill the output, with buffers of `buffer_len` bytes.
///
/// # Errors
///
/// Those of `work`, or why the output cannot be written.
pub(crate) fn fill(
    sequence: &Sequence,
    buffer_len: usize,
    work: impl FnOnce(&mut Filling<'_>) -> Result<()>,
) -> Result<()> {
    let mut filling = Filling {
        sequence,
        buffer: Vec::with_capacity(buffer_len),
        buffer_len,
        records: 0,
        thread: None,
    };
    scope(|scope| {
        let (sender, receiver) = sync_channel::<Vec<u8>>(BUFFERS);
        let (empty, empties) = sync_channel(BUFFERS);
        for _ in 1..BUFFERS {
            empty.send(Vec::with_capacity(buffer_len)).ok();
        }
        let write = move || -> Result<()> {
            for mut buffer in receiver {
                write(sequence, &buffer, 0)?;
                buffer.clear();
                // At the end there is no taker.
                empty.send(buffer).ok();
            }
            Ok(())
        };
        let thread = Builder::new().name("writer".to_owned());
        let thread = thread.spawn_scoped(scope, write).ok();
        if thread.is_some() {
            filling.thread = Some((sender, empties));
        }
        let filled = work(&mut filling).and_then(|()| filling.flush());
        filling.thread = None;
        let written = match thread.map(std::thread::ScopedJoinHandle::join) {
            Some(Ok(written)) => written,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        };
        sequence.reserve(0, filling.records);
        // A thread that has failed is why filling stopped.
        written.and(filled)
    })
}

fn write(sequence: &Sequence, bytes: &[u8], records: u64) -> Result<()> {
    let offset = sequence.reserve(bytes.len() as u64, records);
    sequence.output().write_at(bytes, offset)
}

impl Filling<'_> {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        loop {
            let room = self.buffer_len - self.buffer.len();
            if bytes.len() <= room {
                self.buffer.extend_from_slice(bytes);
                return Ok(());
            }
            let (head, rest) = bytes.split_at(room);
            self.buffer.extend_from_slice(head);
            bytes = rest;
            self.flush()?;
        }
    }

    /// Appends a record and what ends it.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    #[inline]
    pub(crate) fn push_record(&mut self, record: &[u8], end: u8) -> Result<()> {
        self.records += 1;
        if record.len() < self.buffer_len - self.buffer.len() {
            self.buffer.extend_from_slice(record);
            self.buffer.push(end);
            return Ok(());
        }
        self.push(record)?;
        self.push(&[end])
    }

    /// Counts a record that was appended in pieces.
    pub(crate) fn count_record(&mut self) {
        self.records += 1;
    }

    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let Some((sender, empties)) = &self.thread else {
            write(self.sequence, &self.buffer, 0)?;
            self.buffer.clear();
            return Ok(());
        };
        let buffer = std::mem::take(&mut self.buffer);
        sender.send(buffer).map_err(|_ended| Failure::Stopped)?;
        self.buffer = empties.recv().map_err(|_ended| Failure::Stopped)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Output;

    #[test]
    fn all_that_is_pushed_is_counted_whatever_fits_a_buffer() {
        for buffer_len in [1, 2, 7, 100] {
            let sequence = Sequence::new(Output::nowhere());
            let done = fill(&sequence, buffer_len, |filling| {
                for len in 0..20 {
                    filling.push_record(&vec![b'x'; len], b'\n')?;
                }
                filling.push(b"abc")?;
                filling.count_record();
                Ok(())
            });
            done.unwrap();
            assert_eq!((sequence.bytes(), sequence.records()), (190 + 20 + 3, 21));
        }
    }
}
