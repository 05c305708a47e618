//! Writers that join long records all at the same time, in the least memory that a budget may have.

use std::collections::BTreeMap;

use outcore::MemoryBudget;
use outcore::external::Sorter;

use crate::external_records::{MIN, SCALE, all, check_budget, options};

/// All writers together left memory for one join, but several joined at the same time, and a long
/// chunk took what was left. A push then failed for ever with "others have taken the memory of the budget that
/// merging needs", or with "bytes of memory are needed at least", and nothing else used the budget.
#[test]
fn writers_of_long_keys_that_join_never_run_out_of_memory() {
    for writers in [1, 2, 5] {
        for joins in [false, true] {
            let budget = MemoryBudget::new(MIN);
            let builder = Sorter::builder(options(&budget));
            let sorter = if joins {
                builder.combine(Vec::extend_from_slice)
            } else {
                builder.unique()
            };
            #[cfg(feature = "lz4")]
            let sorter = if writers == 2 { sorter.lz4() } else { sorter };
            let sorter = sorter.build().unwrap();
            let longest = sorter.key_bytes_max() - 600;
            let count = 400 / SCALE / writers;
            // Lengths that get longer, and about 70,000 as well as the maximum.
            let key = |n: usize| {
                let len = [100, 20_000, 70_000, longest][n * 4 / count];
                let mut key = (n % 100).to_string().into_bytes();
                key.resize(len, b'-');
                key
            };
            std::thread::scope(|scope| {
                for _ in 0..writers {
                    let mut writer = sorter.writer().unwrap();
                    scope.spawn(move || {
                        for n in 0..count {
                            writer.push(key(n), "1").unwrap();
                        }
                        writer.finish().unwrap();
                    });
                }
            });
            let mut model = BTreeMap::<_, Vec<u8>>::new();
            for n in (0..writers).flat_map(|_| 0..count) {
                let value = model.entry(key(n)).or_default();
                if joins || value.is_empty() {
                    value.push(b'1');
                }
            }
            let found = all(sorter.sorted().unwrap());
            assert!(
                found.into_iter().eq(model),
                "{writers} writers, joins: {joins}"
            );
            check_budget(&budget);
        }
    }
}
