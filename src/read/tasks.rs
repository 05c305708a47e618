//! What reads are for, by the token that comes back with each, and which pieces are one read.

use crate::read::PIECE_BYTES_MAX;

/// What is under way. The place of one that came back is used again.
#[derive(Debug)]
pub(crate) struct Tasks<T> {
    kept: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Tasks<T> {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Tasks<T> {
    /// Keeps a task, and returns what its read is to be called.
    pub(crate) fn keep(&mut self, task: T) -> usize {
        let token = self.free.pop().unwrap_or_else(|| {
            self.kept.push(None);
            self.kept.len().saturating_sub(1)
        });
        if let Some(place) = self.kept.get_mut(token) {
            *place = Some(task);
        }
        token
    }

    /// Returns a task that stays.
    pub(crate) fn get_mut(&mut self, token: usize) -> Option<&mut T> {
        self.kept.get_mut(token)?.as_mut()
    }

    /// Takes a task out; its token may be given to another.
    pub(crate) fn take(&mut self, token: usize) -> Option<T> {
        let task = self.kept.get_mut(token)?.take();
        debug_assert!(task.is_some(), "no read was for {token}");
        if task.is_some() {
            self.free.push(token);
        }
        task
    }
}

/// Returns where a read of `start..end` ends when it brings `len` bytes from `offset` as well;
/// `None` if those are before it, more than `gap` bytes behind it, or too many.
pub(crate) fn joined(start: u64, end: u64, offset: u64, len: usize, gap: u64) -> Option<u64> {
    let joined = offset.saturating_add(len as u64).max(end);
    let is_near = offset >= start && offset <= end.saturating_add(gap);
    let fits = joined.saturating_sub(start) <= PIECE_BYTES_MAX as u64;
    (is_near && fits).then_some(joined)
}
