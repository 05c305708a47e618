//! Work that several threads share.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Builder};

use crate::bug::bug;
use crate::error::Result;

/// Whether to stop because another thread has failed.
#[derive(Debug, Default)]
pub(super) struct Stop(AtomicBool);

impl Stop {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Stops the others when the work of its thread panics. That the thread is panicking says nothing: the
/// caller may have begun all of the work while it was.
struct Watch<'a> {
    stop: &'a Stop,
    has_ended: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.stop.0.store(true, Relaxed);
        }
    }
}

/// Runs `work` once for each number below `count`, in as many threads as the system permits,
/// including the caller's. Returns an error that one of them met. A panic of one is resumed in the
/// caller after all have ended.
pub(super) fn on_threads(
    count: usize,
    work: &(dyn Fn(usize, &Stop) -> Result<()> + Sync),
) -> Result<()> {
    let stop = Stop::default();
    let run = |number| {
        let mut watch = Watch {
            stop: &stop,
            has_ended: false,
        };
        let done = work(number, &stop);
        watch.has_ended = done.is_ok();
        drop(watch);
        done
    };
    let run = &run;
    thread::scope(|scope| {
        let mut threads = Vec::new();
        let mut left = Vec::new();
        for number in 1..count {
            let thread = Builder::new().name("outcore-external".to_owned());
            match thread.spawn_scoped(scope, move || run(number)) {
                Ok(thread) => threads.push(thread),
                Err(_refused) => left.push(number),
            }
        }
        let mut done = run(0);
        for number in left {
            done = done.and(run(number));
        }
        for thread in threads {
            match thread.join() {
                Ok(other) => done = done.and(other),
                Err(panic) => resume_unwind(panic),
            }
        }
        if done.is_ok() && stop.is_set() {
            // What is left undone would be taken for done.
            bug!("work was stopped, and no thread has failed");
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::error::{Error, ErrorKind};

    #[test]
    fn each_number_is_worked_on_once() {
        let sum = AtomicUsize::new(0);
        on_threads(9, &|number, _stop| {
            sum.fetch_add(1 << number, Relaxed);
            Ok(())
        })
        .unwrap();
        assert_eq!(sum.into_inner(), (1 << 9) - 1);
    }

    /// A value that sorts in its destructor may be dropped by a panic. The end of a thread's part was
    /// taken for a panic then, since its thread was panicking: the other threads left their parts
    /// undone, and all of it was taken for done.
    #[test]
    fn work_that_begins_while_a_panic_unwinds_is_done_whole() {
        struct Late<'a>(&'a AtomicUsize);
        impl Drop for Late<'_> {
            fn drop(&mut self) {
                let done = on_threads(3, &|number, stop| {
                    // Long enough for the first to end.
                    for _ in 0..number * 10_000 {
                        thread::yield_now();
                        if stop.is_set() {
                            return Ok(());
                        }
                    }
                    self.0.fetch_add(1, Relaxed);
                    Ok(())
                });
                assert!(done.is_ok(), "nothing failed");
            }
        }
        let ended = AtomicUsize::new(0);
        let unwound = std::panic::catch_unwind(|| {
            let _late = Late(&ended);
            resume_unwind(Box::new("as planned"));
        });
        assert!(unwound.is_err(), "it panics");
        assert_eq!(ended.into_inner(), 3);
    }

    #[test]
    fn an_error_stops_the_others_and_comes_back() {
        let failed = on_threads(3, &|number, stop| {
            if number == 2 {
                return Err(Error::refused(ErrorKind::Io, "test", "two"));
            }
            while !stop.is_set() {
                thread::yield_now();
            }
            Ok(())
        });
        assert!(failed.unwrap_err().to_string().ends_with("two"));
    }

    #[test]
    #[should_panic(expected = "number one")]
    fn a_panic_stops_the_others_and_goes_on() {
        let _done = on_threads(3, &|number, stop| {
            assert!(number != 1, "number one");
            while !stop.is_set() {
                thread::yield_now();
            }
            Ok(())
        });
    }
}
