//! Fault injection in the sorter: a push that fails has added nothing and lost nothing, and the
//! result is what was pushed.

use std::collections::BTreeMap;

use crate::budget::{MIN, MemoryBudget};
use crate::external::options::Options;
use crate::external::records::Sorter;
use crate::sys::buffer::Buffer;
use crate::testing::{Campaign, Life};

#[test]
fn records_are_all_there_whatever_call_fails() {
    Campaign::new("external, records", 40, |life| live(life, 1))
        .plants("another record", "the records differ")
        .run();
}

/// The same where two threads merge: their reads fail too.
#[test]
fn records_that_threads_merge_are_all_there_whatever_call_fails() {
    Campaign::new("external, records of threads", 40, |life| live(life, 3))
        .inexact()
        .plants("another record", "the records differ")
        .run();
}

/// Damage by a device is detected: a changed bit of a key or value is an error.
#[test]
fn a_block_that_is_not_what_was_written_is_an_error() {
    let budget = MemoryBudget::new(MIN as u64);
    let sorter = Sorter::new(&budget).unwrap();
    let mut writer = sorter.writer().unwrap();
    for n in 0..10_000_u64 {
        writer
            .push(n.reverse_bits().to_be_bytes(), n.to_be_bytes())
            .unwrap();
    }
    writer.finish().unwrap();
    let spool = std::sync::Arc::clone(&sorter.shared.spool);
    let mut records = sorter.sorted().unwrap();
    // The second block of the first run.
    spool.damage(7000);
    let refused = loop {
        match records.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the damage was not noticed"),
            Err(refused) => break refused,
        }
    };
    assert!(
        refused.to_string().contains("is not what was written"),
        "{refused}"
    );
}

fn live(life: &mut Life, threads: usize) {
    let dir = life.scratch_dir();
    // The campaign leaks a range of addresses to check that this is detected, and nothing else here
    // has one.
    life.attempt("map", || Ok(Buffer::several(1, 1, true).map(drop).ok()));
    // Threads need memory of their own, and more records than fit into it.
    let scale = threads.min(2) as u64;
    let budget = MemoryBudget::new(scale * MIN as u64);
    for joins in [false, true] {
        let mut builder = Sorter::builder(Options::from(&budget).dir(&dir).threads(threads));
        if joins {
            builder = builder.combine(|value, more| value[0] = value[0].wrapping_add(more[0]));
        }
        let sorter = builder.build().unwrap();
        let mut writer = sorter.writer().unwrap();
        let mut model: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        for n in 0..scale * 4_000 {
            let key = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52).to_be_bytes();
            // Where nothing is joined, a value that is put aside.
            let long = if joins { 3000 } else { 6000 };
            let len = if n % 1000 == 0 { long } else { 30 };
            let value = vec![n.to_le_bytes()[0]; len];
            life.attempt("push", || writer.push(key, &value));
            model.entry(key.to_vec()).or_default().push(value);
        }
        writer.finish().unwrap();
        if life.is_planted("another record") {
            model.pop_first();
        }
        // Reading cannot be repeated, so an error here ends the scenario.
        let records = sorter
            .sorted()
            .map_err(|refused| life.refused("sorted", &refused));
        let Ok(mut records) = records else { continue };
        let helpers = records.streams();
        assert_eq!(helpers + 1, threads, "{}: threads help", life.name());
        let mut expected = model.into_iter().flat_map(|(key, values)| {
            let sum = values
                .iter()
                .fold(0_u8, |sum, value| sum.wrapping_add(value[0]));
            let mut first = values[0].clone();
            first[0] = sum;
            let values = if joins { vec![first] } else { values };
            values.into_iter().map(move |value| (key.clone(), value))
        });
        loop {
            match records.next() {
                Ok(Some((key, value))) => {
                    let next = expected.next();
                    let same = next.is_some_and(|next| next.0 == key && next.1 == value);
                    assert!(same, "{}: the records differ", life.name());
                }
                Ok(None) => {
                    assert!(
                        expected.next().is_none(),
                        "{}: the records differ",
                        life.name()
                    );
                    break;
                }
                Err(refused) => {
                    life.refused("next", &refused);
                    break;
                }
            }
        }
        drop(records);
        assert_eq!(budget.used_bytes(), 0, "{}: memory is kept", life.name());
        assert_eq!(dir.used_bytes(), 0, "{}: space is kept", life.name());
    }
}
