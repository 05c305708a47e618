//! What can befall sealed files: each byte changed, each length, blocks and ends of other files, and
//! calls of the system that fail. It has to be noticed, and nothing wrong may be read.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{fs, process};

use crate::error::{Error, ErrorKind, Result};
use crate::format::read::Sealed;
use crate::format::write::BLOCK_BYTES;
use crate::format::{DATA_START, PAGE_BYTES};
use crate::sys::fault::{Fault, Outcome, arm, disarm};

/// Returns a path for a file of a test, in memory where that is possible.
pub(crate) fn new_path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let memory = Path::new("/dev/shm");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let base = if memory.is_dir() { memory } else { &target };
    let number = NEXT.fetch_add(1, Relaxed);
    base.join(format!("outcore-format-{}-{number}", process::id()))
}

/// Opens a file that has these bytes, reads all of it in every way, and verifies it: returns the
/// refusal of `open` or of `verify`. What can be read is compared with what was written, and a
/// difference is a panic.
pub(crate) type Reader<'a> = &'a dyn Fn(&[u8]) -> Result<()>;

/// Returns a part of a file as an index.
fn index(byte: u64) -> usize {
    usize::try_from(byte).unwrap()
}

/// Checks that a change of a file is noticed.
pub(crate) fn check(read: Reader<'_>, bytes: &[u8], what: &str) {
    let refused: Error = read(bytes).expect_err(what);
    let kind = refused.kind();
    assert!(kind == ErrorKind::Corrupt, "{what}: {refused}");
}

/// Changes each byte of a file in turn.
pub(crate) fn each_byte(read: Reader<'_>, bytes: &[u8]) {
    let ends = index(2 * PAGE_BYTES + 2 * u64::from(BLOCK_BYTES));
    assert!(bytes.len() > ends, "more than two blocks of data");
    read(bytes).unwrap();
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() {
        for mask in [1 << (at % 8), 0xFF] {
            bytes[at] ^= mask;
            check(read, &bytes, &format!("byte {at} changed by {mask:02x}"));
            bytes[at] ^= mask;
        }
    }
}

/// Cuts a file at each length, and makes it longer.
pub(crate) fn each_length(read: Reader<'_>, bytes: &[u8]) {
    for len in 0..bytes.len() {
        check(read, &bytes[..len], &format!("cut to {len} bytes"));
    }
    for more in [1, 8, 64, 4096] {
        let longer = [bytes, &vec![0; more]].concat();
        check(read, &longer, &format!("{more} bytes more"));
    }
}

/// Mixes a file with another one that has the same data, of two blocks and a part of a third, and
/// another id.
pub(crate) fn foreign_blocks(read: Reader<'_>, bytes: &[u8], other: &[u8]) {
    let (start, block) = (index(DATA_START), index(u64::from(BLOCK_BYTES)));
    assert!(bytes.len() == other.len() && bytes != other, "another id");
    read(other).unwrap();
    for number in 0..2 {
        let place = start + number * block..start + (number + 1) * block;
        assert!(bytes[place.clone()] == other[place], "the same data");
        // With its checksum, it is a block of the other file all the same.
        let sum = bytes.len() - index(PAGE_BYTES) - 4 * 8 + number * 8;
        let mut mixed = bytes.to_vec();
        mixed[sum..sum + 8].copy_from_slice(&other[sum..sum + 8]);
        check(read, &mixed, "a checksum of another file");
    }
    let mut exchanged = bytes.to_vec();
    exchanged[start..start + 2 * block].rotate_left(block);
    check(read, &exchanged, "two blocks exchanged");
    // A whole end of another file has another description than the head.
    let cut = bytes.len() - index(PAGE_BYTES);
    check(
        read,
        &[&bytes[..cut], &other[cut..]].concat(),
        "another tail",
    );
    check(
        read,
        &[&other[..start], &bytes[start..]].concat(),
        "another head",
    );
}

/// Makes each call of the system fail in turn while a file is written to a path, opened and read:
/// nothing but the whole file ever has the name, and an error names it.
pub(crate) fn each_failing_call(life: &dyn Fn(&Path) -> Result<()>) {
    let outcomes = [
        Outcome::Errno(5),
        Outcome::Errno(28),
        Outcome::Short,
        Outcome::Zero,
    ];
    let mut met_all = 0;
    for outcome in outcomes {
        for after in 0.. {
            let path = new_path();
            arm(Fault {
                after,
                sticky: false,
                outcome,
            });
            let done = life(&path);
            let (_calls, met) = disarm();
            if let Err(refused) = done {
                assert_eq!(refused.path(), Some(path.as_path()), "{refused}");
            }
            if path.exists() {
                let sealed = Sealed::open(&path).unwrap();
                sealed.verify(&mut |_bytes| {}).unwrap();
                fs::remove_file(path).unwrap();
            }
            if met == 0 {
                break;
            }
            met_all += met;
        }
    }
    assert!(met_all > 60, "{met_all}");
}
