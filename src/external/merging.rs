//! Merging sorted iterators of any items.

use std::cmp::Ordering;
use std::fmt;
use std::iter::FusedIterator;

use crate::external::tree::Tree;

/// Merges ascending iterators into one. Of equal items, those of the first iterator come first.
///
/// # Examples
///
/// ```
/// use outcore::DiskVec;
/// use outcore::external::merge;
///
/// let odd = DiskVec::try_from(vec![1, 3, 5, 7])?;
/// let even = DiskVec::try_from(vec![2, 4, 4])?;
/// let mut all = DiskVec::new();
/// all.try_extend(merge([odd.iter(), even.iter()]).copied())?;
/// assert_eq!(all, [1, 2, 3, 4, 4, 5, 7]);
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Cost
///
/// One item of each iterator is kept in memory. Each item costs as many comparisons as the number
/// of iterators has binary digits.
pub fn merge<I: Iterator>(
    inputs: impl IntoIterator<Item = I>,
) -> Merge<I, impl FnMut(&I::Item, &I::Item) -> Ordering>
where
    I::Item: Ord,
{
    merge_by(inputs, I::Item::cmp)
}

/// Merges iterators whose items ascend by the order of a function; see [`merge`].
pub fn merge_by<I: Iterator, F: FnMut(&I::Item, &I::Item) -> Ordering>(
    inputs: impl IntoIterator<Item = I>,
    mut compare: F,
) -> Merge<I, F> {
    let mut inputs: Vec<_> = inputs.into_iter().map(Iterator::fuse).collect();
    let heads: Vec<_> = inputs.iter_mut().map(Iterator::next).collect();
    let play = |a, b| goes_first(&heads, &mut compare, a, b);
    let tree = (!heads.is_empty()).then(|| Tree::new(heads.len(), play));
    Merge {
        inputs,
        heads,
        tree,
        compare,
    }
}

/// Returns whether the head of an input goes before that of another.
fn goes_first<T>(
    heads: &[Option<T>],
    compare: &mut impl FnMut(&T, &T) -> Ordering,
    a: usize,
    b: usize,
) -> bool {
    let head = |input: usize| heads.get(input).and_then(Option::as_ref);
    match (head(a), head(b)) {
        (Some(first), Some(second)) => compare(first, second).then(a.cmp(&b)).is_lt(),
        (first, second) => (first.is_none(), a) < (second.is_none(), b),
    }
}

/// The items of several iterators in order; made by [`merge`] and [`merge_by`].
pub struct Merge<I: Iterator, F> {
    inputs: Vec<std::iter::Fuse<I>>,
    /// The next item of each.
    heads: Vec<Option<I::Item>>,
    tree: Option<Tree>,
    compare: F,
}

impl<I: Iterator, F: FnMut(&I::Item, &I::Item) -> Ordering> Iterator for Merge<I, F> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let tree = self.tree.as_mut()?;
        let winner = tree.winner();
        let head = self.heads.get_mut(winner)?;
        let item = head.take()?;
        *head = self.inputs.get_mut(winner)?.next();
        let (heads, compare) = (&self.heads, &mut self.compare);
        tree.replay(|a, b| goes_first(heads, compare, a, b));
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let heads = self.heads.iter().flatten().count();
        let hints = self.inputs.iter().map(Iterator::size_hint);
        hints.fold((heads, Some(heads)), |(least, most), (more, more_most)| {
            let most = most
                .zip(more_most)
                .and_then(|(most, more)| most.checked_add(more));
            (least.saturating_add(more), most)
        })
    }
}

impl<I: Iterator, F: FnMut(&I::Item, &I::Item) -> Ordering> FusedIterator for Merge<I, F> {}

impl<I: Iterator, F> fmt::Debug for Merge<I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge")
            .field("inputs", &self.inputs.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_inputs_become_one_and_equal_items_keep_the_order_of_inputs() {
        for count in 0..9_u32 {
            let inputs = (0..count).map(|input| (0..input * 3).map(move |n| (n / 2, input)));
            let mut expected: Vec<_> = inputs.clone().flatten().collect();
            expected.sort_by_key(|(n, _)| *n);
            let merged = merge_by(inputs, |a, b| a.0.cmp(&b.0));
            assert_eq!(merged.size_hint(), (expected.len(), Some(expected.len())));
            assert!(merged.eq(expected), "{count} inputs");
        }
        assert!(merge([vec![3, 5], vec![], vec![1]].map(Vec::into_iter)).eq([1, 3, 5]));
    }
}
