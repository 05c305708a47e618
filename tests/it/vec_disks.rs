//! Every method that makes a vector grow, on small disks that become full: an error and never a
//! signal, no loss, no space kept, and work continues when there is space again.
//!
//! Each disk has a separate process, so that a signal is a failed assertion.

use std::fs;
use std::path::Path;
use std::process::Command;

use outcore::{DiskVec, ErrorKind, Result, ScratchDir};

use crate::support::libc::{Resource, set_limit};
use crate::support::process::child;
use crate::support::test_name;
use crate::support::tmpfs::{on_ext4, on_tmpfs, ram};

const MIB: u64 = 1 << 20;

/// How much the metadata of a real disk may differ.
const EXT4_SLACK: u64 = 64 << 10;

#[test]
fn a_full_tmpfs_of_8_mib_is_an_error_for_every_method() {
    on_tmpfs(test_name!(), 8 * MIB, |path| fill_with_each(path, 0, 1));
}

/// ext4 leaves a file half grown when the disk is full (linux-facts G3).
#[test]
fn a_full_ext4_of_16_mib_is_an_error_for_every_method() {
    on_ext4(test_name!(), 16 * MIB, |path| {
        fill_with_each(path, EXT4_SLACK, 1);
    });
}

#[test]
fn a_full_ext4_of_64_mib_is_an_error_for_every_kind_of_method() {
    on_ext4(test_name!(), 64 * MIB, |path| {
        fill_with_each(path, EXT4_SLACK, 3);
    });
}

/// The page cache writes and reads ahead in folios of many pages. In an allocator, a folio reached
/// from a block into the hole behind it, and the first store into the folio had to allocate space
/// for all of it: `SIGBUS` on a full disk. Here the hole is before the elements.
#[test]
fn stores_beside_a_front_that_was_given_back_find_their_space_on_a_full_disk() {
    on_ext4(test_name!(), 64 * MIB, |path| {
        let dir = ScratchDir::new(path).unwrap();
        let fronts = [(1 << 20) + 8192, (3 << 20) + 4096, (4 << 20) + (28 << 10)];
        for (front, evicted) in fronts
            .into_iter()
            .flat_map(|front| [(front, true), (front, false)])
        {
            let mut bytes = DiskVec::new_in(&dir);
            bytes.resize(9 << 20, 1_u8).unwrap();
            let claimed = bytes.disk_bytes();
            bytes.truncate_front(front);
            let kept = u64::try_from(bytes.len()).unwrap() + 2 * MIB;
            assert!(bytes.disk_bytes() <= kept.min(claimed), "{front}");
            if evicted {
                bytes.evict(..).unwrap();
            }
            // In order, which triggers the kernel's read-ahead.
            assert!(bytes.iter().all(|byte| *byte == 1), "{front}");
            let mut filler = DiskVec::new_in(&dir);
            while filler.reserve_exact(filler.capacity() + 4096).is_ok() {
                filler.resize(filler.capacity(), 0_u8).unwrap();
            }
            bytes.fill(2);
            bytes.evict(..).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 2), "{front}");
        }
    });
}

/// Past `RLIMIT_FSIZE` the kernel sends `SIGXFSZ`, which kills.
#[test]
fn a_file_size_limit_is_an_error_and_no_signal() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    set_limit(Resource::FileSize, MIB + 4096);
    let dir = crate::support::disk();
    // Methods that make many vectors make short files.
    let with_one_file = |method: &Method| !["with_capacity_in", "try_clone"].contains(&method.name);
    for method in METHODS.into_iter().filter(with_one_file) {
        let mut full = Full::new(&dir);
        let refused = (0..1 << 20).find_map(|_| (method.grow)(&mut full).err());
        if let Some(refused) = refused {
            assert_eq!(refused.kind(), ErrorKind::FileTooLarge, "{}", method.name);
        } else {
            panic!("{}: no limit was met", method.name);
        }
        full.check(method.name);
        assert!(full.vec.disk_bytes() <= MIB + 4096, "{}", method.name);
    }
}

/// A vector normally reserves far more addresses than such a limit allows.
#[test]
fn a_vector_of_200_mib_fits_into_1_gib_of_addresses() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    set_limit(Resource::AddressSpace, 1 << 30);
    let mut numbers = DiskVec::new_in(&crate::support::disk());
    let mut moves = 0;
    while numbers.len() < 25 << 20 {
        let (start, address) = (numbers.len() as u64, numbers.as_ptr());
        let more: Vec<u64> = (start..start + (1 << 18)).collect();
        numbers.extend_from_slice(&more).unwrap();
        moves += usize::from(numbers.as_ptr() != address);
    }
    let wrong = (0..).zip(&numbers).filter(|(index, found)| index != *found);
    assert_eq!(wrong.count(), 0, "after {moves} moves");
}

/// Fills the disk with every `thinned`-th method alone.
fn fill_with_each(path: &Path, slack: u64, thinned: usize) {
    for method in METHODS.into_iter().step_by(thinned) {
        fill(path, slack, &method);
    }
}

fn fill(path: &Path, slack: u64, method: &Method) {
    let name = method.name;
    let dir = ram(path);
    let empty = free_bytes(path);
    let filler = path.join("filler");
    fs::write(&filler, vec![1; 1 << 20]).unwrap();
    sync(path, slack);
    let with_filler = free_bytes(path);
    let mut full = Full::new(&dir);
    let refused = loop {
        let before = method.coarse.then(|| free_bytes(path));
        if let Err(refused) = (method.grow)(&mut full) {
            if let Some(before) = before.filter(|_before| method.all_or_nothing) {
                let after = free_bytes(path);
                assert!(
                    before.abs_diff(after) <= slack,
                    "{name}: {after} free instead of {before}, {refused}"
                );
            }
            break refused;
        }
    };
    assert_eq!(refused.kind(), ErrorKind::StorageFull, "{name}: {refused}");
    assert_eq!(refused.path(), Some(path), "{name}: {refused}");
    full.check(name);
    let full_at = full.vec.len();
    for _ in 0..3 {
        let before = free_bytes(path);
        let again = (method.grow)(&mut full);
        assert_eq!(
            again.unwrap_err().kind(),
            ErrorKind::StorageFull,
            "{name}: again"
        );
        let after = free_bytes(path);
        assert!(
            before.abs_diff(after) <= slack,
            "{name}: {after} free instead of {before}"
        );
        full.check(name);
    }
    let taken = with_filler - free_bytes(path);
    let used = dir.used_bytes();
    assert!(
        taken <= used + slack,
        "{name}: {taken} bytes taken, {used} claimed"
    );
    assert!(
        with_filler - taken < empty / 2,
        "{name}: full with {taken} of {empty} bytes"
    );
    fs::remove_file(&filler).unwrap();
    sync(path, slack);
    (method.grow)(&mut full).unwrap();
    full.check(name);
    assert!(full.vec.len() >= full_at, "{name}");
    drop(full);
    assert_eq!(dir.used_bytes(), 0, "{name}");
    let after = free_bytes(path);
    assert!(after.abs_diff(empty) <= slack, "{name}: {after} of {empty}");
}

/// Returns the free bytes, including those reserved for root.
fn free_bytes(path: &Path) -> u64 {
    let mut stat = Command::new("stat");
    let output = stat.args(["-f", "-c", "%f %S"]).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (blocks, size) = text.trim().split_once(' ').unwrap();
    blocks.parse::<u64>().unwrap() * size.parse::<u64>().unwrap()
}

/// Waits until the file system has completed its delayed work, if it delays any.
fn sync(path: &Path, slack: u64) {
    if slack == 0 {
        return;
    }
    let synced = Command::new("sync").arg("-f").arg(path).status();
    assert!(synced.unwrap().success());
}

/// Vectors that fill a disk together.
struct Full {
    dir: ScratchDir,
    vec: DiskVec<u64>,
    model: Vec<u64>,
    others: Vec<DiskVec<u64>>,
}

struct Method {
    name: &'static str,
    /// Whether one call takes so much that the free space can be checked before each.
    coarse: bool,
    all_or_nothing: bool,
    grow: fn(&mut Full) -> Result<()>,
}

const METHODS: [Method; 10] = [
    method("push", false, |full| {
        full.vec.push(1)?;
        full.model.push(1);
        Ok(())
    }),
    method("insert", false, |full| {
        let at = full.model.len().saturating_sub(5);
        let value = full.model.len() as u64;
        full.vec.insert(at, value)?;
        full.model.insert(at, value);
        Ok(())
    }),
    method("extend_from_slice", true, |full| {
        let more: Vec<u64> = (0..50_000).collect();
        full.vec.extend_from_slice(&more)?;
        full.model.extend(more);
        Ok(())
    }),
    Method {
        name: "try_extend",
        coarse: true,
        all_or_nothing: false,
        grow: |full| {
            let extended = full.vec.try_extend(0..100_000);
            let appended = full.vec.len() - full.model.len();
            full.model.extend(0..appended as u64);
            extended
        },
    },
    method("resize", true, |full| {
        let len = full.model.len() + 60_000;
        full.vec.resize(len, 3)?;
        full.model.resize(len, 3);
        Ok(())
    }),
    method("resize_with", true, |full| {
        let len = full.model.len() + 60_000;
        let mut next = 0;
        let make = || {
            next += 1;
            next
        };
        full.vec.resize_with(len, make)?;
        full.model.extend(1..=60_000);
        Ok(())
    }),
    method("reserve", true, |full| {
        if full.vec.is_empty() {
            full.vec.push(5)?;
            full.model.push(5);
        }
        full.vec.reserve(full.vec.capacity() + 10_000)
    }),
    method("with_capacity_in", true, |full| {
        let other = DiskVec::with_capacity_in(100_000, &full.dir)?;
        full.others.push(other);
        Ok(())
    }),
    method("append", true, |full| {
        let mut other = DiskVec::new_in(&full.dir);
        other.try_extend(0..8192)?;
        let appended = full.vec.append(&mut other);
        let left = if appended.is_ok() { 0 } else { 8192 };
        assert_eq!(other.len(), left);
        appended?;
        full.model.extend(0..8192);
        Ok(())
    }),
    method("try_clone", true, |full| {
        if full.vec.is_empty() {
            full.vec.try_extend(0..100_000)?;
            full.model.extend(0..100_000);
        }
        let clone = full.vec.try_clone()?;
        full.others.push(clone);
        Ok(())
    }),
];

const fn method(name: &'static str, coarse: bool, grow: fn(&mut Full) -> Result<()>) -> Method {
    Method {
        name,
        coarse,
        all_or_nothing: true,
        grow,
    }
}

impl Full {
    fn new(dir: &ScratchDir) -> Self {
        Self {
            dir: dir.clone(),
            vec: DiskVec::new_in(dir),
            model: Vec::new(),
            others: Vec::new(),
        }
    }

    #[track_caller]
    fn check(&self, name: &str) {
        assert!(self.vec == self.model, "{name}: the elements differ");
        for other in &self.others {
            assert!(other.is_empty() || *other == self.vec, "{name}: a clone");
        }
    }
}
