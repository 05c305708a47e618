//! States that cannot occur: the one way to report them.
//!
//! What the system, a file or a caller can cause is an [`Error`](crate::Error), never this.

use std::fmt;

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

#[cfg(test)]
mod tests {
    #[test]
    #[should_panic(expected = "bug in outcore: byte 7 of 5")]
    fn a_bug_says_whose_it_is() {
        bug!("byte {} of 5", 7);
    }
}
