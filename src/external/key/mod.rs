//! Keys whose order a number shows: `SortKey`, and its implementations for std's types.

use std::cmp::{Ordering, Reverse};

use crate::budget::Plain;
use crate::external::radix::Item;

/// A key with an order-preserving prefix: a number by which keys can be sorted without comparing
/// them.
///
/// Implemented for integers, floats (by their total order), `bool`, `char`, `()`, tuples, arrays,
/// [`Option`], [`Reverse`], byte strings and strings. Keys whose prefix says everything are sorted
/// by distribution, in two passes over the data; others by sorted runs and a merge that looks at
/// the prefix first.
///
/// # Implementing it
///
/// The prefix is in the highest [`PREFIX_BITS`](Self::PREFIX_BITS) bits of the number; lower bits are zero. If
/// one key is less than another, its prefix must not be greater. With [`EXACT`](Self::EXACT), keys
/// with the same prefix must be equal. An implementation that breaks this gets its elements in some
/// other order; nothing worse.
///
/// # Examples
///
/// ```
/// use std::cmp::Ordering;
/// use outcore::external::SortKey;
///
/// /// A version, of which major and minor are the prefix.
/// struct Version { major: u32, minor: u32, suffix: String }
///
/// impl SortKey for Version {
///     const PREFIX_BITS: u32 = 64;
///     const EXACT: bool = false;
///
///     fn prefix(&self) -> u128 {
///         (self.major, self.minor).prefix()
///     }
///
///     fn compare(&self, other: &Self) -> Ordering {
///         let numbers = (self.major, self.minor).cmp(&(other.major, other.minor));
///         numbers.then_with(|| self.suffix.cmp(&other.suffix))
///     }
/// }
/// ```
pub trait SortKey: Sized {
    /// How many bits a prefix has, at most 128.
    const PREFIX_BITS: u32;

    /// Whether keys with the same prefix are equal.
    const EXACT: bool;

    /// Returns the key of a prefix. Not for implementations outside of this crate.
    #[doc(hidden)]
    const BACK: Back<Self> = Back(None);

    /// Returns the prefix, in the highest bits.
    fn prefix(&self) -> u128;

    /// Compares two complete keys.
    fn compare(&self, other: &Self) -> Ordering;
}

/// The function that restores a key from its prefix: only for types of plain numbers, whose copies
/// are equivalent. No other code can create one.
#[doc(hidden)]
#[derive(Debug)]
pub struct Back<K>(pub(super) Option<fn(u128) -> K>);

/// Numbers that sort as the prefixes do, and are as wide as they have to be.
pub(super) trait Word: Plain + Ord + Send + Sync + Item<Word = Self> + 'static {
    fn from_prefix(prefix: u128) -> Self;

    fn to_prefix(self) -> u128;

    /// Returns how many bits distinguish the two, and all words between them.
    fn bits_above(self, least: Self) -> u32;

    /// Returns the difference to `least`, without the lowest bits.
    fn digit(self, least: Self, shift: u32) -> usize;
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the digits that are asked for fit, and lower halves are meant"
)]
mod words {
    use super::Word;

    impl Word for u64 {
        #[inline]
        fn from_prefix(prefix: u128) -> Self {
            (prefix >> 64) as Self
        }

        #[inline]
        fn to_prefix(self) -> u128 {
            u128::from(self) << 64
        }

        #[inline]
        fn bits_above(self, least: Self) -> u32 {
            Self::BITS.wrapping_sub(self.wrapping_sub(least).leading_zeros())
        }

        #[inline]
        fn digit(self, least: Self, shift: u32) -> usize {
            self.wrapping_sub(least).wrapping_shr(shift) as usize
        }
    }

    impl Word for u128 {
        #[inline]
        fn from_prefix(prefix: u128) -> Self {
            prefix
        }

        #[inline]
        fn to_prefix(self) -> u128 {
            self
        }

        #[inline]
        fn bits_above(self, least: Self) -> u32 {
            Self::BITS.wrapping_sub(self.wrapping_sub(least).leading_zeros())
        }

        #[inline]
        fn digit(self, least: Self, shift: u32) -> usize {
            self.wrapping_sub(least).wrapping_shr(shift) as usize
        }
    }
}

/// Moves the lowest `bits` bits to the highest.
const fn high(number: u128, bits: u32) -> u128 {
    number.wrapping_shl(128_u32.wrapping_sub(bits))
}

/// Moves the highest `bits` bits to the lowest.
const fn low(prefix: u128, bits: u32) -> u128 {
    prefix.wrapping_shr(128_u32.wrapping_sub(bits))
}

/// Keys of a few bits, all of which are the prefix: `$to` makes the number, `$from` the key.
macro_rules! exact {
    ($($key:ty, $bits:expr, $compare:expr, $to:expr, $from:expr;)*) => {$(
        impl SortKey for $key {
            const PREFIX_BITS: u32 = $bits;
            const EXACT: bool = true;
            const BACK: Back<Self> = Back(Some(|prefix| {
                let from: fn(u128) -> $key = $from;
                from(low(prefix, Self::PREFIX_BITS))
            }));

            #[inline]
            fn prefix(&self) -> u128 {
                let to: fn($key) -> u128 = $to;
                high(to(*self), Self::PREFIX_BITS)
            }

            fn compare(&self, other: &Self) -> Ordering {
                let compare: fn(&$key, &$key) -> Ordering = $compare;
                compare(self, other)
            }
        }
    )*};
}

/// Integers, and floats as integers of their order.
macro_rules! numbers {
    (
        unsigned: $($unsigned:ty)*;
        signed: $($signed:ty as $bits:ty),*;
        floats: $($float:ty as $int:ty as $uint:ty),*
    ) => {
        exact! {
            $($unsigned, <$unsigned>::BITS, Ord::cmp, |key| key as u128, |number| number as $unsigned;)*
            $($signed, <$signed>::BITS, Ord::cmp,
                |key| (key ^ <$signed>::MIN) as $bits as u128,
                |number| number as $signed ^ <$signed>::MIN;)*
            $($float, <$uint>::BITS, <$float>::total_cmp,
                |key| {
                    let bits = key.to_bits() as $int;
                    // Negative numbers are in the order of their complements.
                    let order = bits ^ ((bits >> (<$uint>::BITS - 1)) & <$int>::MAX);
                    (order ^ <$int>::MIN) as $uint as u128
                },
                |number| {
                    let order = number as $int ^ <$int>::MIN;
                    let bits = order ^ ((order >> (<$uint>::BITS - 1)) & <$int>::MAX);
                    <$float>::from_bits(bits as $uint)
                };)*
        }
    };
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_lossless,
    trivial_numeric_casts,
    reason = "bits of numbers of the same width"
)]
mod plain {
    use super::{Back, Ordering, SortKey, high, low};

    numbers! {
        unsigned: u8 u16 u32 u64 u128 usize;
        signed: i8 as u8, i16 as u16, i32 as u32, i64 as u64, i128 as u128, isize as usize;
        floats: f32 as i32 as u32, f64 as i64 as u64
    }

    exact! {
        bool, 8, Ord::cmp, |key| key as u128, |number| number != 0;
        char, 32, Ord::cmp, |key| key as u128,
            |number| char::from_u32(number as u32).unwrap_or_default();
    }
}

impl SortKey for () {
    const PREFIX_BITS: u32 = 0;
    const EXACT: bool = true;

    fn prefix(&self) -> u128 {
        0
    }

    fn compare(&self, _other: &Self) -> Ordering {
        Ordering::Equal
    }
}

/// Returns `bits` and `more` together, as far as a prefix has room.
const fn bits_of_both(bits: u32, more: u32) -> u32 {
    let both = bits.saturating_add(more);
    if both > 128 { 128 } else { both }
}

/// Appends the prefix of a second key to that of a first, whose prefix is exact.
const fn both(first: u128, bits: u32, second: u128) -> u128 {
    match second.checked_shr(bits) {
        Some(second) => first | second,
        None => first,
    }
}

/// Returns the rest of a prefix behind the first `bits`.
const fn behind(prefix: u128, bits: u32) -> u128 {
    match prefix.checked_shl(bits) {
        Some(rest) => rest,
        None => 0,
    }
}

impl<A: SortKey> SortKey for (A,) {
    const PREFIX_BITS: u32 = A::PREFIX_BITS;
    const EXACT: bool = A::EXACT;

    fn prefix(&self) -> u128 {
        self.0.prefix()
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.0.compare(&other.0)
    }
}

impl<A: SortKey, B: SortKey> SortKey for (A, B) {
    const PREFIX_BITS: u32 = if A::EXACT {
        bits_of_both(A::PREFIX_BITS, B::PREFIX_BITS)
    } else {
        A::PREFIX_BITS
    };
    const EXACT: bool =
        A::EXACT && B::EXACT && A::PREFIX_BITS.saturating_add(B::PREFIX_BITS) <= 128;
    const BACK: Back<Self> = match (Self::EXACT, A::BACK.0, B::BACK.0) {
        (true, Some(_), Some(_)) => Back(Some(|prefix| match (A::BACK.0, B::BACK.0) {
            (Some(first), Some(second)) => (first(prefix), second(behind(prefix, A::PREFIX_BITS))),
            _ => unreachable!("a key without a way back"),
        })),
        _ => Back(None),
    };

    #[inline]
    fn prefix(&self) -> u128 {
        if A::EXACT {
            both(self.0.prefix(), A::PREFIX_BITS, self.1.prefix())
        } else {
            self.0.prefix()
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let first = self.0.compare(&other.0);
        first.then_with(|| self.1.compare(&other.1))
    }
}

/// Longer tuples: as many of the keys as fit, up to the first whose prefix is not exact.
macro_rules! tuples {
    ($(($($names:ident $fields:tt),*);)*) => {$(
        impl<$($names: SortKey),*> SortKey for ($($names,)*) {
            const PREFIX_BITS: u32 = {
                let (mut bits, mut exact) = (0, true);
                $(
                    bits = if exact { bits_of_both(bits, $names::PREFIX_BITS) } else { bits };
                    exact = exact && $names::EXACT;
                )*
                let _all = exact;
                bits
            };
            const EXACT: bool = {
                let bits = 0_u32;
                $(let bits = bits.saturating_add($names::PREFIX_BITS);)*
                true $(&& $names::EXACT)* && bits <= 128
            };

            #[inline]
            fn prefix(&self) -> u128 {
                let (prefix, bits, exact) = (0, 0_u32, true);
                $(
                    let more = if exact { self.$fields.prefix() } else { 0 };
                    let prefix = both(prefix, bits, more);
                    let bits = bits.saturating_add($names::PREFIX_BITS);
                    let exact = exact && $names::EXACT;
                )*
                let _all = (bits, exact);
                prefix
            }

            fn compare(&self, other: &Self) -> Ordering {
                Ordering::Equal$(.then_with(|| self.$fields.compare(&other.$fields)))*
            }
        }
    )*};
}

tuples! {
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
    (A 0, B 1, C 2, D 3, E 4);
    (A 0, B 1, C 2, D 3, E 4, F 5);
}

/// Returns the bits of `count` keys of `bits` each, at most 129.
const fn bits_of_all(count: usize, bits: u32) -> u32 {
    let (mut all, mut left) = (0_u32, count);
    while left > 0 && all <= 128 {
        all = all.saturating_add(bits);
        left = left.saturating_sub(1);
        if bits == 0 {
            break;
        }
    }
    if all > 128 { 129 } else { all }
}

impl<K: SortKey, const N: usize> SortKey for [K; N] {
    const PREFIX_BITS: u32 = if K::EXACT {
        bits_of_both(bits_of_all(N, K::PREFIX_BITS), 0)
    } else if N == 0 {
        0
    } else {
        K::PREFIX_BITS
    };
    const EXACT: bool = N == 0 || (K::EXACT && bits_of_all(N, K::PREFIX_BITS) <= 128);

    #[inline]
    fn prefix(&self) -> u128 {
        let (mut prefix, mut bits) = (0, 0_u32);
        for key in self {
            prefix = both(prefix, bits, key.prefix());
            bits = bits.saturating_add(K::PREFIX_BITS);
            if !K::EXACT || bits >= 128 {
                break;
            }
        }
        prefix
    }

    fn compare(&self, other: &Self) -> Ordering {
        let mut orders = self
            .iter()
            .zip(other)
            .map(|(key, other)| key.compare(other));
        orders
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl<K: SortKey> SortKey for Reverse<K> {
    const PREFIX_BITS: u32 = K::PREFIX_BITS;
    const EXACT: bool = K::EXACT;
    const BACK: Back<Self> = match K::BACK.0 {
        Some(_) => Back(Some(|prefix| match K::BACK.0 {
            Some(back) => Self(back(mirror(prefix, K::PREFIX_BITS))),
            None => unreachable!("a key without a way back"),
        })),
        None => Back(None),
    };

    #[inline]
    fn prefix(&self) -> u128 {
        mirror(self.0.prefix(), K::PREFIX_BITS)
    }

    fn compare(&self, other: &Self) -> Ordering {
        other.0.compare(&self.0)
    }
}

/// Reverses the order of prefixes of `bits` bits.
const fn mirror(prefix: u128, bits: u32) -> u128 {
    !prefix & behind(u128::MAX, 128_u32.wrapping_sub(bits))
}

impl<K: SortKey> SortKey for Option<K> {
    const PREFIX_BITS: u32 = bits_of_both(8, K::PREFIX_BITS);
    const EXACT: bool = K::EXACT && K::PREFIX_BITS <= 120;

    #[inline]
    fn prefix(&self) -> u128 {
        let some = |key: &K| both(high(1, 8), 8, key.prefix());
        self.as_ref().map_or(0, some)
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Some(key), Some(other)) => key.compare(other),
            (key, other) => key.is_some().cmp(&other.is_some()),
        }
    }
}

impl<K: SortKey> SortKey for &K {
    const PREFIX_BITS: u32 = K::PREFIX_BITS;
    const EXACT: bool = K::EXACT;

    #[inline]
    fn prefix(&self) -> u128 {
        (**self).prefix()
    }

    fn compare(&self, other: &Self) -> Ordering {
        (**self).compare(other)
    }
}

/// Returns the first 16 bytes as a number; missing bytes count as zero.
#[inline]
pub(super) fn prefix_of_bytes(bytes: &[u8]) -> u128 {
    if let Some(first) = bytes.first_chunk::<16>() {
        return u128::from_be_bytes(*first);
    }
    let mut first = [0; 16];
    for (target, byte) in first.iter_mut().zip(bytes) {
        *target = *byte;
    }
    u128::from_be_bytes(first)
}

/// Byte strings and texts: the first bytes are the prefix.
macro_rules! strings {
    ($($key:ty, $bytes:expr;)*) => {$(
        impl SortKey for $key {
            const PREFIX_BITS: u32 = 128;
            const EXACT: bool = false;

            fn prefix(&self) -> u128 {
                let bytes: fn(&Self) -> &[u8] = $bytes;
                prefix_of_bytes(bytes(self))
            }

            fn compare(&self, other: &Self) -> Ordering {
                self.cmp(other)
            }
        }
    )*};
}

strings! {
    &[u8], |key| key;
    &str, |key| key.as_bytes();
    Vec<u8>, |key| key;
    String, |key| key.as_bytes();
    Box<[u8]>, |key| key;
    Box<str>, |key| key.as_bytes();
    std::sync::Arc<[u8]>, |key| key;
    std::sync::Arc<str>, |key| key.as_bytes();
}

#[cfg(test)]
mod tests;
