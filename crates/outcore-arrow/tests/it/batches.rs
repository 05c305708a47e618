//! Batches have the rows of their containers, and keep to their limits.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, DataType};
use outcore::{BytesVec, DiskVec, ErrorKind, StrVec};
use outcore_arrow::{
    BatchOptions, Column, Error, Table, items_array, primitive_array, text_items_array,
};
use testkit::Random;

use crate::{arena_of, seeds, text};

/// One row of a table with a column of each kind.
type Row = (u64, String, Vec<u8>, Vec<u8>, String);

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let numbers = batch["number"].as_primitive::<UInt64Type>();
    let strings = batch["string"].as_string::<i64>();
    let bytes = batch["bytes"].as_binary::<i64>();
    let items = batch["item"].as_binary::<i64>();
    let texts = batch["text"].as_string::<i64>();
    let row = |at| {
        let (bytes, item) = (bytes.value(at).to_vec(), items.value(at).to_vec());
        let text = texts.value(at).to_owned();
        (
            numbers.value(at),
            strings.value(at).to_owned(),
            bytes,
            item,
            text,
        )
    };
    (0..batch.num_rows()).map(row).collect()
}

/// The bytes of a row as the limit counts them.
fn bytes_of(row: &Row) -> u64 {
    (5 * 8 + row.1.len() + row.2.len() + row.3.len() + row.4.len()) as u64
}

fn table_of(rows: &[Row]) -> Table {
    let (mut numbers, mut strings, mut bytes) = (DiskVec::new(), StrVec::new(), BytesVec::new());
    numbers.try_extend(rows.iter().map(|row| row.0)).unwrap();
    strings.try_extend(rows.iter().map(|row| &row.1)).unwrap();
    bytes.try_extend(rows.iter().map(|row| &row.2)).unwrap();
    let (arena, items) = arena_of(&rows.iter().map(|row| row.3.clone()).collect::<Vec<_>>());
    let texts: Vec<_> = rows.iter().map(|row| row.4.clone().into_bytes()).collect();
    let (texts_arena, texts) = arena_of(&texts);
    let table = Table::new().with("number", numbers).unwrap();
    let table = table
        .with("string", strings)
        .unwrap()
        .with("bytes", bytes)
        .unwrap();
    let table = table.with("item", Column::items(&arena, items)).unwrap();
    table
        .with("text", Column::text_items(&texts_arena, texts))
        .unwrap()
}

#[test]
fn batches_have_all_rows_in_order_and_as_many_as_fit() {
    for seed in seeds(40) {
        let mut random = Random::new(seed);
        let longest = random.pick(&[0, 5, 60, 2000]);
        let rows: Vec<Row> = (0..random.below(300))
            .map(|_| {
                let bytes = [0; 2].map(|_| testkit::item(random.next(), random.below(longest + 1)));
                let [bytes, item] = bytes;
                let strings = [0; 2].map(|_| text(&mut random, longest));
                let [string, text] = strings;
                (random.next(), string, bytes, item, text)
            })
            .collect();
        let (rows_max, bytes_max) = (random.below(50), random.below_u64(20_000));
        let options = BatchOptions::new().rows(rows_max).bytes(bytes_max);
        let mut left = &rows[..];
        for batch in table_of(&rows).batches(&options) {
            let batch = batch.unwrap();
            let (these, rest) = left.split_at(batch.num_rows());
            assert!(rows_of(&batch) == these, "seed {seed}");
            let bytes: u64 = these.iter().map(bytes_of).sum();
            assert!(these.len() <= rows_max.max(1), "seed {seed}");
            assert!(bytes <= bytes_max || these.len() == 1, "seed {seed}");
            // One more row would not have been within the limits.
            let is_full = these.len() == rows_max.max(1)
                || rest
                    .first()
                    .is_none_or(|row| bytes + bytes_of(row) > bytes_max);
            assert!(is_full, "seed {seed}");
            left = rest;
        }
        assert!(left.is_empty(), "seed {seed}");
    }
}

#[test]
fn numbers_and_strings_of_batches_are_those_of_the_containers() {
    let (mut numbers, mut strings) = (DiskVec::new(), StrVec::new());
    numbers.try_extend(0..100_000_u64).unwrap();
    strings
        .try_extend((0..100_000).map(|n| n.to_string()))
        .unwrap();
    let (numbers, strings) = (Arc::new(numbers), Arc::new(strings));
    let table = Table::new().with("n", Arc::clone(&numbers)).unwrap();
    let table = table.with("s", Arc::clone(&strings)).unwrap();
    let mut start = 0;
    for batch in table.batches(&BatchOptions::new().rows(7777)) {
        let batch = batch.unwrap();
        let found = batch["n"].as_primitive::<UInt64Type>().values();
        assert_eq!(found.as_ptr(), numbers[start..].as_ptr());
        assert_eq!(
            batch["s"].as_string::<i64>().value(0).as_ptr(),
            strings[start].as_ptr()
        );
        start += batch.num_rows();
    }
    assert_eq!(start, 100_000);
}

#[test]
fn the_schema_says_names_and_types_and_that_there_are_no_nulls() {
    let reader = table_of(&[]).batches(&BatchOptions::new());
    let schema = reader.schema();
    let fields: Vec<_> = schema.fields().iter().collect();
    let types = fields
        .iter()
        .map(|field| (field.name().as_str(), field.data_type()));
    assert!(types.eq([
        ("number", &DataType::UInt64),
        ("string", &DataType::LargeUtf8),
        ("bytes", &DataType::LargeBinary),
        ("item", &DataType::LargeBinary),
        ("text", &DataType::LargeUtf8),
    ]));
    assert!(fields.iter().all(|field| !field.is_nullable()));
    assert_eq!(reader.count(), 0);
    assert_eq!(Table::new().batches(&BatchOptions::new()).count(), 0);
}

#[test]
fn a_column_with_nulls_may_have_them_in_batches() {
    let numbers = arrow_array::UInt64Array::from(vec![Some(1), None]);
    let table = Table::new().with("n", numbers).unwrap();
    let batch = table.batches(&BatchOptions::new()).next().unwrap().unwrap();
    assert_eq!(batch["n"].null_count(), 1);
}

#[test]
fn columns_of_other_lengths_or_equal_names_are_refused() {
    let vec = |len: u64| {
        let mut vec = DiskVec::new();
        vec.try_extend(0..len).unwrap();
        vec
    };
    let table = Table::new().with("a", vec(3)).unwrap();
    let refused = table.clone().with("b", vec(4)).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::WrongLength {
                found: 4,
                expected: 3,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(
        refused.to_string(),
        "cannot add column b: it has 4 rows, and the table has 3"
    );
    let refused = table.with("a", vec(3)).unwrap_err();
    assert!(matches!(refused, Error::SameName { .. }), "{refused}");
    let array = primitive_array::<UInt64Type>(vec(0));
    assert_eq!(Table::new().with("none", array).unwrap().rows(), 0);
}

/// Returns what outcore says in an error that went through Arrow's reader of batches.
fn kind_of(error: &ArrowError) -> Option<ErrorKind> {
    let ArrowError::ExternalError(error) = error else {
        return None;
    };
    match error.downcast_ref::<Error>() {
        Some(Error::Storage(error)) => Some(error.kind()),
        _ => None,
    }
}

#[test]
fn a_batch_that_failed_is_the_next_one_again() {
    let (arena, _) = arena_of(&[]);
    let mut writer = arena.writer().unwrap();
    let mut locations = DiskVec::new();
    for n in 0..10_u32 {
        locations.push(writer.push(n.to_string()).unwrap()).unwrap();
    }
    let table = Table::new()
        .with("item", Column::items(&arena, locations))
        .unwrap();
    let mut batches = table.batches(&BatchOptions::new().rows(6));
    let refused = batches.next().unwrap().unwrap_err();
    assert_eq!(kind_of(&refused), Some(ErrorKind::NotFlushed), "{refused}");
    writer.flush().unwrap();
    assert_eq!(
        batches
            .map(|batch| batch.unwrap().num_rows())
            .collect::<Vec<_>>(),
        [6, 4]
    );
}

#[test]
fn items_are_gathered_in_any_order_any_number_of_times() {
    for seed in seeds(30) {
        let mut random = Random::new(seed);
        let items: Vec<_> = (0..=random.below(50))
            .map(|id| testkit::item(id as u64, random.len(3000)))
            .collect();
        let (arena, locations) = arena_of(&items);
        let wanted: Vec<_> = (0..random.below(200))
            .map(|_| random.below(items.len()))
            .collect();
        let wanted_locations: Vec<_> = wanted.iter().map(|item| locations[*item]).collect();
        let array = items_array(&arena, &wanted_locations).unwrap();
        assert!(
            array
                .iter()
                .flatten()
                .eq(wanted.iter().map(|item| &items[*item][..])),
            "{seed}"
        );
    }
}

#[test]
fn items_that_are_no_text_are_named() {
    // Each half of a character is no text, though both together are.
    let [first, second] = [b"\xC3".to_vec(), b"\xA9".to_vec()];
    let (arena, locations) = arena_of(&[b"good".to_vec(), first, second]);
    let refused = text_items_array(&arena, &locations).unwrap_err();
    assert!(
        matches!(refused, Error::InvalidUtf8 { item: 1 }),
        "{refused}"
    );
    let array = text_items_array(&arena, &locations[..1]).unwrap();
    assert_eq!(array.value(0), "good");
}

#[test]
fn locations_of_other_arenas_and_forged_lengths_are_typed_errors() {
    let (arena, locations) = arena_of(&[b"item".to_vec()]);
    let (other, _) = arena_of(&[b"other item".to_vec()]);
    let kind = |refused| match refused {
        Error::Storage(refused) => refused.kind(),
        refused => panic!("{refused}"),
    };
    let refused = items_array(&other, &locations).unwrap_err();
    assert_eq!(kind(refused), ErrorKind::ForeignLocation);
    let mut forged = locations[0].to_bytes();
    forged[8..].fill(0xFF);
    let forged = [outcore::Location::from_bytes(forged); 1000];
    let refused = items_array(&arena, &forged).unwrap_err();
    assert_eq!(kind(refused), ErrorKind::OutOfBounds);
}
