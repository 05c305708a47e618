//! Parquet files have the rows of their containers.

use std::io::{self, Write};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use outcore::{DiskVec, StrVec};
use outcore_arrow::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use outcore_arrow::parquet::basic::Compression;
use outcore_arrow::parquet::file::properties::WriterProperties;
use outcore_arrow::{
    Column, Error, ParquetOptions, Table, append_items, append_numbers, append_strings,
};
use testkit::Random;

use crate::{arena_of, seeds, text};

#[test]
fn a_table_goes_through_a_file_into_containers_again() {
    for seed in seeds(8) {
        let mut random = Random::new(seed);
        let rows = random.pick(&[0_usize, 1, 500, 20_000]);
        let longest = random.pick(&[0, 4, 40]);
        let numbers: Vec<_> = (0..rows).map(|_| random.next()).collect();
        let strings: Vec<_> = (0..rows).map(|_| text(&mut random, longest)).collect();
        let items: Vec<_> = (0..rows)
            .map(|id| testkit::item(id as u64, random.below(60)))
            .collect();
        let (mut vec, mut texts) = (DiskVec::new(), StrVec::new());
        vec.extend_from_slice(&numbers).unwrap();
        texts.try_extend(&strings).unwrap();
        let (arena, locations) = arena_of(&items);
        let table = Table::new()
            .with("number", vec)
            .unwrap()
            .with("string", texts)
            .unwrap();
        let table = table
            .with("item", Column::items(&arena, locations))
            .unwrap();

        let codec = random.pick(&[Compression::UNCOMPRESSED, Compression::SNAPPY]);
        let properties = WriterProperties::builder().set_compression(codec);
        let properties = properties.set_max_row_group_row_count(Some(7000)).build();
        let mut file = Vec::new();
        let options = ParquetOptions::new().properties(properties);
        let written = table.write_parquet(&mut file, &options).unwrap();
        assert_eq!(written.num_row_groups(), rows.div_ceil(7000), "seed {seed}");

        let file = bytes::Bytes::from(file);
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap();
        let (mut vec, mut texts) = (DiskVec::new(), StrVec::new());
        let (arena, mut locations) = arena_of(&[]);
        let mut writer = arena.writer().unwrap();
        for batch in reader {
            let batch = batch.unwrap();
            append_numbers::<UInt64Type>(&mut vec, &batch["number"]).unwrap();
            append_strings(&mut texts, &batch["string"]).unwrap();
            append_items(&mut writer, &mut locations, &batch["item"]).unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(vec, numbers, "seed {seed}");
        assert!(texts.iter().eq(&strings), "seed {seed}");
        let found = locations.iter().map(|item| arena.get(*item).unwrap());
        assert!(found.eq(items), "seed {seed}");
    }
}

#[test]
fn too_little_memory_for_the_columns_is_refused_before_anything_is_written() {
    let mut vec = DiskVec::new();
    vec.push(1_u64).unwrap();
    let table = Table::new().with("a", vec).unwrap();
    let mut file = Vec::new();
    let options = ParquetOptions::new().memory((8 << 20) - 1);
    let refused = table.write_parquet(&mut file, &options).unwrap_err();
    assert!(matches!(refused, Error::OverBudget { .. }), "{refused}");
    assert_eq!(
        refused.to_string(),
        "cannot write the table: it needs 8388608 bytes of memory, and 8388607 are allowed"
    );
    assert!(file.is_empty());
}

/// A target that is full after some bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        match taken {
            0 if !bytes.is_empty() => Err(io::ErrorKind::StorageFull.into()),
            taken => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_target_that_is_full_is_an_error_wherever_that_happens() {
    let mut vec = DiskVec::new();
    vec.try_extend((0..100_000_u64).map(|n| n * n)).unwrap();
    let table = Table::new().with("square", vec).unwrap();
    let mut whole = Vec::new();
    table
        .write_parquet(&mut whole, &ParquetOptions::new())
        .unwrap();
    for room in [0, 3, whole.len() / 2, whole.len() - 1] {
        let refused = table
            .write_parquet(Full(room), &ParquetOptions::new())
            .unwrap_err();
        assert!(matches!(refused, Error::Parquet(_)), "{refused}");
    }
    table
        .write_parquet(Full(whole.len()), &ParquetOptions::new())
        .unwrap();
}

#[test]
fn an_item_that_cannot_be_read_is_the_error_of_the_file() {
    let (arena, mut locations) = arena_of(&[b"item".to_vec()]);
    let mut writer = arena.writer().unwrap();
    locations.push(writer.push("not flushed").unwrap()).unwrap();
    let table = Table::new()
        .with("item", Column::items(&arena, locations))
        .unwrap();
    let refused = table
        .write_parquet(io::sink(), &ParquetOptions::new())
        .unwrap_err();
    let Error::Storage(refused) = refused else {
        panic!("{refused}");
    };
    assert_eq!(refused.kind(), outcore::ErrorKind::NotFlushed);
}

#[test]
fn the_values_of_a_file_are_those_of_the_table_whatever_the_memory() {
    let mut random = Random::new(7);
    let mut vec = StrVec::new();
    vec.try_extend((0..300_000).map(|_| text(&mut random, 60)))
        .unwrap();
    let strings = std::sync::Arc::new(vec);
    let table = Table::new()
        .with("s", std::sync::Arc::clone(&strings))
        .unwrap();
    let mut file = Vec::new();
    let options = ParquetOptions::new().memory(8 << 20);
    let written = table.write_parquet(&mut file, &options).unwrap();
    assert!(written.num_row_groups() > 4, "{}", written.num_row_groups());
    let file = bytes::Bytes::from(file);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let mut left = strings.iter();
    for batch in reader {
        let batch = batch.unwrap();
        for string in batch["s"].as_string::<i64>() {
            assert_eq!(string, left.next());
        }
    }
    assert_eq!(left.next(), None);
}
