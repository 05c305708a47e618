//! How much to take next: pure arithmetic, no system.

use crate::exact::product;

/// The smallest append window, and all that a small region ever holds: it stays in memory.
pub(crate) const WINDOW_BYTES_MIN: usize = if cfg!(any(miri, memory_backend)) {
    8 << 10
} else {
    64 << 10
};

/// The largest append window: as much as one region keeps in memory while it is appended to.
///
/// Small enough that it stays in a core's second-level cache, from which the kernel then copies it:
/// a window of 8 MiB was slower, and the push that writes it out takes eight times as long. Large
/// enough that moving it costs a few percent of writing it (linux-facts V9).
pub(crate) const WINDOW_BYTES_MAX: usize = if cfg!(any(miri, memory_backend)) {
    64 << 10
} else {
    1 << 20
};

/// The most that a file grows ahead of its use. Bounds the space that is claimed in vain.
const STEP_BYTES_MAX: u64 = 256 << 20;

/// One share of the addresses while few are taken: more than a disk has bytes.
const ADDRESSES_MAX: usize = if cfg!(any(miri, memory_backend)) {
    256 << 10
} else if usize::BITS < 64 {
    64 << 20
} else {
    1_usize.wrapping_shl(40)
};

/// While fewer shares are taken, a region takes addresses with its first byte: two mappings and four
/// pages, of memory and of tables.
pub(crate) const PLENTY_SHARES: usize = if cfg!(any(miri, memory_backend)) || usize::BITS < 64 {
    0
} else {
    256
};

/// One share however many are taken.
pub(crate) const ADDRESSES_MIN: usize = 1 << 17;

/// The most addresses that a process can have: 2^47 bytes on the usual 64-bit systems.
pub(crate) const ADDRESSABLE_BYTES: usize = if usize::BITS < 64 {
    isize::MAX.unsigned_abs()
} else {
    1_usize.wrapping_shl(47)
};

/// Returns the length of the append window that follows `len` bytes: an eighth of them, within the
/// limits above. A multiple of both limits' page size, since all are powers of two.
pub(crate) fn window_bytes(len: usize) -> usize {
    let eighth = len / 8;
    let rounded = match eighth.checked_ilog2() {
        Some(log) => 1_usize << log,
        None => 0,
    };
    rounded.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX)
}

/// Returns the length that a file of `len` bytes should get so that `need` bytes fit: a quarter
/// more, at most 256 MiB more than it has.
pub(crate) fn ample_len(len: u64, need: u64) -> u64 {
    len.saturating_add((len / 4).min(STEP_BYTES_MAX)).max(need)
}

/// Returns how many addresses one share is worth when `taken` others are taken, in a process that
/// may have `limit` of them in all.
///
/// Eight times the largest share is dealt out harmonically: the first shares are 1 TiB each, the
/// 10,000th is 512 MiB, and all 10,000 together stay within half of the 128 TiB that a process
/// has. Under a limit, the largest share is a 64th of it.
pub(crate) fn address_share(limit: Option<u64>, taken: usize) -> usize {
    let largest = limit.and_then(|limit| usize::try_from(limit / 64).ok());
    let largest = largest.unwrap_or(ADDRESSES_MAX).min(ADDRESSES_MAX);
    let share = largest
        .saturating_mul(8)
        .checked_div(taken.saturating_add(8));
    let rounded = 1_usize << share.unwrap_or(0).max(1).ilog2();
    rounded.clamp(ADDRESSES_MIN, ADDRESSES_MAX)
}

/// Rounds up to a multiple of `page`, a power of two; `None` on overflow.
pub(crate) fn page_up(len: usize, page: usize) -> Option<usize> {
    len.checked_next_multiple_of(page)
}

/// Rounds down to a multiple of `page`, a power of two.
pub(crate) fn page_down(len: usize, page: usize) -> usize {
    len & !page.wrapping_sub(1)
}

/// Returns the longest piece in which the page cache keeps pages of a file: as many pages as one
/// table has entries. It begins at a multiple of its length. Unit tests go to the page, so that
/// small regions give something back, and the heap has no page cache.
pub(crate) fn cache_piece(page: usize) -> usize {
    if cfg!(any(test, miri, memory_backend)) {
        page
    } else {
        product(page, page / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_whole_pages_within_their_limits_and_at_most_an_eighth() {
        for len in (0..200_000).chain([usize::MAX / 2, usize::MAX]) {
            let window = window_bytes(len);
            assert!((WINDOW_BYTES_MIN..=WINDOW_BYTES_MAX).contains(&window));
            assert_eq!(window % 4096, 0);
            assert!(window == WINDOW_BYTES_MIN || window <= len / 8);
        }
    }

    /// Where one is much less, a long vector goes to the file in small pieces.
    #[test]
    fn between_their_limits_windows_are_more_than_a_sixteenth() {
        assert!(WINDOW_BYTES_MIN > 0 && window_bytes(0) == WINDOW_BYTES_MIN);
        assert_eq!(window_bytes(usize::MAX), WINDOW_BYTES_MAX);
        for len in (8 * WINDOW_BYTES_MIN..8 * WINDOW_BYTES_MAX).step_by(4096) {
            assert!(window_bytes(len) > len / 16, "{len}");
        }
    }

    #[test]
    fn files_grow_by_a_quarter_within_limits() {
        assert_eq!(ample_len(0, 10), 10);
        assert_eq!(ample_len(1 << 20, (1 << 20) + 1), (1 << 20) + (1 << 18));
        assert_eq!(ample_len(1 << 40, (1 << 40) + 1), (1 << 40) + (256 << 20));
        assert_eq!(ample_len(u64::MAX - 1, u64::MAX), u64::MAX);
    }

    #[test]
    #[cfg(not(any(miri, memory_backend)))]
    fn ten_thousand_regions_fit_into_half_of_the_addresses() {
        let share = |taken| address_share(None, taken);
        assert_eq!(share(0), 1 << 40);
        let total: usize = (0..10_000).map(share).sum();
        assert!(total <= 64 << 40, "{total}");
        assert_eq!(share(usize::MAX), ADDRESSES_MIN);
        // All that a process has.
        assert_eq!(ADDRESSABLE_BYTES, 128 << 40);
    }

    #[test]
    #[cfg(not(any(miri, memory_backend)))]
    fn under_a_limit_the_largest_share_is_a_64th_of_it() {
        assert_eq!(address_share(Some(64 << 30), 0), 1 << 30);
        assert_eq!(address_share(Some(100 << 30), 0), 1 << 30);
    }

    #[test]
    fn under_a_limit_a_thousand_regions_fit_into_it() {
        let limit = 4 << 30;
        let total: usize = (0..1_000)
            .map(|taken| address_share(Some(limit), taken))
            .sum();
        assert!(total as u64 <= limit, "{total}");
    }

    #[test]
    fn pages_round_both_ways() {
        assert_eq!(page_up(1, 4096), Some(4096));
        assert_eq!(page_up(usize::MAX, 4096), None);
        assert_eq!(page_down(8191, 4096), 4096);
    }
}
