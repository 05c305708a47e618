//! SIGINT, SIGTERM and SIGHUP: one line, the exit code of shells, and nothing left behind.
//!
//! Scratch files and outputs have no name until they are complete, so a process can end
//! at any moment. The exception is a file that is taking its name, or had to have one.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::failure::{Failure, Result};

/// What is added to the number of a signal, as shells do.
const CODE_BASE: i32 = 128;

/// Files to be removed if a signal comes.
static NAMES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Ends the process when a signal asks for it, and lets writes past the limit on the length of
/// files fail, which would end it without a word otherwise.
///
/// # Errors
///
/// The system does not let us.
pub(crate) fn watch() -> Result<()> {
    let refused = |answer: io::Error| Failure::new(format!("cannot wait for signals: {answer}"));
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map_err(refused)?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(refused)?;
    let watcher = std::thread::Builder::new().name("signals".to_owned());
    let watcher = watcher.spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // The lock is kept: no file gets a name from now on.
            let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
            for name in names.iter() {
                std::fs::remove_file(name).ok();
            }
            writeln!(io::stderr(), "outcore: stopped by a signal").ok();
            std::process::exit(CODE_BASE + signal);
        }
    });
    watcher.map(drop).map_err(refused)
}

/// Does something that no signal may come into. Files whose names `work` leaves in the
/// list are removed if one comes later.
pub(crate) fn undisturbed<T>(work: impl FnOnce(&mut Vec<PathBuf>) -> T) -> T {
    work(&mut NAMES.lock().unwrap_or_else(PoisonError::into_inner))
}
