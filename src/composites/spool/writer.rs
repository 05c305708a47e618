//! A writer of a spool, for another thread.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::composites::spool::buffer::Target;
use crate::composites::spool::codec::{Codec, Postcard};
use crate::composites::spool::counted;
use crate::composites::spool::part::Part;
use crate::composites::spool::store::Shared;
use crate::error::Result;

/// Adds values to a [`Spool`](crate::Spool) from another thread; made by
/// [`Spool::writer`](crate::Spool::writer).
///
/// Its values come into the spool together and in their order, behind those that are there when it is
/// [finished](Self::finish). A writer that is dropped before takes its values with it.
pub struct SpoolWriter<T, C = Postcard> {
    shared: Arc<Shared<C>>,
    /// What the store calls the writer.
    number: u64,
    /// The last values, of which complete blocks go to the store.
    part: Part,
    count: u64,
    values: PhantomData<fn(T)>,
}

impl<T, C> SpoolWriter<T, C> {
    pub(super) fn new(shared: Arc<Shared<C>>) -> Self {
        Self {
            number: shared.store.new_writer(),
            shared,
            part: Part::default(),
            count: 0,
            values: PhantomData,
        }
    }

    /// Appends a value.
    ///
    /// # Errors
    ///
    /// Those of [`Spool::push`](crate::Spool::push); the values of the writer are unchanged.
    ///
    /// # Panics
    ///
    /// As `Serialize` does; the values are unchanged.
    ///
    /// # Cost
    ///
    /// That of [`Spool::push`](crate::Spool::push). Writers do not wait for each other.
    #[inline]
    pub fn push(&mut self, value: &T) -> Result<()>
    where
        C: Codec<T>,
    {
        let Shared { store, codec } = &*self.shared;
        let number = self.number;
        let encode = |target: &mut Target<'_>| codec.encode(value, target);
        let keep = |sealed| store.keep_writing(number, sealed);
        let pushed = self.part.push(store, encode, keep);
        self.count = self.count.saturating_add(u64::from(pushed.is_ok()));
        pushed
    }

    /// Appends the values of an iterator.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push). What was appended before stays.
    pub fn try_extend(&mut self, values: impl IntoIterator<Item = T>) -> Result<()>
    where
        C: Codec<T>,
    {
        values.into_iter().try_for_each(|value| self.push(&value))
    }

    /// Returns the number of values that this writer has; as [`Spool::len`](crate::Spool::len), at most
    /// `usize::MAX`.
    pub fn len(&self) -> usize {
        counted(self.count)
    }

    /// Returns whether the writer has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands all values over to the spool.
    ///
    /// # Cost
    ///
    /// Nothing is written: values that are in memory stay there until the budget refuses memory to
    /// the spool.
    pub fn finish(mut self) {
        let part = std::mem::take(&mut self.part);
        self.shared.store.hand_over(self.number, part);
    }
}

impl<T, C> Drop for SpoolWriter<T, C> {
    fn drop(&mut self) {
        let part = std::mem::take(&mut self.part);
        self.shared.store.give_up(self.number, part);
    }
}

impl<T, C> fmt::Debug for SpoolWriter<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolWriter")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
