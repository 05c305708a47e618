//! Keys of every kind are in the order of their values.

use std::fmt::Debug;

use super::*;

/// The prefixes of keys in ascending order must ascend, and differ for different keys if they
/// are exact.
fn ascend<K: SortKey + Debug>(keys: &[K]) {
    for (less, more) in keys.iter().zip(keys.get(1..).unwrap()) {
        assert!(less.compare(more).is_lt(), "{less:?}, {more:?}");
        assert!(more.compare(less).is_gt(), "{less:?}, {more:?}");
        assert!(less.prefix() <= more.prefix(), "{less:?}, {more:?}");
        assert!(
            !K::EXACT || less.prefix() < more.prefix(),
            "{less:?}, {more:?}"
        );
    }
    for key in keys {
        let unused = u128::MAX.checked_shr(K::PREFIX_BITS).unwrap_or(0);
        assert_eq!(key.prefix() & unused, 0, "{key:?}: lower bits");
        if let Some(back) = K::BACK.0 {
            assert!(
                back(key.prefix()).compare(key).is_eq(),
                "{key:?}: the way back"
            );
        }
    }
}

#[test]
fn numbers_are_in_the_order_of_their_prefixes() {
    ascend(&[0_u8, 1, 127, 128, 255]);
    ascend(&[i8::MIN, -1, 0, 1, i8::MAX]);
    ascend(&[0_u32, 1, 1 << 31, u32::MAX]);
    ascend(&[i64::MIN, -5_000_000_000, -1, 0, 7, i64::MAX]);
    ascend(&[0_u128, 1, 1 << 64, u128::MAX]);
    ascend(&[i128::MIN, -1, 0, i128::MAX]);
    ascend(&[isize::MIN, -1, 0, 1]);
    ascend(&[false, true]);
    ascend(&['\0', 'a', '\u{d7ff}', '\u{e000}', char::MAX]);
    let doubles = [
        f64::NEG_INFINITY,
        -1.5,
        -f64::MIN_POSITIVE,
        -0.0,
        0.0,
        1e-300,
        2.0,
    ];
    ascend(&doubles);
    ascend(&[2.0, f64::INFINITY, f64::NAN]);
    ascend(&[
        -f32::NAN,
        f32::NEG_INFINITY,
        -1.5,
        -0.0,
        0.0,
        2.0,
        f32::INFINITY,
    ]);
    ascend(&[()]);
}

#[test]
fn compounds_are_in_the_order_of_their_prefixes() {
    ascend(&[(0_u8, 5_i32), (1, -1), (1, 0), (2, i32::MIN)]);
    ascend(&[(1_u64, 2_u64), (1, 3), (2, 0)]);
    ascend(&[(1_u64, 2_u128), (1, 3), (2, 0)]);
    ascend(&[(1_u8, "a", 9), (1, "b", 0), (1, "b", 1), (2, "", 0)]);
    ascend(&[
        (0_u16, 1_u16, 2_u16, 3_u16),
        (0, 1, 2, 4),
        (0, 1, 3, 0),
        (1, 0, 0, 0),
    ]);
    ascend(&[(7_u8,), (8,)]);
    ascend(&[[0_u32, 1, 2], [0, 2, 0], [1, 0, 0]]);
    ascend(&[[0_u64, 1, 2], [0, 1, 3], [1, 0, 0]]);
    ascend(&[[1_u8; 20], [2; 20]]);
    ascend(&[["a", "b"], ["a", "c"], ["b", ""]]);
    ascend(&[Reverse(9_u32), Reverse(5), Reverse(0)]);
    ascend(&[Reverse("b"), Reverse("a"), Reverse("")]);
    ascend(&[
        (Reverse(3_i16), false),
        (Reverse(3), true),
        (Reverse(-3), false),
    ]);
    ascend(&[None, Some(i32::MIN), Some(0), Some(7)]);
    ascend(&[None, Some(""), Some("a"), Some("aa")]);
    ascend(&[&1_u8, &2]);
}

#[test]
fn strings_are_in_the_order_of_their_prefixes() {
    let texts = [
        "",
        "\0",
        "a",
        "a\0",
        "a\0b",
        "ab",
        "abcdefghijklmnop",
        "abcdefghijklmnopq",
    ];
    ascend(&texts);
    ascend(&texts.map(str::as_bytes));
    ascend(&texts.map(str::to_owned));
    ascend(&texts.map(Box::<str>::from));
    let reversed = texts.map(|text| Reverse(text.as_bytes().to_vec()));
    ascend(&reversed.into_iter().rev().collect::<Vec<_>>());
}
