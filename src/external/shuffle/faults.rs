//! The fault campaign of the shuffler: a push that fails has added nothing and lost nothing, and what
//! comes out is what was pushed.

use std::collections::BTreeMap;

use crate::budget::{MIN, MemoryBudget};
use crate::external::options::Options;
use crate::external::shuffle::Shuffler;
use crate::sys::buffer::Buffer;
use crate::testing::{Campaign, Life};

#[test]
fn records_are_all_there_whatever_call_fails() {
    Campaign::new("external, result records", 40, live)
        .plants("another record", "the records differ")
        .run();
}

/// What a device does to a block is found: a bit of a head, a chance or a record that changes is an
/// error.
#[test]
fn a_block_that_is_not_what_was_written_is_an_error() {
    for place in [0, 9, 30, 500, 5000] {
        let budget = MemoryBudget::new(MIN as u64);
        let shuffler = Shuffler::new(&budget, 1).unwrap();
        let mut writer = shuffler.writer().unwrap();
        for n in 0..20_000_u64 {
            writer.push(n, n.to_be_bytes()).unwrap();
        }
        writer.finish().unwrap();
        let spool = std::sync::Arc::clone(&shuffler.shared.spool);
        spool.damage(place);
        let refused = shuffler.shuffled().and_then(|result| {
            while result.next_part()?.is_some() {}
            Ok(())
        });
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("is not what was written"), "{refused}");
    }
}

#[test]
fn a_bucket_that_is_larger_than_memory_is_divided() {
    let budget = MemoryBudget::new(MIN as u64);
    let shuffler = Shuffler::new(Options::from(&budget).threads(1), 3).unwrap();
    let buckets = shuffler.shared.buckets as u64;
    let count = buckets * MIN as u64 / 20;
    let mut writer = shuffler.writer().unwrap();
    let mut expected = Vec::new();
    for n in 0..count {
        writer.push(n, n.to_le_bytes()).unwrap();
        expected.push((shuffler.chance(n), n));
    }
    writer.finish().unwrap();
    expected.sort_unstable();
    let result = shuffler.shuffled().unwrap();
    let mut found = 0;
    let mut parts = 0;
    while let Some(part) = result.next_part().unwrap() {
        parts += 1;
        for record in part.records() {
            assert_eq!(record, expected[found].1.to_le_bytes(), "at {found}");
            found += 1;
        }
    }
    assert_eq!(found, expected.len());
    assert!(parts > buckets, "{parts} parts of {buckets} buckets");
    drop(result);
    assert_eq!(budget.used_bytes(), 0);
}

fn live(life: &mut Life) {
    let dir = life.scratch_dir();
    // The campaign leaks a range of addresses to see whether that is noticed, and nothing else here
    // has one.
    life.attempt("map", || Ok(Buffer::several(1, 1, true).map(drop).ok()));
    let budget = MemoryBudget::new(MIN as u64);
    let shuffler = Shuffler::new(Options::from(&budget).dir(&dir), 7).unwrap();
    let mut writer = shuffler.writer().unwrap();
    let mut model = BTreeMap::new();
    for n in 0..4_000_u64 {
        let len = if n % 1000 == 0 { 3000 } else { 30 };
        let record = vec![n.to_le_bytes()[0]; len];
        life.attempt("push", || writer.push(n, &record));
        model.insert(shuffler.chance(n), record);
    }
    writer.finish().unwrap();
    if life.is_planted("another record") {
        model.pop_first();
    }
    // Reading cannot be tried again, so an error here is the end.
    let read = shuffler.shuffled().and_then(|result| {
        let mut expected = model.values();
        while let Some(part) = result.next_part()? {
            for record in part.records() {
                let same = expected.next().is_some_and(|next| next == record);
                assert!(same, "{}: the records differ", life.name());
            }
        }
        assert!(
            expected.next().is_none(),
            "{}: the records differ",
            life.name()
        );
        Ok(())
    });
    if let Err(refused) = read {
        life.refused("read", &refused);
    }
    assert_eq!(budget.used_bytes(), 0, "{}: memory is kept", life.name());
    assert_eq!(dir.used_bytes(), 0, "{}: space is kept", life.name());
}
