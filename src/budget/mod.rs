//! A budget of memory: how many bytes the buffers of an operation may take, and how many they take.
//!
//! Nothing here is an estimate. Code takes a [`Lease`] before it allocates a buffer; the lease is
//! returned when the buffer is freed. `buf` has the buffers, `machine` the memory of the machine.

mod buf;
mod machine;

pub(crate) use self::buf::{Array, Buf, Plain, Room, Slots};

use std::env;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::error::{Error, ErrorKind, Result};
use crate::exact::sum;

/// The least that one operation needs; less in unit tests, which fail every call of many scenarios.
pub(crate) const MIN: usize = if cfg!(all(test, miri)) {
    32 << 10
} else if cfg!(test) {
    128 << 10
} else {
    4 << 20
};

/// A number of bytes of memory that any number of operations and threads share.
///
/// A handle: cloning is cheap, and all clones count together. Every buffer of [`external`] is taken
/// from a budget before it is allocated, and given back when it is freed, so
/// [`used_bytes`](Self::used_bytes) is exact and never exceeds the limit. An operation that gets
/// less works with less, down to [`MIN_BYTES`](Self::MIN_BYTES) for each of them; with less than
/// that it returns an error before it does anything.
///
/// Not counted: the elements that a vector itself keeps in memory, a few KiB for each operation and
/// thread, stacks of threads, and pages of files, which belong to the kernel.
///
/// [`external`]: crate::external
///
/// # Examples
///
/// ```
/// use outcore::{DiskVec, MemoryBudget};
///
/// let budget = MemoryBudget::new(16 << 20);
/// let mut numbers = DiskVec::new();
/// numbers.try_extend((0..1_000_000_u64).rev())?;
/// numbers.sort_external(&budget)?;
/// assert!(numbers.is_sorted());
/// assert!(budget.peak_bytes() <= budget.limit_bytes());
/// assert_eq!(budget.used_bytes(), 0);
/// # Ok::<(), outcore::Error>(())
/// ```
#[derive(Clone)]
pub struct MemoryBudget {
    inner: Arc<Inner>,
}

struct Inner {
    limit: usize,
    /// At most `limit`.
    used: AtomicUsize,
    peak: AtomicUsize,
}

/// Returns the bytes of memory that this process could have now, as the machine and its memory control
/// group say; `None` where they do not say.
pub(crate) fn available_bytes() -> Option<u64> {
    if cfg!(any(miri, memory_backend)) {
        return None;
    }
    machine::available_bytes(&|path| std::fs::read_to_string(path).ok())
}

impl MemoryBudget {
    /// The least that one operation needs: 4 MiB.
    pub const MIN_BYTES: u64 = MIN as u64;

    /// Creates a budget of `bytes` bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        // No allocation can be longer than `isize::MAX`.
        let most = usize::MAX >> 1;
        Self {
            inner: Arc::new(Inner {
                limit: usize::try_from(bytes).unwrap_or(most).min(most),
                used: AtomicUsize::new(0),
                peak: AtomicUsize::new(0),
            }),
        }
    }

    /// Creates a budget from the environment: `$OUTCORE_MEMORY`, such as `512M` or `1.5G` (units of
    /// 1024; without a letter, bytes), else half of the memory of the machine or of the process's
    /// memory control group, whichever is less; 1 GiB if neither is known.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io): `$OUTCORE_MEMORY` is set and is no size. An empty variable counts as
    /// not set.
    ///
    /// # Cost
    ///
    /// Reads a few files of `/proc` and `/sys`.
    pub fn from_env() -> Result<Self> {
        const VARIABLE: &str = "OUTCORE_MEMORY";
        if let Some(text) = env::var_os(VARIABLE).filter(|text| !text.is_empty()) {
            let bytes = text.to_str().and_then(parse_size).ok_or_else(|| {
                let text = text.to_string_lossy();
                let reason = format!("'{text}' is no size such as 512M or 1.5G");
                Error::refused(ErrorKind::Io, "understand $OUTCORE_MEMORY", reason)
            })?;
            return Ok(Self::new(bytes));
        }
        let read = |path: &str| std::fs::read_to_string(path).ok();
        Ok(Self::new(
            machine::memory_bytes(&read).map_or(1 << 30, |bytes| bytes / 2),
        ))
    }

    /// Returns the limit in bytes.
    pub fn limit_bytes(&self) -> u64 {
        self.inner.limit as u64
    }

    /// Returns the number of bytes that are taken now.
    pub fn used_bytes(&self) -> u64 {
        self.inner.used.load(Relaxed) as u64
    }

    /// Returns the largest number of bytes that were taken at a time so far.
    pub fn peak_bytes(&self) -> u64 {
        self.inner.peak.load(Relaxed) as u64
    }

    /// Returns the number of bytes that are not taken.
    pub(crate) fn free(&self) -> usize {
        self.inner
            .limit
            .saturating_sub(self.inner.used.load(Relaxed))
    }

    /// Returns the limit in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.inner.limit
    }

    /// Takes `bytes`, if there are so many.
    pub(crate) fn take(&self, bytes: usize) -> Option<Lease> {
        self.take_between(bytes, bytes)
    }

    /// Takes `most`, or as many as there are, but at least `least`.
    pub(crate) fn take_between(&self, least: usize, most: usize) -> Option<Lease> {
        let bytes = self.charge(least, most)?;
        let budget = self.clone();
        Some(Lease { budget, bytes })
    }

    /// Makes the error of an action for which the budget has not got `least` bytes.
    #[cold]
    pub(crate) fn refusal(&self, least: usize, action: &'static str) -> Error {
        let reason = format!(
            "{least} bytes of memory are needed at least, and of the budget's {} bytes {} are not \
             taken",
            self.limit(),
            self.free()
        );
        Error::refused(ErrorKind::OverBudget, action, reason)
    }

    fn charge(&self, least: usize, most: usize) -> Option<usize> {
        let mut taken = 0;
        let charged = self.inner.used.fetch_update(Relaxed, Relaxed, |used| {
            taken = self.inner.limit.saturating_sub(used).min(most);
            (taken >= least).then(|| used.saturating_add(taken))
        });
        let before = charged.ok()?;
        let now = before.saturating_add(taken);
        self.inner.peak.fetch_max(now, Relaxed);
        Some(taken)
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("limit_bytes", &self.limit_bytes())
            .field("used_bytes", &self.used_bytes())
            .field("peak_bytes", &self.peak_bytes())
            .finish()
    }
}

/// Bytes that are taken from a budget until the lease is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    budget: MemoryBudget,
    bytes: usize,
}

impl Lease {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes `bytes` more; returns whether there were so many.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let taken = self.budget.charge(bytes, bytes);
        self.bytes = self.bytes.saturating_add(taken.unwrap_or(0));
        taken.is_some()
    }

    /// Adds the bytes of another lease of the same budget.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.bytes = sum(self.bytes, std::mem::take(&mut other.bytes));
    }

    /// Gives all but `bytes` back.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let back = self.bytes.saturating_sub(bytes);
        self.bytes = self.bytes.saturating_sub(back);
        self.budget.inner.used.fetch_sub(back, Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// Parses a number of bytes, with a letter for a power of 1024.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_suffix(['b', 'B']).unwrap_or(text);
    let text = text.strip_suffix(['i', 'I']).unwrap_or(text);
    let (number, shift) = match text.chars().last()?.to_ascii_uppercase() {
        'K' => (text.get(..text.len().checked_sub(1)?)?, 10),
        'M' => (text.get(..text.len().checked_sub(1)?)?, 20),
        'G' => (text.get(..text.len().checked_sub(1)?)?, 30),
        'T' => (text.get(..text.len().checked_sub(1)?)?, 40),
        _ => (text, 0),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(part) || part.len() > 9 {
        return None;
    }
    let unit = 1_u64.checked_shl(shift)?;
    let scale = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    // At most nine digits of a unit of at most forty bits.
    let part = u128::from(part.parse::<u64>().ok()?).checked_mul(u128::from(unit))?;
    let part = u64::try_from(part.checked_div(u128::from(scale))?).ok()?;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(unit)?
        .checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_counts_until_it_is_given_back() {
        let budget = MemoryBudget::new(100);
        let first = budget.take(60).unwrap();
        assert!(budget.take(41).is_none(), "more than the limit");
        let mut second = budget.take_between(10, 1000).unwrap();
        assert_eq!(
            (second.bytes(), budget.used_bytes(), budget.free()),
            (40, 100, 0)
        );
        assert!(!second.grow(1));
        second.shrink_to(15);
        assert!(second.grow(5));
        drop(first);
        assert_eq!((budget.used_bytes(), budget.peak_bytes()), (20, 100));
        drop(second);
        assert_eq!(budget.clone().used_bytes(), 0);
        assert_eq!(budget.limit_bytes(), 100);
    }

    #[test]
    fn threads_together_never_pass_the_limit() {
        let budget = MemoryBudget::new(1000);
        std::thread::scope(|scope| {
            for thread in 1..=4 {
                let budget = budget.clone();
                scope.spawn(move || {
                    for n in 0..if cfg!(miri) { 50 } else { 10_000 } {
                        drop(budget.take_between(1, 100 * thread + n % 7));
                    }
                });
            }
        });
        assert_eq!(budget.used_bytes(), 0);
        assert!(budget.peak_bytes() <= 1000 && budget.peak_bytes() > 0);
    }

    #[test]
    fn sizes_have_letters_and_parts() {
        for (text, bytes) in [
            ("4096", 4096),
            ("512M", 512 << 20),
            ("512m", 512 << 20),
            ("1.5G", 3 << 29),
            ("0.25k", 256),
            ("2T", 2 << 40),
            (" 3MiB ", 3 << 20),
            ("7b", 7),
            ("0", 0),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "M",
            "1,5G",
            "-1",
            "1.G",
            ".5G",
            "1e3",
            "99999999999G",
            "12X",
            "1.2.3",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
