//! Work that several threads share.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Builder};

use crate::error::Result;

/// Whether to stop because another thread has failed.
#[derive(Debug, Default)]
pub(super) struct Stop(AtomicBool);

impl Stop {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Stops the others when its thread panics.
struct Watch<'a>(&'a Stop);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.0.store(true, Relaxed);
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
        let watch = Watch(&stop);
        let done = work(number, &stop);
        if done.is_err() {
            stop.0.store(true, Relaxed);
        }
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
