//! Byte strings by index against a `Vec<Vec<u8>>`, and the same items in a spool.

use outcore::{BytesVec, MemoryBudget, Spool};

use crate::bytes::Bytes;

/// The most bytes of one case.
const BYTES_MAX: usize = 1 << 20;

/// Runs the operations that the bytes choose.
pub(crate) fn run(data: &[u8], planted: bool) {
    let mut bytes = Bytes::new(data);
    let budget = MemoryBudget::new(1 << (12 + bytes.below(10)));
    let mut items = if bytes.flag() {
        BytesVec::with_budget(&budget)
    } else {
        BytesVec::new()
    };
    let spool_budget = MemoryBudget::new(128 << 10);
    let mut spool = Spool::<Vec<u8>>::new(&spool_budget);
    let mut spooled: Vec<Vec<u8>> = Vec::new();
    let mut model: Vec<Vec<u8>> = Vec::new();
    let mut total = 0;
    while !bytes.is_empty() && total < BYTES_MAX {
        match bytes.below(8) {
            0..4 => {
                let item = vec![bytes.byte(); bytes.len(20_000)];
                let count = bytes.below(100) + 1;
                total += item.len() * count;
                for _ in 0..count {
                    items.push(&item).unwrap();
                    spool.push(&item).unwrap();
                }
                spooled.extend(vec![item.clone(); count]);
                model.extend(vec![item; count]);
            }
            4 => assert_eq!(items.pop(), model.pop()),
            5 => {
                let len = bytes.below(model.len() + 2);
                items.truncate(len);
                model.truncate(len);
            }
            6 => items.shrink_to_fit().unwrap(),
            _ => {
                let count = if model.is_empty() { 0 } else { bytes.below(40) };
                let wanted: Vec<usize> = (0..count).map(|_| bytes.below(model.len())).collect();
                let found = items.gather(&wanted).unwrap();
                assert!(found.iter().eq(wanted.iter().map(|index| &model[*index])));
                let index = bytes.below(spooled.len() + 1);
                let found = spool.get(index).unwrap();
                assert_eq!(found.as_ref(), spooled.get(index));
            }
        }
        assert_eq!(items.len(), model.len());
    }
    if planted && model.len() > 3 {
        model[3].push(7);
    }
    assert_eq!(items, model);
    assert!(items.scan().eq(&model));
    let values: outcore::Result<Vec<Vec<u8>>> = spool.into_iter().collect();
    assert_eq!(values.unwrap(), spooled);
    drop(items);
    assert_eq!((budget.used_bytes(), spool_budget.used_bytes()), (0, 0));
}
