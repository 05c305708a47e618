//! Elements for the tests of the vector: of all sizes, some with a ledger of their drops.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;

use outcore::{DiskVec, Result};

/// An element that a number determines.
pub(crate) trait Item: Clone + PartialEq + Debug + 'static {
    /// Elements of a long vector: several windows.
    const MANY: usize;

    fn make(number: u64) -> Self;
    fn number(&self) -> u64;

    /// Whether elements are `Copy`.
    const PLAIN: bool = false;

    /// Gathers elements, if they are `Copy`.
    fn gather(_vec: &DiskVec<Self>, _indices: &[usize]) -> Option<Result<Vec<Self>>> {
        None
    }

    /// Copies the vector, if elements are `Copy`.
    fn copy(_vec: &DiskVec<Self>) -> Option<Result<DiskVec<Self>>> {
        None
    }
}

/// Methods that only `Copy` elements have.
macro_rules! plain {
    () => {
        const PLAIN: bool = true;

        fn gather(vec: &DiskVec<Self>, indices: &[usize]) -> Option<Result<Vec<Self>>> {
            Some(vec.gather(indices))
        }

        fn copy(vec: &DiskVec<Self>) -> Option<Result<DiskVec<Self>>> {
            Some(vec.try_copy())
        }
    };
}

impl Item for u8 {
    const MANY: usize = 300_000;

    fn make(number: u64) -> Self {
        number.to_le_bytes()[0]
    }

    fn number(&self) -> u64 {
        u64::from(*self)
    }

    plain!();
}

impl Item for u64 {
    const MANY: usize = 40_000;

    fn make(number: u64) -> Self {
        number
    }

    fn number(&self) -> u64 {
        *self
    }

    plain!();
}

impl<const N: usize> Item for [u8; N] {
    const MANY: usize = 1_000_000 / N;

    fn make(number: u64) -> Self {
        let mut bytes = [number.to_le_bytes()[0]; N];
        bytes[N - 8..].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    fn number(&self) -> u64 {
        u64::from_le_bytes(self[N - 8..].try_into().unwrap())
    }

    plain!();
}

/// An element with a large alignment.
#[derive(Clone, Debug, PartialEq)]
#[repr(align(8192))]
pub(crate) struct Aligned(pub(crate) u64);

impl Item for Aligned {
    const MANY: usize = 100;

    fn make(number: u64) -> Self {
        Self(number)
    }

    fn number(&self) -> u64 {
        assert_eq!((&raw const *self).addr() % 8192, 0, "it is not aligned");
        self.0
    }
}

/// The elements that were created and dropped in this thread.
#[derive(Debug, Default)]
struct Ledger {
    made: usize,
    dropped: usize,
    /// For each owner, whether it was dropped.
    owners: Vec<bool>,
    twice: usize,
}

/// An event that panics once, at its n-th occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Drop,
    Clone,
    Equal,
    Call,
}

thread_local! {
    static LEDGER: RefCell<Ledger> = RefCell::default();
    static FUSE: Cell<Option<(Event, usize)>> = const { Cell::new(None) };
}

/// Makes the event panic after `after` others of its kind.
pub(crate) fn light(event: Event, after: usize) {
    FUSE.set(Some((event, after)));
}

/// Removes the planned panic; returns whether it has happened.
pub(crate) fn put_out() -> bool {
    FUSE.take().is_none()
}

/// Reports that an event happens.
pub(crate) fn happens(event: Event) {
    match FUSE.get() {
        Some((lit, 0)) if lit == event => {
            FUSE.set(None);
            panic!("planned: {event:?}");
        }
        Some((lit, left)) if lit == event => FUSE.set(Some((lit, left - 1))),
        _ => {}
    }
}

/// Clears the ledger.
pub(crate) fn new_ledger() {
    LEDGER.take();
}

/// Returns how many elements are alive, and how many drops hit an already dropped one.
pub(crate) fn alive() -> (usize, usize) {
    LEDGER.with_borrow(|ledger| {
        let too_many = ledger.dropped.saturating_sub(ledger.made);
        let alive = ledger.made.saturating_sub(ledger.dropped);
        (alive, ledger.twice + too_many)
    })
}

fn register_made() -> usize {
    LEDGER.with_borrow_mut(|ledger| {
        ledger.made += 1;
        ledger.owners.push(false);
        ledger.owners.len() - 1
    })
}

/// Records the drop of an owner, which must be its only one.
pub(crate) fn register_dropped(name: usize) {
    LEDGER.with_borrow_mut(|ledger| {
        ledger.dropped += 1;
        let was_dropped = std::mem::replace(&mut ledger.owners[name], true);
        ledger.twice += usize::from(was_dropped);
    });
}

/// An element that owns heap memory and is recorded in the ledger.
#[derive(Debug)]
pub(crate) struct Owns<Rest> {
    number: Box<u64>,
    name: usize,
    _rest: Rest,
}

/// More content of an owner, which sets its size.
pub(crate) trait Rest: Copy + Debug + 'static {
    /// Elements of a long vector.
    const MANY: usize;

    fn fill(number: u64) -> Self;
}

/// An element of which a few fit into a page.
pub(crate) type Owner = Owns<[u64; 30]>;

/// An element larger than a page, and no multiple of one.
pub(crate) type Large = Owns<[u64; 700]>;

/// An element of several pages with a large alignment.
pub(crate) type Steep = Owns<Pages>;

impl<const N: usize> Rest for [u64; N] {
    const MANY: usize = 90_000 / N;

    fn fill(number: u64) -> Self {
        [number; N]
    }
}

/// Pages that are aligned to more than a page.
#[derive(Clone, Copy, Debug)]
#[repr(align(8192))]
pub(crate) struct Pages(#[expect(dead_code, reason = "only takes room")] [u64; 100]);

impl Rest for Pages {
    const MANY: usize = 80;

    fn fill(number: u64) -> Self {
        Self([number; 100])
    }
}

impl<R: Rest> Item for Owns<R> {
    const MANY: usize = R::MANY;

    fn make(number: u64) -> Self {
        Self {
            number: Box::new(number),
            name: register_made(),
            _rest: R::fill(number),
        }
    }

    fn number(&self) -> u64 {
        let misplaced = (&raw const *self).addr() % align_of::<Self>();
        assert_eq!(misplaced, 0, "it is not aligned");
        *self.number
    }
}

impl<R: Rest> Clone for Owns<R> {
    fn clone(&self) -> Self {
        happens(Event::Clone);
        Self::make(*self.number)
    }
}

impl<R> PartialEq for Owns<R> {
    fn eq(&self, other: &Self) -> bool {
        happens(Event::Equal);
        self.number == other.number
    }
}

impl<R> Drop for Owns<R> {
    fn drop(&mut self) {
        register_dropped(self.name);
        happens(Event::Drop);
    }
}

/// A zero-sized element with an alignment, recorded in the ledger.
#[derive(Debug)]
#[repr(align(4096))]
pub(crate) struct Nothing;

impl Item for Nothing {
    const MANY: usize = 3_000;

    fn make(_number: u64) -> Self {
        LEDGER.with_borrow_mut(|ledger| ledger.made += 1);
        Self
    }

    fn number(&self) -> u64 {
        0
    }
}

impl PartialEq for Nothing {
    fn eq(&self, _other: &Self) -> bool {
        happens(Event::Equal);
        true
    }
}

impl Clone for Nothing {
    fn clone(&self) -> Self {
        happens(Event::Clone);
        Self::make(0)
    }
}

impl Drop for Nothing {
    fn drop(&mut self) {
        LEDGER.with_borrow_mut(|ledger| ledger.dropped += 1);
        happens(Event::Drop);
    }
}
