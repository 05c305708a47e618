//! Which limit it was that the system refused something for, and what to do.

use crate::error::{Error, ErrorKind};
use crate::sys;

/// Adds to an error which limit was reached, where that can be known.
#[cold]
pub(crate) fn explain(error: Error) -> Error {
    match remedy_of(&error) {
        Some(remedy) => error.with_remedy(remedy),
        None => error,
    }
}

fn remedy_of(error: &Error) -> Option<String> {
    if error.io_error().is_some_and(sys::is_out_of_files) {
        let limit = sys::open_file_limit()?;
        return Some(format!(
            "RLIMIT_NOFILE allows {limit} open files, and each vector of more than 64 KiB is one: \
             raise it (ulimit -n), or have fewer"
        ));
    }
    if error.kind() != ErrorKind::OutOfMemory {
        return None;
    }
    if let Some(limit) = sys::reached_mapping_limit() {
        return Some(format!(
            "vm.max_map_count allows {limit} mappings, and each vector of more than 64 KiB takes \
             three: raise it (sysctl -w vm.max_map_count=262144), or have fewer"
        ));
    }
    let limit = sys::address_limit()?;
    Some(format!(
        "RLIMIT_AS allows {limit} bytes of addresses: raise it (ulimit -v)"
    ))
}
