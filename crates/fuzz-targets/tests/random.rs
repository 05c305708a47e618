//! Runs all targets on random bytes, and each with a planted bug that it must find.
//!
//! `OUTCORE_FUZZ_CASES=100000 cargo test --release -p fuzz-targets` runs more of them, and
//! `OUTCORE_SEED` sets the first seed.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a panic is a failed test, and prints the command that repeats it"
)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use fuzz_targets::{TARGETS, Target};
use testkit::Random;

/// Cases of each target by default.
const CASES: u64 = 40;

/// Cases in which a planted bug must be found.
const CASES_PLANTED: u64 = 2000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Returns the bytes of a seed: mostly few, and in some cases mostly of one kind.
fn data(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut next = move || random.next();
    let longest = if seed % 8 == 0 { 4000 } else { 300 };
    let len = next() % longest;
    let mask = [0xFF, 0xFF, 0xFF, 0x1F][usize::from(next().to_le_bytes()[0] % 4)];
    let mut bytes = next().to_le_bytes().to_vec();
    bytes.extend((0..len).map(|_| next().to_le_bytes()[0] & mask));
    bytes
}

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).unwrap()
}

fn finds_nothing(name: &str) {
    let first = number("OUTCORE_SEED").unwrap_or(0);
    for seed in first..first + number("OUTCORE_FUZZ_CASES").unwrap_or(CASES) {
        let case = AssertUnwindSafe(|| (target(name).run)(&data(seed), false));
        if let Err(panic) = catch_unwind(case) {
            eprintln!("{name}: OUTCORE_SEED={seed} OUTCORE_FUZZ_CASES=1 runs it again");
            resume_unwind(panic);
        }
    }
}

fn finds_its_planted_bug(name: &str) {
    let found = (0..CASES_PLANTED).any(|seed| {
        let case = AssertUnwindSafe(|| (target(name).run)(&data(seed), true));
        catch_unwind(case).is_err()
    });
    assert!(found, "{name}: the planted bug was not found");
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(mod $name {
            /// Run one after the other, since the files of one process have the same names.
            #[test]
            fn agrees_with_its_model_and_finds_its_planted_bug() {
                super::finds_nothing(stringify!($name));
                super::finds_its_planted_bug(stringify!($name));
            }
        })*

        #[test]
        fn all_targets_are_tested() {
            let names = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|target| target.name), names);
        }
    };
}

targets! {
    arena_ops vec_ops alloc_ops ranged_ops strings_ops location cli_input
    sort_ops shuffle_ops sorter_ops group_ops merge_ops sealed_ops
}
