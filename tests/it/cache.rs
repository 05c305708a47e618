//! What is in the page cache after each policy, on several file systems; and writers in a small memory
//! group. Unnamed files are found by the descriptors of the process, so each test has a process.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process;

use outcore::{Arena, AtomicFile, CachePolicy, DiskVec, Location, RangeFile, ScratchDir, stats};

use crate::support::libc::{cached_bytes, cached_pages, forbid_system_call, in_forked_child};
use crate::support::process::child;
use crate::support::tmpfs::{on_ext4, on_tmpfs, on_xfs, ram, with_private_mounts};
use crate::support::{new_dir, skipped, test_name};

const MIB: u64 = 1 << 20;

/// How much each test writes to a file: it fits on the small disks, and into every share.
const LEN: u64 = 48 * MIB;

/// What a policy of `Drop` may leave of one file: what is written back together, and what is not long
/// enough for that yet.
const LEFT: u64 = 12 * MIB;

fn open(path: &Path) -> Option<File> {
    OpenOptions::new().read(true).open(path).ok()
}

/// Returns all files without a name that this process has open.
fn unnamed() -> impl Iterator<Item = File> {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let paths = descriptors.map(|entry| entry.unwrap().path());
    let unnamed = paths.filter(|path| {
        let leads_to = fs::read_link(path);
        leads_to.is_ok_and(|file| file.to_string_lossy().ends_with(" (deleted)"))
    });
    unnamed.filter_map(|path| open(&path))
}

/// Returns the cached bytes of all files without a name that this process has open.
fn cached_of_unnamed() -> u64 {
    unnamed().map(|file| cached_bytes(&file)).sum()
}

/// Waits for the device: what was written past the cache leaves it then.
fn settled(cached: impl Fn() -> u64) -> u64 {
    process::Command::new("sync").status().unwrap();
    (0..1000).map(|_| cached()).min().unwrap()
}

fn numbers() -> impl Iterator<Item = u64> {
    (0..LEN / 8).map(|number| number * 7)
}

fn items(arena: &Arena) -> Vec<Location> {
    let mut writer = arena.writer().unwrap();
    let item = |number: u64| number.to_le_bytes().repeat(128);
    let pushed = (0..LEN / 1024).map(|number| writer.push(item(number)).unwrap());
    let locations = pushed.collect();
    writer.finish().unwrap();
    locations
}

fn check(arena: &Arena, locations: &[Location]) {
    for (number, item) in arena.stream(locations.iter().copied()).enumerate() {
        assert!(item.unwrap() == (number as u64).to_le_bytes().repeat(128));
    }
}

/// Writes a vector, an arena and a named file by each policy, and looks at the cache. Where pages cannot
/// leave, as in a tmpfs, all of them stay.
fn each_policy(path: &Path, pages_leave: bool) {
    for policy in [CachePolicy::Auto, CachePolicy::Keep, CachePolicy::Drop] {
        let dir = ram(path).with_cache_policy(policy);
        assert_eq!(dir.cache_policy(), policy);
        let leaves = pages_leave && policy == CachePolicy::Drop;
        let judge = |what: &str, cached: u64| {
            let fits = if leaves {
                cached <= LEFT
            } else {
                cached >= LEN - MIB
            };
            assert!(fits, "{what}, {policy:?}: {cached} bytes are cached");
        };
        let mut vec = DiskVec::new_in(&dir);
        vec.try_extend(numbers()).unwrap();
        judge("a vector", settled(cached_of_unnamed));
        assert!(vec.scan().flatten().copied().eq(numbers()));
        drop(vec);

        let arena = Arena::new_in(&dir).unwrap();
        let locations = items(&arena);
        judge("an arena", settled(cached_of_unnamed));
        check(&arena, &locations);
        drop(arena);

        let name = path.join("published");
        let file = AtomicFile::create(&name).unwrap();
        file.set_cache_policy(policy);
        let bytes: Vec<u8> = numbers().flat_map(u64::to_le_bytes).collect();
        file.write_all_at(&bytes, 0).unwrap();
        file.publish().unwrap();
        let opened = open(&name).unwrap();
        judge("an atomic file", settled(|| cached_bytes(&opened)));
        assert!(fs::read(&name).unwrap() == bytes);
        drop(opened);

        let ranges = RangeFile::create(&name, LEN).unwrap();
        ranges.set_cache_policy(policy);
        for piece in bytes.chunks(64 << 10) {
            let mut range = ranges.allocate(piece.len() as u64).unwrap();
            range.write_all_at(piece, 0).unwrap();
            drop(range.freeze());
        }
        ranges.publish().unwrap();
        let opened = open(&name).unwrap();
        judge("a range file", settled(|| cached_bytes(&opened)));
        assert!(fs::read(&name).unwrap() == bytes);
        fs::remove_file(&name).unwrap();
    }
}

#[test]
fn each_policy_leaves_in_the_cache_what_it_says_on_ext4() {
    on_ext4(test_name!(), 192 * MIB, |path| each_policy(path, true));
}

#[test]
fn each_policy_leaves_in_the_cache_what_it_says_on_xfs() {
    on_xfs(test_name!(), |path| each_policy(path, true));
}

#[test]
fn on_a_tmpfs_all_stays_and_no_policy_is_an_error() {
    on_tmpfs(test_name!(), 192 * MIB, |path| each_policy(path, false));
}

/// The call that writes past the cache.
const PWRITEV2: u32 = if cfg!(target_arch = "x86_64") {
    328
} else {
    287
};

/// Kernels before 6.14 have no writes past the cache, and some filters of containers forbid the call.
fn each_policy_without_uncached_writes(test: &str, path: &Path, errno: u32) {
    match forbid_system_call(PWRITEV2, errno) {
        Ok(()) => each_policy(path, true),
        Err(refused) => skipped(test, format_args!("no filters: {refused}")),
    }
}

#[test]
fn each_policy_does_without_uncached_writes_on_ext4() {
    const EOPNOTSUPP: u32 = 95;
    on_ext4(test_name!(), 192 * MIB, |path| {
        each_policy_without_uncached_writes(test_name!(), path, EOPNOTSUPP);
    });
}

#[test]
fn each_policy_does_without_uncached_writes_on_xfs() {
    const EINVAL: u32 = 22;
    on_xfs(test_name!(), |path| {
        each_policy_without_uncached_writes(test_name!(), path, EINVAL);
    });
}

/// Without early write-back, dropping does what it can, and nothing is lost.
#[test]
fn what_is_written_is_right_where_early_write_back_is_forbidden() {
    const SYNC_FILE_RANGE: u32 = if cfg!(target_arch = "x86_64") {
        277
    } else {
        84
    };
    const EPERM: u32 = 1;
    with_private_mounts(test_name!(), || {
        for call in [SYNC_FILE_RANGE, PWRITEV2] {
            if let Err(refused) = forbid_system_call(call, EPERM) {
                return skipped(test_name!(), format_args!("no filters: {refused}"));
            }
        }
        let dir = ScratchDir::from_env().unwrap();
        let arena = Arena::new_in(&dir.with_cache_policy(CachePolicy::Drop)).unwrap();
        let locations = items(&arena);
        check(&arena, &locations);
    });
}

/// A memory control group of version 1 with this limit, that ends with the value.
struct Group(PathBuf);

impl Group {
    fn new(bytes: u64) -> Option<Self> {
        let text = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mut lines = text.lines().map(|line| line.splitn(3, ':'));
        let own = lines.find_map(|mut fields| {
            let controllers = fields.nth(1)?;
            let is_memory = controllers.split(',').any(|name| name == "memory");
            is_memory.then(|| fields.next()).flatten()
        })?;
        let name = format!("/sys/fs/cgroup/memory{own}/outcore-test-{}", process::id());
        fs::create_dir(&name).ok()?;
        let group = Self(name.into());
        fs::write(group.0.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
        Some(group)
    }

    /// Runs `work` with this process in the group.
    fn within(self, work: impl FnOnce()) {
        let enter = |path: &Path| fs::write(path.join("cgroup.procs"), process::id().to_string());
        enter(&self.0).unwrap();
        work();
        enter(self.0.parent().unwrap()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _left = fs::remove_dir(&self.0);
    }
}

/// Writes files that are longer than the share of a memory group, but fit into the group: the kernel
/// drops nothing. A file that is kept shows that.
fn beyond_the_share(path: &Path, pages_leave: bool) {
    let judge = |what: &str, policy: CachePolicy, pages: &[bool]| {
        let part = |mib: std::ops::Range<u64>| {
            let page = |mib: u64| usize::try_from(mib * MIB / 4096).unwrap();
            &pages[page(mib.start)..page(mib.end).min(pages.len())]
        };
        let count = |pages: &[bool]| pages.iter().filter(|is_cached| **is_cached).count();
        let bytes = count(pages) as u64 * 4096;
        if policy == CachePolicy::Keep || !pages_leave {
            assert!(bytes >= LEN - MIB, "{what}: {bytes} bytes are cached");
            return;
        }
        let stats = stats();
        assert!(stats.cache_share_bytes <= 32 * MIB, "{stats:?}");
        let most = stats.cache_share_bytes + 4 * MIB;
        assert!(bytes <= most, "{what}: {bytes} bytes are cached, {stats:?}");
        assert_eq!(count(part(0..8)), 0, "{what}: what came first");
        let last = part(LEN / MIB - 10..LEN / MIB - 2);
        assert_eq!(count(last), last.len(), "{what}: what came last");
    };
    for policy in [CachePolicy::Keep, CachePolicy::Auto] {
        let dir = ram(path).with_cache_policy(policy);
        let mut vec = DiskVec::new_in(&dir);
        let half = numbers().count() / 2;
        vec.try_extend(numbers().take(half)).unwrap();
        // Stores to pages of chunks that are dropped later.
        for index in (0..half).step_by(300) {
            vec[index] += 1;
        }
        vec.try_extend(numbers().skip(half)).unwrap();
        let expected = |(index, number): (usize, u64)| {
            let is_changed = index < half && index % 300 == 0;
            number + u64::from(is_changed)
        };
        assert!((vec.scan().flatten().copied()).eq(numbers().enumerate().map(expected)));
        drop(vec);

        let mut vec = DiskVec::new_in(&dir);
        vec.try_extend(numbers()).unwrap();
        let file = unnamed().next().unwrap();
        judge("a vector", policy, &cached_pages(&file));
        drop((vec, file));

        let name = path.join("published");
        let file = AtomicFile::create(&name).unwrap();
        file.set_cache_policy(policy);
        let mut at = 0;
        for piece in (0..LEN / MIB).map(|mib| vec![mib.to_le_bytes()[0]; 1 << 20]) {
            file.write_all_at(&piece, at).unwrap();
            at += MIB;
        }
        file.publish().unwrap();
        let pages = cached_pages(&open(&name).unwrap());
        judge("an atomic file", policy, &pages);
        fs::remove_file(&name).unwrap();
    }
}

fn in_a_group_beyond_the_share(test: &str, path: &Path, pages_leave: bool) {
    match Group::new(256 * MIB) {
        Some(group) => group.within(|| beyond_the_share(path, pages_leave)),
        None => skipped(test, "this user may make no memory group of version 1"),
    }
}

#[test]
fn beyond_the_share_what_was_written_first_leaves_the_cache_of_ext4() {
    on_ext4(test_name!(), 192 * MIB, |path| {
        in_a_group_beyond_the_share(test_name!(), path, true);
    });
}

#[test]
fn beyond_the_share_what_was_written_first_leaves_the_cache_of_xfs() {
    on_xfs(test_name!(), |path| {
        in_a_group_beyond_the_share(test_name!(), path, true);
    });
}

#[test]
fn beyond_the_share_all_stays_in_a_tmpfs() {
    on_tmpfs(test_name!(), 192 * MIB, |path| {
        in_a_group_beyond_the_share(test_name!(), path, false);
    });
}

/// A child took over what its parent counted, which no child can drop: with a parent that had used its
/// share up, nothing of the child's files stayed in the cache.
#[test]
fn a_forked_child_counts_its_own_files() {
    let Some(child) = child(test_name!()) else {
        let mut parents = DiskVec::new();
        parents.try_extend(numbers()).unwrap();
        assert!(stats().cached_bytes >= LEN - 2 * MIB);
        let ended = in_forked_child(|| {
            let mut own = DiskVec::new();
            own.try_extend(numbers().take(1 << 20)).unwrap();
            let counted = stats().cached_bytes;
            assert!((6 * MIB..=8 * MIB).contains(&counted), "{counted}");
            drop(own);
            assert_eq!(stats().cached_bytes, 0);
            drop(parents);
            assert_eq!(stats().cached_bytes, 0);
        });
        assert!(ended.success(), "{ended}");
        return;
    };
    child.run();
}

/// Version 1 of control groups does not slow down writers that have many dirty pages: a group could
/// fill with them, until the OOM killer ended a process that wrote an arena.
#[test]
fn writers_in_a_memory_group_of_64_mib_live_and_stay_within_their_share() {
    const GROUP: &str = "OUTCORE_TEST_GROUP";
    const LONG: u64 = 512 * MIB;
    let Some(child) = child(test_name!()) else {
        let group = PathBuf::from(std::env::var_os(GROUP).unwrap());
        fs::write(group.join("cgroup.procs"), process::id().to_string()).unwrap();
        let arena = Arena::new().unwrap();
        let mut writer = arena.writer().unwrap();
        let mut vec = DiskVec::new();
        for number in 0..LONG / 256 {
            writer.push(number.to_le_bytes().repeat(32)).unwrap();
            if number % 2 == 0 {
                vec.push([number; 32]).unwrap();
            }
        }
        writer.finish().unwrap();
        let stats = stats();
        assert!(stats.cache_share_bytes <= 16 * MIB, "{stats:?}");
        assert!(
            stats.cached_bytes <= 2 * stats.cache_share_bytes,
            "{stats:?}"
        );
        assert!(stats.cache_dropped_bytes >= LONG, "{stats:?}");
        assert!(
            (0_u64..)
                .step_by(2)
                .zip(vec.scan().flatten())
                .all(|(number, found)| *found == [number; 32])
        );
        return;
    };
    let Some(group) = Group::new(64 * MIB) else {
        return skipped(
            test_name!(),
            "this user may make no memory group of version 1",
        );
    };
    child.env(GROUP, &group.0).run();
}

/// One pass through a long arena displaced what other programs had in the cache.
#[test]
fn a_stream_in_ascending_order_leaves_what_the_policy_says() {
    let Some(child) = child(test_name!()) else {
        let path = new_dir();
        for policy in [CachePolicy::Keep, CachePolicy::Drop] {
            let dir = ram(&path).with_cache_policy(policy);
            let arena = Arena::new_in(&dir).unwrap();
            let locations: Vec<_> = (0..4).flat_map(|_| items(&arena)).collect();
            let before = settled(cached_of_unnamed);
            let mut sum = 0;
            for item in arena.stream(locations) {
                sum += item.unwrap().len() as u64;
            }
            assert_eq!(sum, 4 * LEN);
            let after = cached_of_unnamed();
            if policy == CachePolicy::Keep {
                assert!(
                    before >= 4 * LEN - MIB && after >= before,
                    "{before}, {after}"
                );
            } else {
                // Nothing is known of what is read before the order is clear.
                assert!(before <= LEFT && after <= 2 * LEN, "{before}, {after}");
            }
        }
        fs::remove_dir(&path).unwrap();
        return;
    };
    child.run();
}
