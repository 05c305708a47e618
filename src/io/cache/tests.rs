//! What is in the page cache after writes of each policy, and what becomes of refusals.
#![cfg_attr(
    memory_backend,
    expect(
        dead_code,
        unused_imports,
        reason = "there is no page cache to look at"
    )
)]

use std::sync::Arc;

use crate::error::ErrorKind;
use crate::io::cache::account::{Account, tests::ACCOUNT};
use crate::io::cache::pass::Pass;
use crate::io::cache::trail::CHUNK_BYTES;
use crate::io::cache::{CachePolicy, DROP_SHARE_BYTES, PIECE_BYTES};
use crate::io::dir::ScratchDir;
use crate::io::scratch::ScratchFile;
use crate::sys::buffer::Buffer;
use crate::sys::fault::{Fault, Outcome, arm, disarm};
use crate::sys::plan::answer;
use crate::sys::{Hint, PAGES_ASKED_MAX};
use crate::testing::{Campaign, Life};

const EIO: i32 = 5;
const EPERM: i32 = 1;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;

/// Whether the system tells what is in its page cache.
pub(super) const IS_TOLD: bool = !cfg!(any(windows, memory_backend));

/// How long the files are.
pub(super) const LEN: u64 = 16 * CHUNK_BYTES;

/// Files whose account is their own, and its share.
pub(super) struct World {
    dir: ScratchDir,
    pub(super) account: Arc<Account>,
}

impl World {
    pub(super) fn new(policy: CachePolicy, share_bytes: u64) -> Self {
        Self::with(policy, Account::with_share(share_bytes))
    }

    pub(super) fn with(policy: CachePolicy, account: Account) -> Self {
        Self::sharing(policy, &Arc::new(account))
    }

    pub(super) fn sharing(policy: CachePolicy, account: &Arc<Account>) -> Self {
        let account = Arc::clone(account);
        ACCOUNT.set(Some(Arc::clone(&account)));
        let dir = ScratchDir::builder(env!("CARGO_MANIFEST_DIR"));
        let dir = dir.cache_policy(policy).build().unwrap();
        Self { dir, account }
    }

    pub(super) fn file(&self) -> ScratchFile {
        let file = self.empty_file();
        file.grow(0, [LEN]).unwrap();
        file
    }

    pub(super) fn empty_file(&self) -> ScratchFile {
        ScratchFile::create(&self.dir).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        ACCOUNT.set(None);
    }
}

pub(super) fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap()
}

pub(super) fn bytes(from: u64, len: usize) -> Vec<u8> {
    let number = |at: u64| (at / 7 + at / 4096).to_le_bytes()[0];
    (from..).take(len).map(number).collect()
}

/// Fills a file in writes of so many bytes.
pub(super) fn fill(file: &ScratchFile, piece: usize) {
    let mut at = 0;
    while at < LEN {
        let len = piece.min(to_usize(LEN - at));
        file.write_all_at(&bytes(at, len), at).unwrap();
        at += len as u64;
    }
}

pub(super) fn check(file: &ScratchFile) {
    let mut found = Vec::new();
    file.read_to_end_of(&mut found, to_usize(LEN), 0).unwrap();
    assert!(found == bytes(0, to_usize(LEN)), "other bytes were read");
}

/// Returns which chunks are in the cache, as far as they are: the bytes of each.
pub(super) fn cached(file: &ScratchFile) -> Vec<u64> {
    assert!(CHUNK_BYTES <= 4096 * PAGES_ASKED_MAX as u64);
    let chunks = (0..LEN / CHUNK_BYTES).map(|number| number * CHUNK_BYTES);
    let asked = chunks.map(|at| file.sys().cached_bytes(at, CHUNK_BYTES).unwrap());
    asked.collect()
}

pub(super) fn sum(file: &ScratchFile) -> u64 {
    cached(file).iter().sum()
}

#[test]
#[cfg(not(memory_backend))]
fn within_the_share_all_stays_and_beyond_it_what_came_last() {
    for piece in [100_000, 1 << 20, 3 * PIECE_BYTES + 5] {
        let world = World::new(CachePolicy::Auto, LEN / 2);
        let first = world.file();
        first.write_all_at(&bytes(0, to_usize(LEN / 2)), 0).unwrap();
        assert_eq!(world.account.cached_bytes(), LEN / 2);
        assert_eq!(sum(&first), LEN / 2, "the share was not passed");
        let second = world.file();
        fill(&second, piece);
        assert!(world.account.cached_bytes() <= LEN / 2);
        assert_eq!(sum(&first), 0, "of another file, and came first");
        let chunks = cached(&second);
        let (early, late) = chunks.split_at(chunks.len() / 2);
        assert_eq!(early.iter().sum::<u64>(), 0, "{chunks:?}");
        assert_eq!(late.iter().sum::<u64>(), LEN / 2, "{chunks:?}");
        assert_eq!(world.account.dropped_bytes(), LEN);
        check(&second);
    }
}

#[test]
#[cfg(not(memory_backend))]
fn what_is_kept_is_not_counted_and_not_dropped() {
    let world = World::new(CachePolicy::Keep, CHUNK_BYTES);
    let file = world.file();
    fill(&file, 1 << 20);
    assert_eq!(sum(&file), LEN);
    assert_eq!(world.account.cached_bytes(), 0);
    check(&file);
}

#[test]
#[cfg(not(memory_backend))]
fn what_is_dropped_does_not_take_a_share_and_little_of_it_is_left() {
    for refusal in [
        None,
        Some(EOPNOTSUPP),
        Some(EINVAL),
        Some(ENOSYS),
        Some(EPERM),
    ] {
        let world = World::new(CachePolicy::Drop, LEN);
        let file = world.file();
        if let Some(errno) = refusal {
            let outcome = Outcome::Errno(errno);
            let (after, sticky) = (0, false);
            arm(Fault {
                after,
                sticky,
                outcome,
            });
        }
        fill(&file, 1 << 20);
        let met = disarm().1;
        assert_eq!(met, usize::from(refusal.is_some()));
        assert_eq!(world.account.cached_bytes(), 0);
        // What was written past the cache leaves it when it is on the device.
        file.sync_data().unwrap();
        let left = (0..1000).map(|_| {
            std::thread::yield_now();
            sum(&file)
        });
        let left = left.min().unwrap();
        assert!(
            left <= DROP_SHARE_BYTES || !IS_TOLD,
            "{refusal:?}: {left} bytes are left"
        );
        check(&file);
    }
}

/// The next write adds to the page that is not full, and the kernel would have to read it.
#[test]
#[cfg(not(memory_backend))]
fn writes_past_the_cache_end_with_a_whole_page() {
    let world = World::new(CachePolicy::Drop, LEN);
    let file = world.file();
    fill(&file, 100_001);
    file.sync_data().unwrap();
    check(&file);
    drop(world);
}

#[test]
fn a_policy_holds_from_when_it_is_set() {
    let world = World::new(CachePolicy::Keep, LEN);
    let file = world.file();
    assert_eq!(file.cache().policy(), CachePolicy::Keep);
    file.write_all_at(&bytes(0, 5000), 0).unwrap();
    assert_eq!(world.account.cached_bytes(), 0);
    file.cache().set_policy(CachePolicy::Auto);
    file.write_all_at(&bytes(0, 5000), 0).unwrap();
    assert_eq!(world.account.cached_bytes(), 5000);
}

#[test]
fn bytes_count_once_until_they_are_cut_off_given_back_or_closed() {
    let world = World::new(CachePolicy::Auto, LEN);
    let file = world.file();
    for _ in 0..3 {
        fill(&file, 1 << 20);
        assert_eq!(world.account.cached_bytes(), LEN);
    }
    file.shrink(LEN, LEN - CHUNK_BYTES).unwrap();
    assert_eq!(world.account.cached_bytes(), LEN - CHUNK_BYTES);
    assert!(file.give_back_part(100, 2 * CHUNK_BYTES));
    // Windows gives nothing back in the middle of a file: zeros are written.
    let gone = if cfg!(windows) { 1 } else { 2 };
    assert_eq!(world.account.cached_bytes(), LEN - gone * CHUNK_BYTES);
    drop(file);
    assert_eq!(world.account.cached_bytes(), 0);
}

/// Each small file leaves an entry. A program that makes and drops many would have collected them
/// without end.
#[test]
fn entries_of_files_that_are_gone_do_not_add_up() {
    let world = World::new(CachePolicy::Auto, LEN);
    let kept = world.file();
    kept.write_all_at(b"kept", 0).unwrap();
    for _ in 0..300 {
        world.file().write_all_at(b"gone", 0).unwrap();
    }
    assert!(world.account.entries() < 200, "{}", world.account.entries());
    assert_eq!(world.account.cached_bytes(), 4);
    // The one that stays is still found.
    for _ in 0..2 {
        fill(&kept, 1 << 20);
    }
    assert_eq!(world.account.cached_bytes(), LEN);
}

/// Waiting for write-back takes the report of a lost page from the kernel, which gives it once. The
/// next sync would have succeeded, and a publication with it, although bytes are lost.
#[test]
fn after_a_write_back_that_failed_every_sync_fails_and_nothing_is_dropped() {
    let world = World::new(CachePolicy::Auto, CHUNK_BYTES);
    let file = world.file();
    file.write_all_at(&bytes(0, to_usize(CHUNK_BYTES)), 0)
        .unwrap();
    file.sync_data().unwrap();
    let outcome = Outcome::Errno(EIO);
    // The write works. Both that start write-back fail, and the one that waits.
    arm(Fault {
        after: 1,
        sticky: true,
        outcome,
    });
    let at = CHUNK_BYTES;
    file.write_all_at(&bytes(at, 4096), at).unwrap();
    assert!(disarm().1 >= 1);
    for _ in 0..2 {
        let error = file.sync_data().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        let error = file.error(error);
        let message = error.to_string();
        assert!(message.contains("an earlier sync failed"), "{message}");
    }
    #[cfg(not(memory_backend))]
    assert_eq!(cached(&file)[0], CHUNK_BYTES, "the only copy was dropped");
    // Writes go on: what was lost is nothing to them.
    fill(&file, 1 << 20);
    #[cfg(not(memory_backend))]
    assert_eq!(sum(&file), LEN);
    assert!(world.account.cached_bytes() <= CHUNK_BYTES);
    check(&file);
}

/// A system that forbids the call is no device that lost pages.
#[test]
fn where_early_write_back_is_refused_syncs_are_as_before() {
    for errno in [ENOSYS, EPERM, EINVAL] {
        let world = World::new(CachePolicy::Auto, CHUNK_BYTES);
        let file = world.file();
        for at in (0..LEN).step_by(to_usize(CHUNK_BYTES)) {
            let outcome = Outcome::Errno(errno);
            arm(Fault {
                after: 1,
                sticky: true,
                outcome,
            });
            file.write_all_at(&bytes(at, to_usize(CHUNK_BYTES)), at)
                .unwrap();
            disarm();
        }
        file.sync_data().unwrap();
        check(&file);
    }
}

#[test]
fn write_errors_are_those_of_the_write() {
    for policy in CachePolicy::ALL {
        let world = World::new(policy, CHUNK_BYTES);
        let file = world.file();
        for outcome in [Outcome::Errno(EIO), Outcome::Zero] {
            arm(Fault {
                after: 0,
                sticky: true,
                outcome,
            });
            let error = file.write_all_at(&bytes(0, 100_000), 0).unwrap_err();
            disarm();
            assert_eq!(error.kind(), ErrorKind::Io, "{policy:?} {outcome:?}");
            let error = file.error(error).to_string();
            assert!(error.starts_with("cannot write to a file in"), "{error}");
        }
        arm(Fault {
            after: 0,
            sticky: false,
            outcome: Outcome::Short,
        });
        fill(&file, 1 << 20);
        assert_eq!(disarm().1, 1);
        check(&file);
    }
}

#[test]
fn answers_that_say_no_are_told_from_those_of_the_device() {
    let is_unknown = |errno| super::is_unknown(&answer(errno));
    assert!([EOPNOTSUPP, EINVAL, ENOSYS, EPERM].map(is_unknown) == [true; 4]);
    assert!(![EIO, 28, 27].map(is_unknown).contains(&true));
}

/// Threads write to files of one account, which are dropped under each other.
#[test]
#[cfg(not(miri))]
fn threads_that_drop_chunks_of_each_other_read_what_they_wrote() {
    let account = Arc::new(Account::with_share(2 * CHUNK_BYTES));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let account = Arc::clone(&account);
            scope.spawn(move || {
                ACCOUNT.set(Some(account));
                let dir = ScratchDir::new(env!("CARGO_MANIFEST_DIR")).unwrap();
                for _ in 0..5 {
                    let file = ScratchFile::create(&dir).unwrap();
                    file.grow(0, [LEN]).unwrap();
                    fill(&file, 300_000);
                    check(&file);
                }
            });
        }
    });
    assert_eq!(account.cached_bytes(), 0, "all files are closed");
}

/// Reads a file to its end as a scan does, and returns what is in the cache afterwards.
fn pass_through(file: &ScratchFile) -> Vec<u64> {
    let mut pass = Pass::default();
    let mut found = Vec::new();
    pass.start_cold(file, 0, LEN);
    for at in (0..LEN).step_by(10_000) {
        found.clear();
        let len = to_usize((LEN - at).min(10_000));
        file.read_to_end_of(&mut found, len, at).unwrap();
        assert!(found == bytes(at, len));
        pass.reach(file, at, LEN);
    }
    pass.reach(file, LEN, LEN);
    cached(file)
}

/// Takes all pages of a file out of the cache. From then on none is read ahead, in pieces that are longer
/// than the chunks of tests.
///
/// The kernel leaves a page that it is using just then, so it is asked more than once.
fn make_cold(file: &ScratchFile) {
    file.advise(0, LEN, Hint::Random).unwrap();
    file.sync_data().unwrap();
    let is_cold = (0..1000).any(|_| {
        file.advise(0, LEN, Hint::DontNeed).unwrap();
        sum(file) == 0 || !IS_TOLD
    });
    assert!(is_cold, "{:?}", cached(file));
}

#[test]
#[cfg(not(memory_backend))]
fn what_was_read_in_order_stays_within_four_shares_or_where_it_was_before() {
    for share in [LEN, 2 * CHUNK_BYTES, 0] {
        let world = World::new(CachePolicy::Auto, share);
        let file = world.file();
        fill(&file, 1 << 20);
        make_cold(&file);
        assert_eq!(world.account.cached_bytes(), 0);
        // Another reader has the seventh chunk.
        let (at, len) = (7 * CHUNK_BYTES, to_usize(CHUNK_BYTES));
        file.read_to_end_of(&mut Vec::new(), len, at).unwrap();
        let left = pass_through(&file);
        let expected: Vec<_> = (0..LEN / CHUNK_BYTES)
            .map(|chunk| {
                // The seventh takes no room.
                let room = 4 * share / CHUNK_BYTES;
                let stays = chunk == 7 || chunk < room + u64::from(room > 7);
                if stays { CHUNK_BYTES } else { 0 }
            })
            .collect();
        assert_eq!(left, expected, "share {share}");
        assert_eq!(world.account.cached_bytes(), 0, "nothing was written");
        // What is written again counts as that, and is dropped with what was written.
        fill(&file, 1 << 20);
        assert!(world.account.cached_bytes() <= share);
        check(&file);
    }
}

#[test]
#[cfg(not(memory_backend))]
fn readers_drop_all_or_nothing_where_the_policy_says_so() {
    for (policy, left) in [(CachePolicy::Keep, LEN), (CachePolicy::Drop, 0)] {
        let world = World::new(policy, LEN);
        let file = world.file();
        fill(&file, 1 << 20);
        make_cold(&file);
        assert_eq!(pass_through(&file).iter().sum::<u64>(), left, "{policy:?}");
        assert_eq!(world.account.cached_bytes(), 0);
    }
}

/// Where the system does not say what is in the cache, it may be another program's.
#[test]
#[cfg(not(memory_backend))]
fn where_nothing_is_known_of_the_cache_nothing_is_dropped() {
    let world = World::new(CachePolicy::Drop, LEN);
    let file = world.file();
    fill(&file, 1 << 20);
    make_cold(&file);
    let mut pass = Pass::default();
    arm(Fault {
        after: 0,
        sticky: true,
        outcome: Outcome::Errno(ENOSYS),
    });
    pass.start_cold(&file, 0, LEN);
    assert!(disarm().1 > 0);
    file.read_to_end_of(&mut Vec::new(), to_usize(LEN), 0)
        .unwrap();
    pass.reach(&file, LEN, LEN);
    assert_eq!(sum(&file), LEN);
}

#[test]
fn what_is_written_and_read_in_order_is_right_whatever_call_fails() {
    for policy in [CachePolicy::Auto, CachePolicy::Drop] {
        let live = |life: &mut Life| live(life, policy);
        Campaign::new(format!("page cache, {policy:?}"), 60, live)
            .and_with(&[EINVAL, EPERM])
            .plants("another byte", "other bytes")
            .run();
    }
}

/// Writes several shares to two files by turns, and reads them in order.
fn live(life: &mut Life, policy: CachePolicy) {
    const PIECE: usize = 100_000;
    let account = Arc::new(Account::with_share(CHUNK_BYTES));
    ACCOUNT.set(Some(Arc::clone(&account)));
    let dir = life.scratch_dir().with_cache_policy(policy);
    let len = 3 * CHUNK_BYTES;
    let files = [(); 2].map(|()| {
        let file = life.attempt("create", || {
            ScratchFile::create(&dir).map_err(|refusal| dir.error(refusal))
        });
        life.attempt("grow", || {
            file.grow(0, [len]).map_err(|refusal| file.error(refusal))
        });
        file
    });
    // Addresses, of which the campaign plants a leak.
    life.attempt("map", || Ok(Buffer::several(1, 1, true).map(drop).ok()));
    for at in (0..len).step_by(PIECE) {
        let piece = bytes(at, PIECE.min(to_usize(len - at)));
        for file in &files {
            life.attempt("write", || {
                let written = file.write_all_at(&piece, at);
                written.map_err(|refusal| file.error(refusal))
            });
        }
    }
    let mut expected = bytes(0, to_usize(len));
    expected[1000] ^= u8::from(life.is_planted("another byte"));
    for file in &files {
        let mut pass = Pass::default();
        pass.start_cold(file, 0, len);
        let mut found = Vec::new();
        while (found.len() as u64) < len {
            let at = found.len() as u64;
            let piece = PIECE.min(to_usize(len - at));
            life.attempt("read", || {
                let read = file.read_to_end_of(&mut found, piece, at);
                read.map_err(|refusal| file.error(refusal))
            });
            pass.reach(file, at, len);
        }
        assert!(found == expected, "{}: other bytes", life.name());
    }
    life.disarm();
    drop(files);
    assert_eq!(account.cached_bytes(), 0, "{}", life.name());
    ACCOUNT.set(None);
}
