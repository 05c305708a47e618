//! `outcore verify`: whether all bytes of sealed files are those that were written.

use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};

use outcore::sealed::SealedFile;

use crate::failure::{Failure, Result, shown};

/// Read sealed files, and verify every byte of them
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The files
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// Runs the command. All files are verified, also after one was found to be damaged.
///
/// # Errors
///
/// A file cannot be read, is no sealed file, or is damaged: the message says where the first of them
/// is. Standard output cannot be written.
pub(crate) fn run(args: &VerifyArgs) -> Result<()> {
    let mut first = None;
    let mut bad: usize = 0;
    for path in &args.files {
        let name = shown(path);
        match verify(path, &name) {
            Ok(bytes) => print(&format!("{name}: ok, {bytes} bytes\n"))?,
            Err(refused) => {
                print(&format!("{name}: BAD\n"))?;
                bad = bad.saturating_add(1);
                first.get_or_insert(refused);
            }
        }
    }
    let Some(first) = first else { return Ok(()) };
    if bad == 1 {
        return Err(first.into());
    }
    let message = format!(
        "{bad} of {} files are bad; the first: {first}",
        args.files.len()
    );
    Err(Failure::new(message))
}

/// Verifies a file, and returns its length.
fn verify(path: &Path, name: &str) -> outcore::Result<u64> {
    let file = SealedFile::open(path)?;
    let all = file.file_bytes();
    let mut stderr = io::stderr();
    let is_shown = stderr.is_terminal();
    let mut last = 0;
    let verified = file.verify(|done| {
        let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100);
        if is_shown && percent != last {
            last = percent;
            // Progress that cannot be shown is no failure.
            write!(stderr, "\r{name}: {percent} %\x1b[K").ok();
        }
    });
    if last > 0 {
        write!(stderr, "\r\x1b[K").ok();
    }
    verified.map(|()| all)
}

fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    written
        .and_then(|()| stdout.flush())
        .map_err(|answer| Failure::write("standard output", &answer))
}
