//! The sizes of small blocks: pure arithmetic.

use std::alloc::Layout;

use crate::bug::bug;
use crate::exact::{difference, narrow, product, sum};

/// The longest small block, in bytes; longer ones take whole units.
pub(crate) const SMALL_BYTES_MAX: usize = 16 << 10;

/// The difference between the smallest sizes, and the alignment of all sizes.
pub(crate) const STEP_BYTES: usize = 16;

/// How many sizes there are.
pub(crate) const CLASSES: usize = 36;

/// Returns the class for a layout, or `None` if its block is not small.
///
/// Up to 128 bytes the sizes are multiples of 16. Above, each doubling has four sizes, so that at
/// most a fifth of a block is wasted. An alignment above 16 takes a power of two.
pub(crate) fn class_of(layout: Layout) -> Option<usize> {
    let mut size = layout.size().max(1);
    if layout.align() > STEP_BYTES {
        size = size.max(layout.align()).checked_next_power_of_two()?;
    }
    if size > SMALL_BYTES_MAX {
        return None;
    }
    if size <= 128 {
        return Some(difference(size.div_ceil(STEP_BYTES), 1));
    }
    // With `size - 1`, an exact power of two belongs to the doubling that it ends.
    let below = difference(size, 1);
    let doubling: usize = narrow(difference(below.ilog2(), 7));
    let quarter = (below >> sum(doubling, 5)) & 3;
    Some(sum(sum(product(doubling, 4), quarter), 8))
}

/// Returns the size of the blocks of a class in bytes.
#[inline]
pub(crate) fn class_bytes(class: usize) -> usize {
    let bytes = BYTES.get(class).copied();
    bytes.unwrap_or_else(|| bug!("class {class} of {CLASSES}"))
}

/// For each class, the size of its blocks.
pub(crate) const BYTES: [usize; CLASSES] = {
    let mut bytes = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        bytes[class] = if class < 8 {
            (class + 1) * STEP_BYTES
        } else {
            let above = class - 8;
            (((above & 3) + 5) * 32) << (above >> 2)
        };
        class += 1;
    }
    bytes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_layout_fits_its_class_and_wastes_little() {
        for size in 0..=SMALL_BYTES_MAX {
            let class = class_of(Layout::from_size_align(size, 8).unwrap()).unwrap();
            let bytes = class_bytes(class);
            assert!(bytes >= size && class < CLASSES, "{size}: {class}, {bytes}");
            assert!(size <= 128 || bytes * 4 <= size * 5 + 4, "{size}: {bytes}");
            assert!(class == 0 || class_bytes(class - 1) < size.max(1));
        }
    }

    #[test]
    fn aligned_layouts_get_blocks_that_are_aligned() {
        for align in (0..=14).map(|log| 1_usize << log) {
            for size in (1..=SMALL_BYTES_MAX).step_by(97) {
                match class_of(Layout::from_size_align(size, align).unwrap()) {
                    Some(class) => assert_eq!(class_bytes(class) % align.min(16 << 10), 0),
                    None => assert!(size.max(align).next_power_of_two() > SMALL_BYTES_MAX),
                }
            }
        }
    }

    /// All sizes are multiples of the step.
    #[test]
    fn an_alignment_of_a_step_takes_no_power_of_two() {
        let class = |align| class_of(Layout::from_size_align(48, align).unwrap());
        assert_eq!(class(STEP_BYTES), class(1));
        assert_eq!(class_bytes(class(2 * STEP_BYTES).unwrap()), 64);
    }

    #[test]
    fn the_classes_ascend_to_the_largest() {
        assert!((1..CLASSES).all(|class| class_bytes(class - 1) < class_bytes(class)));
        assert_eq!(class_bytes(CLASSES - 1), SMALL_BYTES_MAX);
        assert_eq!(class_of(Layout::new::<[u8; SMALL_BYTES_MAX + 1]>()), None);
    }
}
