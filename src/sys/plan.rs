//! Plans of [`super::fault`] in unit tests: which calls of a thread fail, and how; and the number
//! of open objects of the thread. A thread that works for another one shares its plan.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
#[cfg(shuttle)]
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

/// The outcome of the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The call does nothing and fails with this error number.
    Errno(i32),
    /// The call does half of its work and fails with this error number, as `fallocate` does on a
    /// full ext4 (linux-facts G3). Calls that cannot be done by halves only fail.
    HalfThenErrno(i32),
    /// A transfer moves half of the bytes, at least one; other calls succeed.
    Short,
    /// A transfer moves no byte and reports that; other calls succeed.
    Zero,
    /// A name is given to another file, and the call reports that; other calls succeed.
    #[cfg_attr(
        any(loom, shuttle),
        expect(dead_code, reason = "its test needs the file system alone")
    )]
    Astray,
    /// A canary: the call does nothing and reports success, as if its failure had been overlooked.
    /// Only for calls where that harms no memory: transfers from and into initialized bytes, and
    /// holes. Other calls are not counted.
    Lie,
}

/// Which call meets which outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The number of calls that succeed before.
    pub(crate) after: usize,
    /// Whether all later calls meet the outcome too.
    pub(crate) sticky: bool,
    pub(crate) outcome: Outcome,
}

/// The results of a plan.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// The number of calls.
    pub(crate) calls: usize,
    /// The number of calls that met a fault.
    pub(crate) met: usize,
    /// The number of calls that met the second fault.
    pub(crate) met_second: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Plan {
    first: Option<Fault>,
    second: Option<Fault>,
    seen: Seen,
    /// The call after the first failed one.
    second_from: Option<usize>,
}

/// A planted leak: an object that is never released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leak {
    File,
    Space,
}

thread_local! {
    static PLAN: RefCell<Arc<Mutex<Plan>>> = RefCell::default();
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
    static LEAK: Cell<Option<Leak>> = const { Cell::new(None) };
    #[cfg(shuttle)]
    static BEFORE: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
}

/// Plans a fault for the calls of this thread from now on.
pub(crate) fn arm(fault: Fault) {
    arm_both(fault, None);
}

/// Plans a fault, and another that counts its calls from the first that failed.
pub(crate) fn arm_both(first: Fault, second: Option<Fault>) {
    with_plan(|plan| {
        *plan = Plan {
            first: Some(first),
            second,
            ..Plan::default()
        }
    });
}

/// Returns the plan of this thread, for another one to [`join`].
pub(crate) fn share() -> Arc<Mutex<Plan>> {
    PLAN.with_borrow(Arc::clone)
}

/// Makes the calls of this thread count, and fail, as those of the thread that shares its plan.
pub(crate) fn join(plan: Arc<Mutex<Plan>>) {
    PLAN.set(plan);
}

fn with_plan<R>(work: impl FnOnce(&mut Plan) -> R) -> R {
    let plan = share();
    let mut locked = plan.lock().unwrap_or_else(PoisonError::into_inner);
    work(&mut locked)
}

/// Ends the plan; returns the number of calls, and how many of them met the fault.
pub(crate) fn disarm() -> (usize, usize) {
    let seen = disarm_both();
    (seen.calls, seen.met)
}

/// Ends the plan.
pub(crate) fn disarm_both() -> Seen {
    with_plan(|plan| std::mem::take(plan).seen)
}

/// Returns the results of the plan so far.
pub(crate) fn seen() -> Seen {
    with_plan(|plan| plan.seen)
}

/// Runs outside of the plan: calls and opened objects neither count nor fail.
pub(crate) fn aside<R>(work: impl FnOnce() -> R) -> R {
    let (plan, watch, leak) = (PLAN.take(), WATCH.take(), LEAK.take());
    let result = work();
    PLAN.set(plan);
    WATCH.set(watch);
    LEAK.set(leak);
    result
}

/// Runs `work` before each call of this thread, until told otherwise.
#[cfg(shuttle)]
pub(crate) fn before_each_call(work: Option<Rc<dyn Fn()>>) {
    BEFORE.set(work);
}

/// Counts one call and returns its outcome.
pub(super) fn next(can_lie: bool) -> Option<Outcome> {
    #[cfg(shuttle)]
    if let Some(work) = BEFORE.with_borrow(Option::clone) {
        work();
    }
    with_plan(|plan| {
        let first = plan.first?;
        if first.outcome == Outcome::Lie && !can_lie {
            return None;
        }
        let call = plan.seen.calls;
        plan.seen.calls += 1;
        let hits = |fault: Fault, call| call == fault.after || (fault.sticky && call > fault.after);
        let since = plan.second_from.and_then(|from| call.checked_sub(from));
        let second = plan.second.zip(since);
        let second = second.filter(|(fault, since)| hits(*fault, *since));
        if let Some((fault, _since)) = second {
            plan.seen.met += 1;
            plan.seen.met_second += 1;
            return Some(fault.outcome);
        }
        if hits(first, call) {
            plan.seen.met += 1;
            plan.second_from.get_or_insert(call + 1);
            return Some(first.outcome);
        }
        None
    })
}

/// Returns the system's answer that an error number of Linux stands for.
pub(crate) fn answer(errno: i32) -> io::Error {
    if cfg!(not(windows)) {
        return io::Error::from_raw_os_error(errno);
    }
    match errno {
        1 => io::ErrorKind::PermissionDenied.into(),
        2 => io::Error::from_raw_os_error(2),
        4 => io::ErrorKind::Interrupted.into(),
        11 => io::ErrorKind::WouldBlock.into(),
        38 | 95 => io::ErrorKind::Unsupported.into(),
        // Not found has the same number. Then not enough memory, invalid parameter, file too large, disk
        // full, quota exceeded; and any other is an error of the device.
        12 => io::Error::from_raw_os_error(8),
        22 => io::Error::from_raw_os_error(87),
        27 => io::Error::from_raw_os_error(223),
        28 => io::Error::from_raw_os_error(112),
        122 => io::Error::from_raw_os_error(1295),
        _ => io::Error::from_raw_os_error(1117),
    }
}

/// For calls that succeed or fail as a whole.
pub(super) fn check() -> io::Result<()> {
    whole(false).map(drop)
}

/// For calls that succeed or fail as a whole; returns whether to make the call.
pub(super) fn whole(can_lie: bool) -> io::Result<bool> {
    match next(can_lie) {
        Some(Outcome::Errno(errno) | Outcome::HalfThenErrno(errno)) => Err(answer(errno)),
        Some(Outcome::Lie) => Ok(false),
        Some(Outcome::Short | Outcome::Zero | Outcome::Astray) | None => Ok(true),
    }
}

/// How much of a transfer to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Transfer {
    /// Move this number of bytes.
    Do(usize),
    /// Move none, and report this number.
    Say(usize),
}

/// For transfers of `len` bytes.
pub(super) fn transfer(len: usize, can_lie: bool) -> io::Result<Transfer> {
    match next(can_lie) {
        Some(Outcome::Errno(errno)) => Err(answer(errno)),
        Some(Outcome::HalfThenErrno(_) | Outcome::Short) => {
            Ok(Transfer::Do((len / 2).max(1).min(len)))
        }
        Some(Outcome::Zero) => Ok(Transfer::Say(0)),
        Some(Outcome::Lie) => Ok(Transfer::Say(len)),
        Some(Outcome::Astray) | None => Ok(Transfer::Do(len)),
    }
}

/// Counts the files and the ranges of addresses that a thread created and that exist, no matter
/// where they are now.
#[derive(Debug)]
struct Watch {
    files: Arc<()>,
    spaces: Arc<()>,
}

/// Starts to count, from zero.
pub(crate) fn watch() {
    let watch = Watch {
        files: Arc::new(()),
        spaces: Arc::new(()),
    };
    WATCH.set(Some(watch));
}

/// Ends the count: returns how many files, including directories, and how many ranges of addresses
/// exist.
pub(crate) fn unwatch() -> (usize, usize) {
    let watch = WATCH.take().unwrap();
    let others = |count: &Arc<()>| Arc::strong_count(count) - 1;
    (others(&watch.files), others(&watch.spaces))
}

/// Plants a leak: the next object of this kind that this thread drops is not released.
pub(crate) fn plant(leak: Option<Leak>) {
    LEAK.set(leak);
}

/// Returns the thread's count of this kind.
fn mark(kind: Leak) -> Option<Arc<()>> {
    WATCH.with_borrow(|watch| {
        let watch = watch.as_ref()?;
        Some(Arc::clone(match kind {
            Leak::File => &watch.files,
            Leak::Space => &watch.spaces,
        }))
    })
}

/// An object of the system that counts for as long as it exists.
#[derive(Debug)]
pub(super) struct Counted<T> {
    value: Option<T>,
    kind: Leak,
    mark: Option<Arc<()>>,
}

impl<T> Counted<T> {
    pub(super) fn file(file: T) -> Self {
        Self::new(file, Leak::File)
    }

    pub(super) fn space(space: T) -> Self {
        Self::new(space, Leak::Space)
    }

    fn new(value: T, kind: Leak) -> Self {
        let mark = mark(kind);
        Self {
            value: Some(value),
            kind,
            mark,
        }
    }

    /// Creates another object of the same file.
    pub(super) fn beside<U>(&self, value: U) -> Counted<U> {
        Counted {
            value: Some(value),
            kind: self.kind,
            mark: mark(self.kind).or_else(|| self.mark.clone()),
        }
    }

    pub(super) fn map<U>(mut self, change: impl FnOnce(T) -> U) -> Counted<U> {
        let changed = self.value.take().map(change);
        Counted {
            value: changed,
            kind: self.kind,
            mark: self.mark.take(),
        }
    }
}

impl<T> Deref for Counted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().unwrap()
    }
}

impl<T> Drop for Counted<T> {
    fn drop(&mut self) {
        let planted = LEAK.try_with(Cell::get).ok().flatten();
        if self.value.is_some() && planted == Some(self.kind) {
            LEAK.set(None);
            let _open_for_ever = ManuallyDrop::new((self.value.take(), self.mark.take()));
        }
    }
}
