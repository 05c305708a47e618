//! Reserved addresses, of which each container gets a share, so that other containers and the rest of
//! the process have enough.

use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::io::stats;
use crate::mapping::growth::{ADDRESSES_MIN, PLENTY_SHARES, address_share};
use crate::sys;

/// Shares that are taken now.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// A space, and the shares of the process's addresses that it stands for.
#[derive(Debug)]
pub(crate) struct Addresses {
    space: sys::Space,
    shares: usize,
    /// How many there are, whatever the space shows of them.
    len: usize,
}

impl Addresses {
    /// Reserves addresses for `need` bytes, and for as many more as `shares` are worth now.
    ///
    /// Where the system refuses, much less is asked for: to find the most that it has left would
    /// leave nothing for others.
    pub(crate) fn reserve(need: usize, shares: usize, align: usize) -> io::Result<Self> {
        let ample = share_of(shares).max(need);
        let modest = need.saturating_mul(4).max(ADDRESSES_MIN).min(ample);
        Self::exactly(ample, shares, align)
            .or_else(|_no_room| Self::exactly(modest, shares, align))
            .or_else(|_no_room| Self::exactly(need, shares, align))
    }

    /// Reserves addresses for just `len` bytes.
    pub(crate) fn exactly(len: usize, shares: usize, align: usize) -> io::Result<Self> {
        let space = sys::retry(|| sys::Space::reserve(len, align))?;
        TAKEN.fetch_add(shares, Relaxed);
        let len = space.len();
        stats::mapped(len);
        Ok(Self { space, shares, len })
    }
}

/// Returns whether what may stay small can take addresses all the same, so that it never moves.
pub(crate) fn are_plentiful() -> bool {
    #[cfg(test)]
    if let Some(answer) = PLENTIFUL.get() {
        return answer;
    }
    let left = PLENTY_SHARES.saturating_sub(TAKEN.load(Relaxed));
    left > 0 && sys::address_limit().is_none()
}

#[cfg(test)]
thread_local! {
    /// What a test wants to be so.
    pub(crate) static PLENTIFUL: std::cell::Cell<Option<bool>> = const { std::cell::Cell::new(None) };
}

/// Returns how many addresses `shares` are worth now.
pub(crate) fn share_of(shares: usize) -> usize {
    address_share(sys::address_limit(), TAKEN.load(Relaxed)).saturating_mul(shares)
}

impl Deref for Addresses {
    type Target = sys::Space;

    fn deref(&self) -> &sys::Space {
        &self.space
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.shares, Relaxed);
        stats::unmapped(self.len);
    }
}
