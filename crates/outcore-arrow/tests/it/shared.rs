//! Arrays share the memory of containers, and keep it.

use std::sync::Arc;
use std::thread;

use arrow_array::Array;
use arrow_array::types::{Date32Type, Float64Type, Int8Type, UInt64Type};
use outcore::{BytesVec, DiskVec, MemoryBudget, ScratchDir, StrVec};
use outcore_arrow::{binary_array, primitive_array, string_array};
use testkit::Random;

use crate::{seeds, text};

/// Longer than what stays in memory without a file.
const LONG: usize = 1 << 20;

fn squares(len: usize) -> DiskVec<u64> {
    let mut vec = DiskVec::new();
    vec.try_extend((0..len as u64).map(|n| n * n)).unwrap();
    vec
}

#[test]
fn the_elements_of_an_array_are_those_of_the_vector_at_the_same_addresses() {
    for len in [0, 1, 1000, LONG] {
        let vec = Arc::new(squares(len));
        assert_eq!(vec.disk_bytes() > 0, len == LONG);
        let array = primitive_array::<UInt64Type>(Arc::clone(&vec));
        assert_eq!(array.values().as_ptr(), vec.as_ptr());
        assert_eq!(&array.values()[..], &vec[..]);
        assert_eq!(array.null_count(), 0);
        let end = array.slice(len / 2, len - len / 2);
        assert_eq!(end.values().as_ptr(), vec[len / 2..].as_ptr());
    }
}

#[test]
fn text_and_offsets_of_an_array_are_those_of_the_vector_at_the_same_addresses() {
    for len in [1, 1000, 200_000] {
        let mut vec = StrVec::new();
        vec.try_extend((0..len).map(|n| format!("string {n}")))
            .unwrap();
        vec.truncate(len - len / 3);
        let vec = Arc::new(vec);
        let (text, offsets) = vec.as_bytes_vec().as_parts();
        let array = string_array(Arc::clone(&vec));
        assert_eq!(array.values().as_ptr(), text.as_ptr());
        assert_eq!(array.values().len(), text.len());
        assert_eq!(
            array.value_offsets().as_ptr().cast::<u64>(),
            offsets.as_ptr()
        );
        assert_eq!(array.value_offsets().len(), offsets.len());
        array.to_data().validate_full().unwrap();

        let mut vec = BytesVec::new();
        vec.try_extend((0..len).map(usize::to_le_bytes)).unwrap();
        let vec = Arc::new(vec);
        let array = binary_array(Arc::clone(&vec));
        assert_eq!(array.values().as_ptr(), vec.as_parts().0.as_ptr());
        assert_eq!(
            array.value_offsets().as_ptr().cast::<u64>(),
            vec.as_parts().1.as_ptr()
        );
        array.to_data().validate_full().unwrap();
    }
}

#[test]
fn an_empty_vector_is_an_empty_array_whatever_was_in_it() {
    let mut emptied = StrVec::new();
    emptied.push("gone").unwrap();
    let mut cleared = emptied.try_clone().unwrap();
    emptied.truncate(0);
    cleared.clear();
    for vec in [StrVec::new(), emptied, cleared] {
        let bytes = binary_array(vec.try_clone().unwrap().into_bytes_vec());
        assert_eq!((bytes.len(), bytes.value_offsets()), (0, &[0][..]));
        let array = string_array(vec);
        assert_eq!((array.len(), array.value_offsets()), (0, &[0][..]));
        array.to_data().validate_full().unwrap();
    }
}

#[test]
fn arrays_have_the_items_of_random_vectors() {
    for seed in seeds(60) {
        let mut random = Random::new(seed);
        let longest = random.pick(&[0, 3, 40, 3000]);
        let strings: Vec<_> = (0..random.below(400))
            .map(|_| text(&mut random, longest))
            .collect();
        let budget = MemoryBudget::new(random.pick(&[0, 1 << 20]));
        let mut vec = StrVec::with_budget(&budget);
        vec.try_extend(&strings).unwrap();
        let bytes = binary_array(vec.try_clone().unwrap().into_bytes_vec());
        let array = string_array(vec);
        array.to_data().validate_full().unwrap();
        bytes.to_data().validate_full().unwrap();
        assert!(
            array
                .iter()
                .flatten()
                .eq(strings.iter().map(String::as_str)),
            "seed {seed}"
        );
        assert!(
            bytes
                .iter()
                .flatten()
                .eq(strings.iter().map(String::as_bytes)),
            "seed {seed}"
        );
    }
}

#[test]
fn an_array_keeps_the_file_of_its_vector_and_its_last_clone_returns_the_space() {
    let dir = ScratchDir::from_env().unwrap();
    let dir = ScratchDir::new(dir.path()).unwrap();
    let mut vec = DiskVec::new_in(&dir);
    vec.try_extend(0..LONG as u64).unwrap();
    let array = primitive_array::<UInt64Type>(vec);
    assert!(dir.used_bytes() > 0);
    let last = array.slice(LONG - 1, 1);
    drop(array);
    let last = thread::spawn(move || {
        assert_eq!(last.value(0), LONG as u64 - 1);
        last
    });
    let last = last.join().unwrap();
    assert!(dir.used_bytes() > 0);
    drop(last);
    assert_eq!(dir.used_bytes(), 0);
}

#[test]
fn the_vector_grows_again_when_the_last_array_is_gone() {
    let vec = Arc::new(squares(LONG));
    let array = primitive_array::<UInt64Type>(Arc::clone(&vec));
    let values = array.values().clone();
    drop(array);
    let vec = Arc::try_unwrap(vec).unwrap_err();
    drop(values);
    let mut vec = Arc::into_inner(vec).unwrap();
    vec.push(7).unwrap();
    assert_eq!(vec[LONG], 7);
}

#[test]
fn evicting_the_vector_changes_no_element_of_an_array() {
    let vec = Arc::new(squares(LONG));
    let array = primitive_array::<UInt64Type>(Arc::clone(&vec));
    vec.evict(..).unwrap();
    vec.prefetch(..).unwrap();
    assert!(
        array
            .values()
            .iter()
            .zip(0..)
            .all(|(square, n)| *square == n * n)
    );
}

#[test]
fn an_array_cannot_be_changed_in_place() {
    let array = primitive_array::<UInt64Type>(squares(1000));
    let array = array.into_builder().unwrap_err();
    let array = array.unary_mut(|n| n + 1).unwrap_err();
    assert_eq!(array.value(999), 999 * 999);
    assert!(
        array.into_data().buffers()[0]
            .clone()
            .into_mutable()
            .is_err()
    );
}

#[test]
fn numbers_of_other_types_are_shared_too() {
    let mut floats = DiskVec::new();
    floats.try_extend([0.5, -0.0, f64::INFINITY]).unwrap();
    let floats = primitive_array::<Float64Type>(floats);
    assert!(floats.value(2).is_infinite() && floats.value(1).is_sign_negative());
    let mut small = DiskVec::new();
    small.try_extend([-128_i8, 127]).unwrap();
    assert_eq!(primitive_array::<Int8Type>(small).values()[..], [-128, 127]);
    let mut days = DiskVec::new();
    days.try_extend([0, 20_000]).unwrap();
    let days = primitive_array::<Date32Type>(days);
    assert_eq!(days.value_as_date(1).unwrap().to_string(), "2024-10-04");
}
