//! The budget of a directory: a quota, and a floor of free space that holds for all threads.
//!
//! What the file system says is free still holds what other threads were just allowed to take and
//! have not preallocated yet. So each growth is a *promise* from the moment it is allowed until its
//! space is preallocated, and promises count against the floor. They are summed up for each file
//! system, over all directories of the process.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::io::refusal::{Op, Refusal};
use crate::sys;

/// A quota, a floor, and what counts against them.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) quota_bytes: u64,
    pub(crate) free_bytes_min: u64,
    /// Bytes claimed by all files of the directory; at most `quota_bytes`.
    used_bytes: AtomicU64,
    promises: &'static Promises,
}

/// Bytes that are entered into a budget and not preallocated yet. Dropping it takes them out again.
#[derive(Debug)]
#[must_use = "the bytes are taken out again at once"]
pub(crate) struct Charge<'budget> {
    budget: &'budget Budget,
    bytes: u64,
    is_kept: bool,
}

impl Budget {
    pub(crate) fn new(quota_bytes: u64, free_bytes_min: u64, device: u64) -> Self {
        Self {
            quota_bytes,
            free_bytes_min,
            used_bytes: AtomicU64::new(0),
            promises: Promises::of_device(device),
        }
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Relaxed)
    }

    /// Enters `bytes` into the budget; `free` asks how many bytes the file system has. Allocates
    /// nothing.
    ///
    /// Where it depends on growths of other threads whether the floor is kept, it waits for these.
    pub(crate) fn charge(
        &self,
        bytes: u64,
        free: impl Fn() -> io::Result<u64>,
    ) -> Result<Charge<'_>, Refusal> {
        let within = |used: u64| {
            used.checked_add(bytes)
                .filter(|sum| *sum <= self.quota_bytes)
        };
        let entered = self.used_bytes.fetch_update(Relaxed, Relaxed, within);
        entered.map_err(|used| Refusal::over_quota(bytes, used, self.quota_bytes))?;
        let refused = match self.promise(bytes, free) {
            Ok(()) => {
                return Ok(Charge {
                    budget: self,
                    bytes,
                    is_kept: false,
                });
            }
            Err(refused) => refused,
        };
        self.release(bytes);
        Err(refused)
    }

    /// Promises `bytes`, unless that breaks the floor.
    fn promise(&self, bytes: u64, free: impl Fn() -> io::Result<u64>) -> Result<(), Refusal> {
        let needed = bytes.saturating_add(self.free_bytes_min);
        let mut rounds = 0;
        loop {
            // Before the system is asked: a later promise counts this one. Bytes that another
            // thread promised before and preallocates meanwhile count twice, and never not at all.
            let others = self.promises.add(bytes);
            if self.free_bytes_min == 0 {
                return Ok(());
            }
            let refused = match free() {
                Ok(free) if needed.saturating_add(others) <= free => return Ok(()),
                Ok(free) if needed > free || rounds >= ROUNDS_MAX => {
                    Some(Refusal::below_floor(bytes, self.free_bytes_min))
                }
                Ok(_depends_on_others) => None,
                Err(answer) => Some(Refusal::answered(Op::Examine, &answer)),
            };
            self.promises.settle(bytes);
            if let Some(refused) = refused {
                return Err(refused);
            }
            rounds = rounds.saturating_add(1);
            if rounds < ROUNDS_AT_ONCE {
                thread::yield_now();
            } else {
                thread::sleep(ROUND);
            }
        }
    }

    /// Takes `bytes` out of the budget.
    pub(crate) fn release(&self, bytes: u64) {
        let before = self.used_bytes.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "more was released than was charged");
    }
}

impl Charge<'_> {
    /// Notes that the space is preallocated: the bytes stay in the budget until they are
    /// [released](Budget::release).
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.budget.promises.settle(self.bytes);
        if !self.is_kept {
            self.budget.release(self.bytes);
        }
    }
}

/// How often a thread looks again whether others are done, at once and in all: for about a second.
/// A growth takes less, but for a device that hangs.
const ROUNDS_AT_ONCE: u32 = 20;
const ROUNDS_MAX: u32 = 2000;

/// How long it waits between looks.
const ROUND: Duration = Duration::from_micros(500);

/// What is promised on a file system, or on several that share an entry: then threads may wait in
/// vain, and nothing else.
///
/// # Invariants
///
/// 1. The upper 20 bits are those of the process that the lower 44 are about: how much it has
///    promised, in units of 4 KiB. So a forked child does not count what threads of its parent had
///    promised, which would never be settled there.
#[derive(Debug)]
struct Promises(AtomicU64);

/// How many entries there are.
const ENTRIES: usize = 64;

static PROMISES: [Promises; ENTRIES] = [const { Promises(AtomicU64::new(0)) }; ENTRIES];

const COUNT_BITS: u32 = 44;
const UNIT_BYTES: u64 = 4096;

impl Promises {
    fn of_device(device: u64) -> &'static Self {
        let hash = device.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58;
        let [first, ..] = &PROMISES;
        let entry = usize::try_from(hash).ok().and_then(|at| PROMISES.get(at));
        entry.unwrap_or(first)
    }

    /// Adds `bytes`, and returns how many others had promised before.
    fn add(&self, bytes: u64) -> u64 {
        let before = self.change(|count| count.saturating_add(units(bytes)));
        before.saturating_mul(UNIT_BYTES)
    }

    fn settle(&self, bytes: u64) {
        let _before = self.change(|count| count.saturating_sub(units(bytes)));
    }

    /// Changes the count of this process, and returns what it was.
    fn change(&self, change: impl Fn(u64) -> u64) -> u64 {
        const COUNT: u64 = (1 << COUNT_BITS) - 1;
        let process = sys::process() << COUNT_BITS;
        let count_of = |entry: u64| {
            if entry & !COUNT == process {
                entry & COUNT
            } else {
                0
            }
        };
        let changed = |entry| Some(process | change(count_of(entry)).min(COUNT));
        match self.0.fetch_update(SeqCst, SeqCst, changed) {
            Ok(before) | Err(before) => count_of(before),
        }
    }
}

fn units(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that no other test uses.
    fn budget(quota_bytes: u64, free_bytes_min: u64) -> Budget {
        static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
        Budget::new(quota_bytes, free_bytes_min, NEXT.fetch_add(1, Relaxed))
    }

    #[expect(clippy::unnecessary_wraps, reason = "stands in for the question")]
    fn much() -> io::Result<u64> {
        Ok(u64::MAX)
    }

    #[test]
    fn the_quota_is_shared_and_returned() {
        let budget = budget(100, 0);
        budget.charge(60, much).unwrap().keep();
        let refused = budget.charge(60, much).unwrap_err();
        assert_eq!(refused, Refusal::over_quota(60, 60, 100));
        assert_eq!(budget.used_bytes(), 60, "a refused charge must not count");
        budget.release(60);
        drop(budget.charge(100, much).unwrap());
        assert_eq!(budget.used_bytes(), 0, "what was not preallocated");
        budget.charge(100, much).unwrap().keep();
    }

    #[test]
    fn a_charge_that_overflows_is_refused() {
        let budget = budget(u64::MAX, 0);
        budget.charge(10, much).unwrap().keep();
        assert!(budget.charge(u64::MAX, much).is_err());
        assert_eq!(budget.used_bytes(), 10);
    }

    #[test]
    fn a_floor_without_an_answer_is_a_refusal() {
        let budget = budget(u64::MAX, 1);
        let silent = || Err(io::Error::from_raw_os_error(5));
        let refused = budget.charge(1, silent).unwrap_err();
        let eio = io::Error::from_raw_os_error(5);
        assert_eq!(refused, Refusal::answered(Op::Examine, &eio));
        assert_eq!(budget.used_bytes(), 0);
    }

    /// Each asked the system how much was free, which does not know what others were just allowed
    /// to take.
    #[test]
    fn what_is_promised_counts_against_the_floor_until_it_is_preallocated() {
        const UNIT: u64 = UNIT_BYTES;
        let budget = budget(u64::MAX, 10 * UNIT);
        let free = AtomicU64::new(15 * UNIT);
        let ask = || Ok(free.load(SeqCst));
        let held = [3, 2].map(|units| budget.charge(units * UNIT, ask).unwrap());
        let below = |bytes| Refusal::below_floor(bytes, 10 * UNIT);
        let refused = budget.charge(6 * UNIT, ask).unwrap_err();
        assert_eq!(refused, below(6 * UNIT));
        thread::scope(|scope| {
            // It fits if one of the others does not come to pass, so it waits.
            let waits = scope.spawn(|| budget.charge(2 * UNIT, ask).map(Charge::keep));
            let [first, second] = held;
            free.fetch_sub(3 * UNIT, SeqCst);
            first.keep();
            drop(second);
            assert_eq!(waits.join().unwrap(), Ok(()));
        });
        free.fetch_sub(2 * UNIT, SeqCst);
        assert_eq!(budget.charge(1, ask).unwrap_err(), below(1));
        assert_eq!(budget.used_bytes(), 5 * UNIT);
    }

    #[test]
    fn a_child_does_not_count_what_its_parent_has_promised() {
        let promises = Promises(AtomicU64::new(0xABCDE << COUNT_BITS | 0x77));
        assert_eq!(promises.add(3 * UNIT_BYTES), 0);
        assert_eq!(promises.add(UNIT_BYTES), 3 * UNIT_BYTES);
        promises.settle(4 * UNIT_BYTES);
        assert_eq!(promises.add(1), 0);
    }
}
