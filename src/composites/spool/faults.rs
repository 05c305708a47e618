//! The fault campaign of the spool, and what a device does to its blocks.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a panic in a test is a failed test"
)]

use crate::budget::{MIN, MemoryBudget};
use crate::composites::spool::part::Place;
use crate::composites::spool::store::Shared;
use crate::composites::spool::{Codec, CodecError, Compress, Spool, SpoolBuilder, Target};
use crate::error::ErrorKind;
use crate::sys::buffer::Buffer;
use crate::testing::{Campaign, Life};

type Value = (u64, String);

/// Values of 4 to 60 bytes, and a few that are longer than a block.
fn value(n: u64) -> Value {
    let len = if n % 500 == 499 { 9_000 } else { n % 57 };
    (n, "x".repeat(usize::try_from(len).unwrap()))
}

#[test]
fn values_are_all_there_whatever_call_fails() {
    Campaign::new("spool", 60, |life| live(life, false))
        .plants("another value", "the values differ")
        .run();
}

#[test]
fn compressed_values_are_all_there_whatever_call_fails() {
    Campaign::new("spool, compressed", 30, |life| live(life, true))
        .plants("another value", "the values differ")
        .run();
}

fn live(life: &mut Life, compressed: bool) {
    let dir = life.scratch_dir();
    // The campaign leaks a range of addresses to see whether that is noticed, and nothing else here
    // has one.
    life.attempt("map", || Ok(Buffer::several(1, 1, true).map(drop).ok()));
    let budget = MemoryBudget::new(MIN as u64);
    let builder = SpoolBuilder::new(&budget).dir(&dir);
    let mut spool: Spool<Value> = if compressed {
        builder.compress(Runs).build()
    } else {
        builder.build()
    };
    fill(life, &mut spool);
    assert!(spool.disk_bytes() > 0, "{}: it is in memory", life.name());
    let planted = life.is_planted("another value");
    let expected = |n: usize| {
        let n = n as u64;
        if planted && n == 77 {
            value(78)
        } else {
            value(n)
        }
    };
    for index in [0, 77, 499, 3_999, 4_000, 6_500, 6_999] {
        let found = life.attempt("get", || spool.get(index));
        assert!(
            found == Some(expected(index)),
            "{}: the values differ",
            life.name()
        );
    }
    // An iterator goes on after an error.
    let mut next = 0;
    let mut values = life.attempt("iter", || spool.iter());
    while next < spool.len() {
        match values.next() {
            Some(Ok(found)) => {
                assert!(
                    found == expected(next),
                    "{}: the values differ",
                    life.name()
                );
                next += 1;
            }
            Some(Err(refused)) => {
                life.refused("next", &refused);
                assert!(values.next().is_none(), "{}: no end", life.name());
            }
            None => panic!("{}: {next} values", life.name()),
        }
    }
    assert!(values.next().is_none(), "{}: too many values", life.name());
    drop(values);
    let mut values = spool.into_iter();
    for n in 0..6_000 {
        let found = loop {
            match values.next() {
                Some(Ok(found)) => break found,
                Some(Err(refused)) => life.refused("next", &refused),
                None => {}
            }
        };
        assert!(found == expected(n), "{}: the values differ", life.name());
    }
    drop(values);
    assert_eq!(budget.used_bytes(), 0, "{}: memory is kept", life.name());
    assert_eq!(dir.used_bytes(), 0, "{}: space is kept", life.name());
}

/// Pushes 7,000 values by the spool itself and by writers, of which one is dropped unfinished.
fn fill(life: &mut Life, spool: &mut Spool<Value>) {
    let mut count = 0;
    for n in 0..4_000 {
        life.attempt("push", || spool.push(&value(n)));
        count += 1;
        assert_eq!(spool.len(), count, "{}: not one more", life.name());
    }
    let mut writer = spool.writer();
    for n in 4_000..6_000 {
        life.attempt("push", || writer.push(&value(n)));
    }
    writer.finish();
    // One that takes its values with it.
    let mut dropped = spool.writer();
    for n in 0..1_000 {
        life.attempt("push", || dropped.push(&value(n)));
    }
    drop(dropped);
    for n in 6_000..7_000 {
        life.attempt("push", || spool.push(&value(n)));
    }
}

/// Writes how often each byte comes in a row.
struct Runs;

impl Compress for Runs {
    fn compress(&self, block: &[u8], target: &mut [u8]) -> Option<usize> {
        let mut len = 0;
        for run in block.chunk_by(|a, b| a == b) {
            for run in run.chunks(255) {
                *target.get_mut(len)? = u8::try_from(run.len()).ok()?;
                *target.get_mut(len + 1)? = run[0];
                len += 2;
            }
        }
        Some(len)
    }

    fn decompress(&self, compressed: &[u8], block: &mut [u8]) -> Result<(), CodecError> {
        let mut rest = block;
        for run in compressed.chunks(2) {
            let (part, behind) = rest.split_at_mut(usize::from(run[0]));
            part.fill(run[1]);
            rest = behind;
        }
        Ok(())
    }
}

/// Counts what it is given to decode.
struct Counting(std::cell::Cell<u32>);

impl Codec<Value> for Counting {
    fn encode(&self, value: &Value, target: &mut Target<'_>) -> Result<(), CodecError> {
        crate::composites::spool::Postcard.encode(value, target)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
        self.0.set(self.0.get() + 1);
        crate::composites::spool::Postcard.decode(bytes)
    }
}

/// Whatever a device or another process makes of a block, nothing of it reaches the codec.
#[test]
fn a_block_that_is_not_what_was_written_is_an_error_before_it_is_decoded() {
    for compressed in [false, true] {
        let budget = MemoryBudget::new(MIN as u64);
        let builder = SpoolBuilder::new(&budget).codec(Counting(0.into()));
        let mut spool: Spool<Value, Counting> = if compressed {
            builder.compress(Runs).build()
        } else {
            builder.build()
        };
        for n in 0..10_000 {
            spool.push(&value(n)).unwrap();
        }
        let Shared { store, codec } = &*spool.shared;
        let list = store.list();
        let on_disk = list.iter().flat_map(|sealed| &sealed.blocks);
        let on_disk: Vec<_> = on_disk
            .filter_map(|block| match &block.place {
                Place::Disk(stored) => Some(stored),
                Place::Memory(_) | Place::Leaked(..) => None,
            })
            .collect();
        assert!(on_disk.len() > 10);
        let stored = on_disk[5];
        for byte in [0, 1, 100, stored.extent().end - stored.extent().start - 1] {
            store.damage(stored, byte);
            codec.0.set(0);
            let mut good = 0;
            let refused = spool.iter().unwrap().find_map(|value| {
                good += u32::from(value.is_ok());
                value.err()
            });
            let refused = refused.unwrap();
            assert_eq!(refused.kind(), ErrorKind::Io);
            assert!(
                refused.to_string().contains("is not what was written"),
                "{refused}"
            );
            assert_eq!(codec.0.get(), good, "only good values were decoded");
            // As it was.
            store.damage(stored, byte);
        }
        let all: crate::error::Result<Vec<_>> = spool.iter().unwrap().collect();
        assert_eq!(all.unwrap().len(), 10_000);
    }
}

/// A value at another place of the same file, or of another spool, has the sum of that place.
#[test]
fn the_same_bytes_have_another_sum_at_another_place_and_in_another_spool() {
    let budget = MemoryBudget::new(MIN as u64);
    let spools = [(); 2].map(|()| Spool::<Value>::new(&budget));
    let sums = spools.each_ref().map(|spool| {
        let store = &spool.shared.store;
        [store.sum(0, b"block"), store.sum(1, b"block")]
    });
    let [[a, b], [c, d]] = sums;
    assert!(a != b && c != d && a != c && b != d);
}
