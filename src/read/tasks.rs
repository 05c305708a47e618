//! The purposes of reads, by the token that is returned with each.

use crate::bug::bug;

/// Tasks in flight. The place of a finished task is used again.
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
    /// Keeps a task and returns its token.
    pub(crate) fn keep(&mut self, task: T) -> usize {
        if let Some(token) = self.free.pop() {
            let place = self.kept.get_mut(token);
            *place.unwrap_or_else(|| bug!("no place {token}")) = Some(task);
            return token;
        }
        let token = self.kept.len();
        self.kept.push(Some(task));
        token
    }

    /// Returns a task, which stays.
    pub(crate) fn get_mut(&mut self, token: usize) -> &mut T {
        let kept = self.kept.get_mut(token).and_then(Option::as_mut);
        kept.unwrap_or_else(|| bug!("no task has token {token}"))
    }

    /// Takes a task out; its token may be given to another task.
    pub(crate) fn take(&mut self, token: usize) -> T {
        let task = self.kept.get_mut(token).and_then(Option::take);
        let task = task.unwrap_or_else(|| bug!("no task has token {token}"));
        self.free.push(token);
        task
    }
}
