//! What has the name that a file will get: found through links, and examined before anything is made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::io::file::OwnedFile;
use crate::io::place::{CREATE, Place};
use crate::io::refusal::{self, Op};
use crate::io::stats;
use crate::sys::{Facts, retry};

/// Permission bits that are kept: not set-user-ID, set-group-ID and sticky.
const MODE_MASK: u32 = 0o777;

/// The links that are followed. Linux follows as many.
const LINKS_MAX: usize = 40;

/// Returns the place of a path, and what the system notes about the file there, which can be replaced.
pub(super) fn examine(target: &Path) -> Result<(Place, Option<Facts>)> {
    let place = Place::new(CREATE, target)?;
    let replaced = place.facts()?;
    if let Some(facts) = &replaced {
        if !facts.is_regular {
            let reason = "it is no regular file, so it cannot be replaced";
            return Err(refusal(reason, target));
        }
        // A rename would not ask.
        place.check_writable("replace")?;
    }
    Ok((place, replaced))
}

/// Gives a file the owner and the mode of the one that it will replace, before it has the name.
pub(super) fn keep_permissions(file: &OwnedFile, replaced: Facts, target: &Path) -> Result<()> {
    let sys = file.sys();
    let failed = |refused: refusal::Refusal| refused.of_file(CREATE, target);
    let own = refusal::retry(Op::Create, || sys.facts()).map_err(failed)?;
    let mut mode = replaced.mode & MODE_MASK;
    // Refusals are expected, and documented.
    if own.group != replaced.group {
        let kept = retry(|| sys.set_owner(None, Some(replaced.group)));
        if kept.is_err() {
            mode = without_group(mode);
        }
    }
    if own.user != replaced.user {
        let _kept = retry(|| sys.set_owner(Some(replaced.user), None));
    }
    if own.mode & MODE_MASK == mode {
        return Ok(());
    }
    refusal::retry(Op::Create, || sys.set_mode(mode)).map_err(failed)
}

/// Takes from the group what not all users may do.
pub(super) fn without_group(mode: u32) -> u32 {
    let all = (mode & 0o007) << 3;
    mode & (!0o070 | all)
}

/// Returns the path without links in its last part: where the file is that will be replaced or made.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    let failed = |answer| {
        stats::failed();
        Error::io(CREATE, answer).at(path)
    };
    check_name(path, path)?;
    // Miri has no links, and asks for no files.
    if cfg!(miri) {
        return Ok(path.to_owned());
    }
    match fs::metadata(path) {
        // The links may lead to a file that has no name any more.
        Ok(_found) => return fs::canonicalize(path).map_err(failed),
        Err(answer) if answer.kind() == io::ErrorKind::NotFound => {}
        Err(answer) => return Err(failed(answer)),
    }
    let mut target = path.to_owned();
    for _link in 0..LINKS_MAX {
        let Ok(next) = fs::read_link(&target) else {
            return Ok(target);
        };
        check_name(&next, path)?;
        target = parent(&target).join(next);
    }
    Err(refusal("there are too many symbolic links", path))
}

/// Refuses what does not end with the name of a file: with a slash, or with dots.
fn check_name(target: &Path, path: &Path) -> Result<()> {
    let name = target.file_name();
    let bytes = target.as_os_str().as_encoded_bytes();
    if name.is_some_and(|name| bytes.ends_with(name.as_encoded_bytes())) {
        return Ok(());
    }
    Err(refusal(
        "the path does not end with the name of a file",
        path,
    ))
}

/// Returns the directory that holds `target`.
fn parent(target: &Path) -> &Path {
    let parent = target.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

/// Adds what to do to an error, where that is not clear from it.
pub(super) fn advise(refused: Error, target: &Path) -> Error {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let kind = refused.io_error().map(io::Error::kind);
    if !matches!(kind, Some(PermissionDenied | ReadOnlyFilesystem)) {
        return refused;
    }
    let directory = parent(target).display();
    refused.with_remedy(format!(
        "the directory {directory} has to be readable and writable for a new file, and so has a \
         file that is replaced to be writable"
    ))
}

#[cold]
fn refusal(reason: &'static str, path: &Path) -> Error {
    stats::failed();
    Error::refused(ErrorKind::Io, CREATE, reason).at(path)
}
