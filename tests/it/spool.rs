//! Values of any kind in order, through the public API.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use outcore::spool::{Codec, CodecError, Compress, IntoIter, SpoolBuilder, Target};
use outcore::{ErrorKind, MemoryBudget, Result, Spool};
use serde::{Deserialize, Serialize, Serializer};

use crate::support::disk;
#[cfg(feature = "lz4")]
use crate::support::random::Random;

/// A budget of which few values fill a block, and a few thousand all of it.
const SMALL: u64 = 512 << 10;

#[test]
fn a_spool_that_fits_has_no_file() {
    let dir = disk();
    let budget = MemoryBudget::new(16 << 20);
    let mut spool = Spool::new_in(&budget, &dir);
    assert_eq!((spool.disk_bytes(), budget.used_bytes()), (0, 0));
    spool.push(&7_u64).unwrap();
    assert!(
        budget.used_bytes() <= 2 << 10,
        "few values take little of a budget"
    );
    spool.try_extend(0..100_000).unwrap();
    assert_eq!(
        (spool.len(), spool.disk_bytes(), dir.used_bytes()),
        (100_001, 0, 0)
    );
    assert!(spool.encoded_bytes() > 100_000);
    assert!(budget.used_bytes() < 2 * spool.encoded_bytes());
    assert_eq!(spool.get(100_000).unwrap(), Some(99_999));
    assert_eq!(spool.get(100_001).unwrap(), None);
    drop(spool);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn threads_fill_one_spool_and_each_ones_values_stay_in_order() {
    const COUNT: u64 = if cfg!(miri) { 100 } else { 20_000 };
    let budget = MemoryBudget::new(if cfg!(miri) { SMALL } else { 2 * SMALL });
    let spool = Spool::<(u64, u64)>::new_in(&budget, &disk());
    thread::scope(|scope| {
        for thread in 0..4 {
            let mut writer = spool.writer();
            scope.spawn(move || {
                writer.try_extend((0..COUNT).map(|n| (thread, n))).unwrap();
                writer.finish();
            });
        }
    });
    assert_eq!(spool.len() as u64, 4 * COUNT);
    let values: Vec<_> = spool.iter().unwrap().map(Result::unwrap).collect();
    for (part, values) in values.chunks(usize::try_from(COUNT).unwrap()).enumerate() {
        let thread = values[0].0;
        let same = values.iter().copied().eq((0..COUNT).map(|n| (thread, n)));
        assert!(same, "part {part}, of thread {thread}");
    }
    assert!(budget.peak_bytes() <= budget.limit_bytes());
}

/// Readers at the same time each need memory for a block; one of them always has it.
#[test]
fn several_readers_read_the_same_spool() {
    let budget = MemoryBudget::new(SMALL);
    let mut spool = Spool::new_in(&budget, &disk());
    let count = if cfg!(miri) { 1_000 } else { 200_000_u64 };
    spool.try_extend((0..count).map(|n| n << 20)).unwrap();
    let sum = || {
        let values = spool.iter().unwrap().map(Result::unwrap);
        assert!(values.eq((0..count).map(|n| n << 20)));
    };
    thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(sum));
        for thread in threads {
            thread.join().unwrap();
        }
    });
    // Others take what is left of the budget.
    let mut greedy = Spool::new_in(&budget, &disk());
    while greedy.disk_bytes() == 0 && greedy.push(&[7_u8; 32]).is_ok() {}
    sum();
}

/// A reader that was leaked kept the blocks. Taking the values out, or removing them, then ended in a
/// panic that spoke of a bug of this crate.
#[test]
fn a_reader_that_is_leaked_keeps_no_values_from_the_spool() {
    for limit in [SMALL, 16 << 20] {
        let filled = || {
            let mut spool = Spool::<u64>::new_in(&MemoryBudget::new(limit), &disk());
            spool.try_extend(0..200_000).unwrap();
            assert_eq!(spool.disk_bytes() > 0, limit == SMALL);
            let mut reader = spool.iter().unwrap();
            assert_eq!(reader.next().unwrap().unwrap(), 0);
            leak(reader);
            spool
        };
        let values: Result<Vec<u64>> = filled().into_iter().collect();
        assert!(values.unwrap().into_iter().eq(0..200_000), "{limit}");
        let mut spool = filled();
        spool.clear();
        assert!(spool.is_empty() && spool.disk_bytes() == 0);
        spool.push(&7).unwrap();
        assert_eq!(spool.get(0).unwrap(), Some(7));
        let mut spool = filled();
        spool.try_extend(200_000..300_000).unwrap();
        assert!(spool.iter().unwrap().map(Result::unwrap).eq(0..300_000));
        let values: Result<Vec<u64>> = spool.into_iter().collect();
        assert!(values.unwrap().into_iter().eq(0..300_000), "{limit}");
    }
}

fn panic_if(planned: bool) {
    assert!(!planned, "as planned");
}

/// A value that cannot be encoded, by an error or a panic in the middle of it, leaves no trace.
#[test]
fn a_value_that_cannot_be_encoded_changes_nothing() {
    thread_local!(static ENDS: Cell<u8> = const { Cell::new(0) });
    #[derive(Debug, PartialEq, Deserialize)]
    struct Fails(Vec<u32>);
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
            use serde::ser::{Error, SerializeSeq};
            let mut list = serializer.serialize_seq(Some(self.0.len()))?;
            for number in &self.0 {
                list.serialize_element(number)?;
            }
            match ENDS.get() {
                1 => Err(S::Error::custom("as planned")),
                ends => {
                    panic_if(ends == 2);
                    list.end()
                }
            }
        }
    }
    let budget = MemoryBudget::new(SMALL);
    let mut spool = Spool::new_in(&budget, &disk());
    let value = |n: u32| Fails((0..n % 200).collect());
    let count = if cfg!(miri) { 50 } else { 20_000 };
    for n in 0..count {
        // A panic comes first, so that some complete a block.
        ENDS.set([0, 2, 1, 3, 4][n as usize % 5]);
        let before = (spool.len(), spool.encoded_bytes());
        match catch_unwind(AssertUnwindSafe(|| spool.push(&value(n)))) {
            Ok(Ok(())) => assert_eq!(spool.len(), before.0 + 1),
            Ok(Err(refused)) => assert_eq!(refused.kind(), ErrorKind::Codec),
            Err(_panicked) => {
                assert_eq!(n % 5, 1);
                // A block that was completed just before was out of the reach of readers.
                let last = spool.len() - 1;
                assert_eq!(spool.get(last).unwrap(), Some(value(n - 1)), "{n}");
            }
        }
        if [1, 2].contains(&(n % 5)) {
            assert_eq!((spool.len(), spool.encoded_bytes()), before, "{n}");
        }
    }
    ENDS.set(0);
    let kept = (0..count).filter(|n| ![1, 2].contains(&(n % 5))).map(value);
    assert!(spool.iter().unwrap().map(Result::unwrap).eq(kept));
}

/// Another codec; one that decodes nothing tells it, and ends a loop.
#[test]
fn a_codec_that_fails_is_an_error_that_ends_a_loop() {
    struct Texts;
    impl Codec<String> for Texts {
        fn encode(
            &self,
            value: &String,
            target: &mut Target<'_>,
        ) -> std::result::Result<(), CodecError> {
            Ok(target.extend(value.as_bytes())?)
        }
        fn decode(&self, bytes: &[u8]) -> std::result::Result<String, CodecError> {
            let text = String::from_utf8(bytes.to_vec())?;
            if text == "bad" {
                Err("a bad text".into())
            } else {
                Ok(text)
            }
        }
    }
    let builder = SpoolBuilder::new(&MemoryBudget::new(SMALL)).codec(Texts);
    let mut spool: Spool<String, Texts> = builder.build();
    for text in ["one", "", "bad", "two"] {
        spool.push(&text.to_owned()).unwrap();
    }
    let mut read = Vec::new();
    for value in spool.iter().unwrap() {
        read.push(value.map_err(|refused| (refused.kind(), refused.to_string())));
    }
    let message = "cannot decode a value: a bad text".to_owned();
    let expected = [
        Ok("one".to_owned()),
        Ok(String::new()),
        Err((ErrorKind::Codec, message)),
    ];
    assert_eq!(read, expected);
    assert_eq!(spool.get(3).unwrap().as_deref(), Some("two"));
    assert_eq!(spool.get(2).unwrap_err().kind(), ErrorKind::Codec);
    let mut values: IntoIter<String, Texts> = spool.into_iter();
    assert!(values.nth(2).unwrap().is_err() && values.next().is_none());
    assert!(values.next().unwrap().is_err(), "it tries again");
}

/// A codec that is told that there is no memory, and takes no notice.
#[test]
fn memory_that_is_refused_is_an_error_whatever_the_codec_makes_of_it() {
    struct Deaf;
    impl Codec<usize> for Deaf {
        fn encode(
            &self,
            value: &usize,
            target: &mut Target<'_>,
        ) -> std::result::Result<(), CodecError> {
            for _ in 0..*value {
                let _deaf = target.push(1);
            }
            Ok(())
        }
        fn decode(&self, bytes: &[u8]) -> std::result::Result<usize, CodecError> {
            Ok(bytes.len())
        }
    }
    let budget = MemoryBudget::new(SMALL);
    let mut spool: Spool<usize, Deaf> = SpoolBuilder::new(&budget).dir(&disk()).codec(Deaf).build();
    let long = usize::try_from(SMALL).unwrap() * 2;
    for _ in 0..3 {
        spool.push(&100).unwrap();
        let refused = spool.push(&long).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OverBudget);
    }
    // A third of the budget is possible.
    spool.push(&(long / 8)).unwrap();
    let values: Result<Vec<usize>> = spool.iter().unwrap().collect();
    assert_eq!(values.unwrap(), [100, 100, 100, long / 8]);
    assert!(budget.peak_bytes() <= SMALL);
}

/// A mistake of an implementation is found by the second sum, and gets to no codec.
#[test]
fn a_compression_that_is_wrong_is_an_error() {
    struct Wrong;
    impl Compress for Wrong {
        fn compress(&self, _block: &[u8], target: &mut [u8]) -> Option<usize> {
            target[0] = 7;
            Some(1)
        }
        fn decompress(
            &self,
            _packed: &[u8],
            block: &mut [u8],
        ) -> std::result::Result<(), CodecError> {
            block.fill(0);
            Ok(())
        }
    }
    let budget = MemoryBudget::new(SMALL);
    let mut spool: Spool<u64> = SpoolBuilder::new(&budget)
        .dir(&disk())
        .compress(Wrong)
        .build();
    spool.try_extend(0..200_000).unwrap();
    // The first block went to disk as it was, since there was no memory for another one.
    let refused = spool.iter().unwrap().find_map(Result::err).unwrap();
    assert_eq!(refused.kind(), ErrorKind::Io);
    assert!(
        refused.to_string().contains("after decompression"),
        "{refused}"
    );
}

#[test]
#[cfg(feature = "lz4")]
fn blocks_are_compressed_where_that_makes_them_shorter() {
    let budget = MemoryBudget::new(SMALL);
    let bytes_of = |make: &dyn Fn(u64) -> [u64; 4], lz4: bool| {
        let builder = SpoolBuilder::new(&budget).dir(&disk());
        let mut spool: Spool<[u64; 4]> = if lz4 { builder.lz4() } else { builder }.build();
        let values = 0..if cfg!(miri) { 2_000 } else { 100_000 };
        spool.try_extend(values.clone().map(make)).unwrap();
        let read = spool.iter().unwrap().map(Result::unwrap);
        assert!(read.eq(values.map(make)));
        spool.disk_bytes()
    };
    let same = |n: u64| [1 << 60, 2 << 60, 3 << 60, n % 4];
    assert!(bytes_of(&same, true) * 3 < bytes_of(&same, false));
    let random = |n: u64| {
        [(); 4].map({
            let mut random = Random::new(n);
            move |()| random.next()
        })
    };
    assert_eq!(bytes_of(&random, true), bytes_of(&random, false));
}

/// Space is given back while values are taken out.
#[test]
#[cfg(not(any(miri, memory_backend)))]
fn values_that_are_taken_out_give_their_space_back() {
    let dir = disk();
    let mut spool = Spool::new_in(&MemoryBudget::new(SMALL), &dir);
    spool
        .try_extend((0..100_000).map(|n: u32| vec![n; 40]))
        .unwrap();
    let disk_bytes = dir.used_bytes();
    // As many as the values have, of which less than the budget is in memory.
    assert!(disk_bytes > 11_000_000, "{disk_bytes}");
    let mut values = spool.into_iter();
    let all: u64 = values
        .by_ref()
        .take(50_000)
        .map(|value| u64::from(value.unwrap()[39]))
        .sum();
    assert_eq!(all, 49_999 * 25_000);
    assert!(
        dir.used_bytes() < disk_bytes / 2 + (3 << 20),
        "{}",
        dir.used_bytes()
    );
    assert_eq!(values.next().unwrap().unwrap()[0], 50_000);
    drop(values);
    assert_eq!(dir.used_bytes(), 0);
}

/// A disk became full in the middle of the first spill. Later values took what memory that had freed, and
/// then there was none to read what was on the disk: `iter` and `get` were refused until values were
/// removed.
#[test]
fn what_a_spill_wrote_before_the_disk_was_full_can_be_read() {
    let dir = outcore::ScratchDir::builder(env!("CARGO_TARGET_TMPDIR"));
    let dir = dir.quota_bytes(64 << 10).build().unwrap();
    let budget = MemoryBudget::new(SMALL);
    let mut spool = Spool::new_in(&budget, &dir);
    let (mut count, mut refusals) = (0_u64, 0);
    while refusals < 20 {
        match spool.push(&(count << 40)) {
            Ok(()) => count += 1,
            Err(refused) => {
                assert_eq!(refused.kind(), ErrorKind::StorageFull);
                refusals += 1;
            }
        }
    }
    assert!(spool.disk_bytes() > 0);
    assert!(budget.limit_bytes() - budget.used_bytes() < 8 << 10);
    let values = spool.iter().unwrap().map(Result::unwrap);
    assert!(values.eq((0..count).map(|n| n << 40)));
    assert_eq!(spool.get(0).unwrap(), Some(0));
}

/// Memory for reading was kept for a block of the usual length. Where a longer one was on the disk, and
/// the disk became full, later values took the rest of the budget: the long value could not be read, and
/// `iter` was refused, until values were removed.
#[test]
fn long_values_on_a_full_disk_can_be_read_whatever_came_later() {
    let dir = outcore::ScratchDir::builder(env!("CARGO_TARGET_TMPDIR"));
    let dir = dir.quota_bytes(256 << 10).build().unwrap();
    for is_compressed in [false, true] {
        let budget = MemoryBudget::new(SMALL);
        let mut builder = SpoolBuilder::new(&budget).dir(&dir);
        if is_compressed {
            builder = builder.compress(Tail);
        }
        let mut spool = builder.build();
        let value = |n: u64| vec![n; if n % 10_000 == 50 { 10_000 } else { 1 }];
        let (mut count, mut refusals) = (0, 0);
        while refusals < 20 {
            match spool.push(&value(count)) {
                Ok(()) => count += 1,
                Err(refused) => {
                    assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
                    refusals += 1;
                }
            }
        }
        assert!(spool.disk_bytes() > 0);
        assert!(budget.limit_bytes() - budget.used_bytes() < 8 << 10);
        for n in [0, 50, 51] {
            assert_eq!(spool.get(n).unwrap(), Some(value(n as u64)));
        }
        let values = spool.iter().unwrap().map(Result::unwrap);
        assert!(values.eq((0..count).map(value)));
    }
}

/// Keeps one of the equal bytes at the end of a block.
struct Tail;

impl Compress for Tail {
    fn compress(&self, block: &[u8], target: &mut [u8]) -> Option<usize> {
        let last = *block.last()?;
        let same = block.iter().rev().take_while(|byte| **byte == last);
        let kept = block.len() - same.count();
        target.get_mut(..kept)?.copy_from_slice(&block[..kept]);
        *target.get_mut(kept)? = last;
        (kept + 1 < block.len()).then_some(kept + 1)
    }

    fn decompress(
        &self,
        compressed: &[u8],
        block: &mut [u8],
    ) -> std::result::Result<(), CodecError> {
        let (last, kept) = compressed.split_last().ok_or("nothing")?;
        block[..kept.len()].copy_from_slice(kept);
        block[kept.len()..].fill(*last);
        Ok(())
    }
}

#[cfg(not(any(miri, memory_backend)))]
mod real {
    use super::*;
    use crate::support::libc::in_forked_child;
    use crate::support::process::child;
    use crate::support::test_name;
    use crate::support::tmpfs::{on_tmpfs, ram};

    #[test]
    fn a_full_disk_is_an_error_and_no_loss() {
        on_tmpfs(test_name!(), 4 << 20, |path| {
            let dir = ram(path);
            let budget = MemoryBudget::new(SMALL);
            let mut spool = Spool::new_in(&budget, &dir);
            let mut count = 0_u64;
            let refused = loop {
                match spool.push(&(count, vec![1_u8; 40])) {
                    Ok(()) => count += 1,
                    Err(refused) => break refused,
                }
            };
            assert_eq!(refused.kind(), ErrorKind::StorageFull);
            assert_eq!(refused.path(), Some(path));
            assert!(count > 50_000, "{count}");
            for _ in 0..3 {
                assert!(spool.push(&(count, vec![1; 40])).is_err());
                assert_eq!(spool.len() as u64, count);
            }
            let values = spool.iter().unwrap().map(|value| value.unwrap().0);
            assert!(values.eq(0..count));
            crate::support::libc::resize_tmpfs(path, 8 << 20);
            for n in count..count + 10_000 {
                spool.push(&(n, vec![1; 40])).unwrap();
            }
            let values = spool.iter().unwrap().map(|value| value.unwrap().0);
            assert!(values.eq(0..count + 10_000));
        });
    }

    #[test]
    fn a_child_reads_and_is_refused_when_it_writes() {
        if let Some(child) = child(test_name!()) {
            child.run();
            return;
        }
        let mut spool = Spool::new_in(&MemoryBudget::new(SMALL), &disk());
        spool.try_extend(0..300_000_u64).unwrap();
        let ended = in_forked_child(|| {
            assert!(spool.iter().unwrap().map(Result::unwrap).eq(0..300_000));
            let refused = (0..300_000).find_map(|n| spool.push(&n).err()).unwrap();
            assert_eq!(refused.kind(), ErrorKind::Forked);
            spool.clear();
        });
        assert!(ended.success(), "{ended}");
        spool.push(&300_000).unwrap();
        assert!(spool.iter().unwrap().map(Result::unwrap).eq(0..=300_000));
    }
}

#[expect(
    clippy::disallowed_methods,
    clippy::mem_forget,
    reason = "safe code may leak what it likes"
)]
fn leak<T>(value: T) {
    std::mem::forget(value);
}
