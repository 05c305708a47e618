//! Merges of what is on disk by several threads: against models, with as much data as it takes for
//! threads to take part.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use outcore::MemoryBudget;
use outcore::external::{BytesAggregator, Options, Sorter};

use crate::external_records::{MIN, all, check_budget, options};
use crate::support::random::{Random, seeds};

/// Bytes of the value of a record: all records together are more than threads are started for.
const VALUE_BYTES: usize = 80;
const COUNT: usize = 220_000;

type Threads = Arc<Mutex<HashSet<ThreadId>>>;

/// Notes which thread calls.
fn note(threads: &Threads) {
    threads.lock().unwrap().insert(thread::current().id());
}

fn value_of(number: usize) -> Vec<u8> {
    let mut value = vec![7; VALUE_BYTES];
    value[..8].copy_from_slice(&number.to_le_bytes());
    value
}

#[test]
fn threads_merge_to_the_order_of_a_slice() {
    for seed in seeds(1) {
        let mut random = Random::new(seed);
        let model = (0..COUNT).map(|n| {
            let key = random.below(COUNT / 4).to_string().into_bytes();
            (key, value_of(n))
        });
        let mut model: Vec<_> = model.collect();
        let mut expected = model.clone();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        for (threads, scale) in [(1, 1), (2, 1), (3, 4)] {
            let budget = MemoryBudget::new(scale * MIN);
            let sorter = Sorter::new(options(&budget).threads(threads)).unwrap();
            let mut writer = sorter.writer().unwrap();
            for (key, value) in &model {
                writer.push(key, value).unwrap();
            }
            writer.finish().unwrap();
            let found = all(sorter.sorted().unwrap());
            assert!(found == expected, "seed {seed}, {threads} threads");
            check_budget(&budget);
        }
        // Of a function that compares it is seen in which threads it is called.
        let called = Threads::default();
        let noted = Arc::clone(&called);
        let budget = MemoryBudget::new(2 * MIN);
        let sorter = Sorter::builder(options(&budget).threads(3));
        let sorter = sorter.compare(move |a, b| {
            note(&noted);
            b.cmp(a)
        });
        let sorter = sorter.build().unwrap();
        let mut writer = sorter.writer().unwrap();
        for (key, value) in &model {
            writer.push(key, value).unwrap();
        }
        writer.finish().unwrap();
        let found = all(sorter.sorted().unwrap());
        model.sort_by(|a, b| b.0.cmp(&a.0));
        assert!(found == model, "seed {seed}, another order");
        assert_eq!(called.lock().unwrap().len(), 3, "two threads help");
        check_budget(&budget);
    }
}

#[test]
fn groups_that_threads_merge_have_all_values() {
    for threads in [1, 2, 3] {
        let called = Threads::default();
        let noted = Arc::clone(&called);
        let budget = MemoryBudget::new(2 * MIN);
        let combine = move |sum: &mut u64, more: u64| {
            note(&noted);
            *sum += more;
        };
        let options = Options::from(&budget).dir(&crate::support::disk());
        let mut sums = BytesAggregator::new(options.threads(threads), combine);
        let mut model: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut random = Random::new(9);
        for number in 0..3 * COUNT {
            // Most keys occur once or twice, and some often.
            let key = match number % 2 {
                0 => random.below(4 * COUNT),
                _ => random.below(500),
            };
            let key = format!("a key of some length, which many others begin with, {key}");
            let number = number as u64;
            sums.add(&key, number).unwrap();
            *model.entry(key.into_bytes()).or_default() += number;
        }
        let mut groups = sums.finish().unwrap();
        for (key, sum) in &model {
            assert_eq!(groups.next().unwrap(), Some((key.as_slice(), *sum)));
        }
        assert!(groups.next().unwrap().is_none());
        drop(groups);
        let helpers = called.lock().unwrap().len() - 1;
        assert_eq!(helpers, threads - 1);
        check_budget(&budget);
    }
}
