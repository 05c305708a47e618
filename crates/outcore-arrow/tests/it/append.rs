//! Arrays into containers, and back: all of them, or nothing and a typed error.

use std::sync::Arc;

use arrow_array::types::{Float64Type, Int64Type, TimestampSecondType, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, FixedSizeBinaryArray, Float64Array, Int64Array,
    LargeBinaryArray, LargeStringArray, StringArray, StringViewArray, TimestampSecondArray,
    UInt64Array,
};
use outcore::{BytesVec, DiskVec, ErrorKind, StrVec};
use outcore_arrow::{
    Error, append_bytes, append_items, append_numbers, append_strings, string_array,
};
use testkit::Random;

use crate::{arena_of, seeds, small_dir, text};

#[test]
fn what_comes_out_of_a_vector_goes_into_another() {
    for seed in seeds(30) {
        let mut random = Random::new(seed);
        let strings: Vec<_> = (0..random.below(500))
            .map(|_| text(&mut random, 30))
            .collect();
        let mut vec = StrVec::new();
        vec.try_extend(&strings).unwrap();
        let array = string_array(vec);
        let (mut found, mut bytes) = (StrVec::new(), BytesVec::new());
        found.push("before").unwrap();
        // Slices are appended as what they show.
        let middle = random.below(array.len() + 1);
        for part in [
            array.slice(0, middle),
            array.slice(middle, array.len() - middle),
        ] {
            append_strings(&mut found, &part).unwrap();
            append_bytes(&mut bytes, &part).unwrap();
        }
        assert!(
            found.iter().skip(1).eq(strings.iter().map(String::as_str)),
            "seed {seed}"
        );
        assert!(
            bytes.iter().eq(strings.iter().map(String::as_bytes)),
            "seed {seed}"
        );
    }
}

#[test]
fn each_type_of_strings_and_of_bytes_goes_in() {
    let words = ["one", "two", "a string that is longer than a view"];
    let strings: [ArrayRef; 3] = [
        Arc::new(StringArray::from(words.to_vec())),
        Arc::new(LargeStringArray::from(words.to_vec())),
        Arc::new(StringViewArray::from(words.to_vec())),
    ];
    let bytes = words.map(str::as_bytes);
    let fixed = FixedSizeBinaryArray::try_from_iter(["one", "two"].iter()).unwrap();
    let binary: [ArrayRef; 3] = [
        Arc::new(BinaryArray::from(bytes.to_vec())),
        Arc::new(LargeBinaryArray::from(bytes.to_vec())),
        Arc::new(BinaryViewArray::from(bytes.to_vec())),
    ];
    let (mut vec, mut raw) = (StrVec::new(), BytesVec::new());
    for array in &strings {
        append_strings(&mut vec, array).unwrap();
    }
    for array in strings.iter().chain(&binary) {
        append_bytes(&mut raw, array).unwrap();
    }
    append_bytes(&mut raw, &fixed).unwrap();
    assert!(vec.iter().eq(words.repeat(3)));
    assert!(raw.iter().eq([&bytes.repeat(6)[..], &bytes[..2]].concat()));
    let (arena, mut locations) = arena_of(&[]);
    let mut writer = arena.writer().unwrap();
    for array in strings.iter().chain(&binary) {
        append_items(&mut writer, &mut locations, array).unwrap();
    }
    writer.finish().unwrap();
    let found: Vec<_> = locations
        .iter()
        .map(|item| arena.get(*item).unwrap())
        .collect();
    assert_eq!(found, bytes.repeat(6));
}

#[test]
fn numbers_go_into_vectors_of_their_type() {
    let mut ids = DiskVec::new();
    append_numbers::<Int64Type>(&mut ids, &Int64Array::from(vec![1, -2])).unwrap();
    let times = TimestampSecondArray::from(vec![3]).with_timezone("UTC");
    append_numbers::<TimestampSecondType>(&mut ids, &times).unwrap();
    assert_eq!(ids, [1, -2, 3]);
    let refused = append_numbers::<UInt64Type>(&mut DiskVec::new(), &Int64Array::from(vec![1]));
    let refused = refused.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "cannot append an array: its type is Int64, and UInt64 is expected"
    );
    let mut floats = DiskVec::new();
    append_numbers::<Float64Type>(&mut floats, &Float64Array::from(vec![0.5])).unwrap();
    assert_eq!(floats, [0.5]);
}

#[test]
fn nulls_are_refused_with_their_number_and_the_containers_are_unchanged() {
    let is_two_nulls = |refused: Result<(), Error>| {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Error::Nulls { nulls: 2 }), "{refused}");
        assert!(refused.to_string().contains("2 of its elements are null"));
    };
    let mut numbers = DiskVec::new();
    numbers.push(7).unwrap();
    let with_nulls = UInt64Array::from(vec![Some(1), None, None]);
    is_two_nulls(append_numbers::<UInt64Type>(&mut numbers, &with_nulls));
    assert_eq!(numbers, [7]);
    // What is not null goes in.
    append_numbers::<UInt64Type>(&mut numbers, &with_nulls.slice(0, 1)).unwrap();
    assert_eq!(numbers, [7, 1]);

    let words = vec![Some("word"), None, None];
    let strings: [ArrayRef; 3] = [
        Arc::new(StringArray::from(words.clone())),
        Arc::new(LargeStringArray::from(words.clone())),
        Arc::new(StringViewArray::from(words.clone())),
    ];
    let words: Vec<_> = words
        .into_iter()
        .map(|word| word.map(str::as_bytes))
        .collect();
    let fixed = words.iter().copied();
    let binary: [ArrayRef; 4] = [
        Arc::new(BinaryArray::from(words.clone())),
        Arc::new(LargeBinaryArray::from(words.clone())),
        Arc::new(BinaryViewArray::from(words.clone())),
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed, 4).unwrap()),
    ];
    let (mut vec, mut raw) = (StrVec::new(), BytesVec::new());
    let (arena, mut locations) = arena_of(&[]);
    let mut writer = arena.writer().unwrap();
    for array in &strings {
        is_two_nulls(append_strings(&mut vec, array));
    }
    for array in strings.iter().chain(&binary) {
        is_two_nulls(append_bytes(&mut raw, array));
        is_two_nulls(append_items(&mut writer, &mut locations, array));
    }
    assert!(vec.is_empty() && raw.is_empty() && locations.is_empty());
}

#[test]
fn other_types_are_refused_and_named() {
    let numbers = UInt64Array::from(vec![1]);
    let blobs = BinaryArray::from(vec![&b"x"[..]]);
    let mut raw = BytesVec::new();
    for refused in [
        append_strings(&mut StrVec::new(), &numbers),
        append_strings(&mut StrVec::new(), &blobs),
        append_bytes(&mut raw, &numbers),
    ] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Error::WrongType { .. }), "{refused}");
    }
}

#[test]
fn a_full_disk_is_a_typed_error_and_changes_nothing() {
    let array = StringArray::from_iter_values((0..100_000).map(|n| format!("a string {n}")));
    let numbers = UInt64Array::from_iter_values(0..100_000);
    let dir = small_dir(1 << 20);
    let is_full = |refused: Result<(), Error>| match refused.unwrap_err() {
        Error::Storage(refused) => assert_eq!(refused.kind(), ErrorKind::StorageFull),
        refused => panic!("{refused}"),
    };
    let mut strings = StrVec::new_in(&dir);
    strings.push("before").unwrap();
    is_full(append_strings(&mut strings, &array));
    assert!(strings.iter().eq(["before"]));
    drop(strings);
    let mut raw = BytesVec::new_in(&dir);
    raw.push("before").unwrap();
    is_full(append_bytes(&mut raw, &array));
    assert!(raw.iter().eq([b"before"]));
    drop(raw);
    let mut vec = DiskVec::new_in(&small_dir(100_000));
    vec.push(7).unwrap();
    is_full(append_numbers::<UInt64Type>(&mut vec, &numbers));
    assert_eq!(vec, [7]);
    let arena = outcore::Arena::new().unwrap();
    let mut writer = arena.writer().unwrap();
    let mut locations = DiskVec::new_in(&small_dir(100_000));
    is_full(append_items(&mut writer, &mut locations, &array));
    assert!(locations.is_empty());
}
