//! The whole way from input to kept lines against a model, and a canary.

use std::collections::HashSet;
use std::io::{self, Read};

use crate::dedup::filter::Filter;
use crate::dedup::input::{Blocks, Input};
use crate::memory::budget::Budget;
use crate::random::Random;

/// Makes some files of lines over few different bytes, so that most lines repeat.
fn files(random: &mut Random) -> Vec<Vec<u8>> {
    const BYTES: [u8; 5] = [b'\n', b'a', b'\r', 0, 0xff];
    let count = 1 + random.index(3);
    let kinds = 2 + random.index(BYTES.len() - 1);
    (0..count)
        .map(|_| {
            let len = random.index(200);
            (0..len).map(|_| BYTES[random.index(kinds)]).collect()
        })
        .collect()
}

/// The obvious way: split, remember, join.
fn model(files: &[Vec<u8>]) -> Vec<u8> {
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for (number, file) in files.iter().enumerate() {
        for line in file.split_inclusive(|&byte| byte == b'\n') {
            let bytes = line.strip_suffix(b"\n").unwrap_or(line);
            if seen.insert(bytes) {
                kept.extend_from_slice(bytes);
                if line.len() > bytes.len() || number + 1 < files.len() {
                    kept.push(b'\n');
                }
            }
        }
    }
    kept
}

/// What happens to a filter between two blocks; nothing, if it is honest.
type Between = fn(&mut Filter, &mut Budget);

/// The real way, with blocks of a given length.
fn dedup(files: &[Vec<u8>], block_len: usize, between: Between) -> Vec<u8> {
    let mut budget = Budget::with_available(1 << 24);
    let inputs = files.iter().map(|file| Input::Stream {
        name: "test".to_owned(),
        stream: Box::new(io::Cursor::new(file.clone())) as Box<dyn Read>,
        len_bytes: None,
    });
    let mut blocks = Blocks::new(inputs.collect(), block_len, &mut budget).unwrap();
    let mut filter = Filter::with_small_index(&mut budget);
    let mut kept = Vec::new();
    while let Some(block) = blocks.next_block(&mut budget).unwrap() {
        let len = filter.keep_new(block, &mut budget).unwrap();
        kept.extend_from_slice(&block[..len]);
        between(&mut filter, &mut budget);
    }
    kept
}

/// Compares the two.
fn run(seed: u64, between: Between) {
    let files = files(&mut Random::new(seed));
    let expected = model(&files);
    for block_len in (1..20).chain([64, 200, 1000]) {
        let kept = dedup(&files, block_len, between);
        assert_eq!(
            kept.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "seed {seed}, blocks of {block_len}, files {files:?}"
        );
    }
}

#[test]
fn the_result_is_that_of_the_model_at_every_block_length() {
    let first = std::env::var("OUTCORE_SEED").map_or(0, |seed| seed.parse().unwrap());
    for seed in first..first + 60 {
        run(seed, |_filter, _budget| {});
    }
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_filter_that_forgets_is_found() {
    run(0, |filter, budget| {
        *budget = Budget::with_available(1 << 24);
        *filter = Filter::with_small_index(budget);
    });
}
