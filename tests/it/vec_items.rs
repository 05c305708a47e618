//! Elements for the tests of the vector: of all sizes, some with a ledger of who was dropped.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;

/// An element that is made of a number.
pub(crate) trait Item: Clone + PartialEq + Debug + 'static {
    /// Elements of a long vector: several windows.
    const MANY: usize;

    fn make(number: u64) -> Self;
    fn number(&self) -> u64;
}

impl Item for u8 {
    const MANY: usize = 300_000;

    fn make(number: u64) -> Self {
        number.to_le_bytes()[0]
    }

    fn number(&self) -> u64 {
        u64::from(*self)
    }
}

impl Item for u64 {
    const MANY: usize = 40_000;

    fn make(number: u64) -> Self {
        number
    }

    fn number(&self) -> u64 {
        *self
    }
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
}

/// An element that asks for a large alignment.
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

/// Who was made and who was dropped in this thread.
#[derive(Debug, Default)]
struct Ledger {
    made: usize,
    dropped: usize,
    /// For each owner, whether it was dropped.
    owners: Vec<bool>,
    twice: usize,
}

/// What panics once, when it happens for the n-th time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Drop,
    Clone,
    Call,
}

thread_local! {
    static LEDGER: RefCell<Ledger> = RefCell::default();
    static FUSE: Cell<Option<(Event, usize)>> = const { Cell::new(None) };
}

/// Lets the event panic after `after` others of its kind.
pub(crate) fn light(event: Event, after: usize) {
    FUSE.set(Some((event, after)));
}

/// Puts the fuse out; returns whether it had burnt down.
pub(crate) fn put_out() -> bool {
    FUSE.take().is_none()
}

/// Says that an event takes place.
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

/// Forgets all that was made.
pub(crate) fn new_ledger() {
    LEDGER.take();
}

/// Returns how many elements are alive, and how many drops hit one that was dropped before.
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

/// Enters the drop of an owner, which must be its only one.
pub(crate) fn register_dropped(name: usize) {
    LEDGER.with_borrow_mut(|ledger| {
        ledger.dropped += 1;
        let was_dropped = std::mem::replace(&mut ledger.owners[name], true);
        ledger.twice += usize::from(was_dropped);
    });
}

/// An element that owns heap memory and stands in the ledger.
#[derive(Debug)]
pub(crate) struct Owner {
    number: Box<u64>,
    name: usize,
    _rest: [u64; 30],
}

impl Item for Owner {
    const MANY: usize = 3_000;

    fn make(number: u64) -> Self {
        Self {
            number: Box::new(number),
            name: register_made(),
            _rest: [number; 30],
        }
    }

    fn number(&self) -> u64 {
        *self.number
    }
}

impl Clone for Owner {
    fn clone(&self) -> Self {
        happens(Event::Clone);
        Self::make(*self.number)
    }
}

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        register_dropped(self.name);
        happens(Event::Drop);
    }
}

/// An element without size that stands in the ledger.
#[derive(Debug, PartialEq)]
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
