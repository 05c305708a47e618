//! States that cannot occur: the one way to report them.
//!
//! What the system, a file or a caller can cause is an [`Error`](crate::Error), never this.

use std::fmt;
use std::mem::ManuallyDrop;
use std::process;

/// Ends the operation with a panic that reports a bug of this crate. Takes what [`format!`] takes.
macro_rules! bug {
    ($($what:tt)+) => {
        $crate::bug::report(format_args!($($what)+))
    };
}
pub(crate) use bug;

/// Panics: see [`bug!`].
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn report(what: fmt::Arguments<'_>) -> ! {
    panic!("bug in outcore: {what}")
}

/// Does something, and ends the process if that panics: the caller of a global allocator would not
/// expect it to unwind.
#[inline]
pub(crate) fn without_unwinding<R>(work: impl FnOnce() -> R) -> R {
    let guard = Abort;
    let result = work();
    let _unused = ManuallyDrop::new(guard);
    result
}

/// Ends the process when it is dropped.
struct Abort;

impl Drop for Abort {
    #[cold]
    fn drop(&mut self) {
        process::abort();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[should_panic(expected = "bug in outcore: byte 7 of 5")]
    fn a_bug_says_whose_it_is() {
        bug!("byte {} of 5", 7);
    }
}
