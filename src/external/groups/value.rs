//! Values of groups that can be stored as bytes.

/// A value that can be stored as bytes and restored.
///
/// Implemented for numbers, `bool`, `char`, pairs and arrays of them.
///
/// # Examples
///
/// ```
/// use outcore::external::GroupValue;
///
/// /// How often something was seen, and where first.
/// #[derive(Clone, Copy)]
/// struct Seen { count: u64, first: u32 }
///
/// impl GroupValue for Seen {
///     fn append_to(&self, bytes: &mut Vec<u8>) {
///         (self.count, self.first).append_to(bytes);
///     }
///
///     fn take_from(bytes: &mut &[u8]) -> Self {
///         let (count, first) = GroupValue::take_from(bytes);
///         Seen { count, first }
///     }
/// }
/// ```
pub trait GroupValue: Copy {
    /// Appends the value to `bytes`, which is at most 1 KiB.
    fn append_to(&self, bytes: &mut Vec<u8>);

    /// Removes the value from the start of `bytes`: what [`append_to`](Self::append_to) appended.
    fn take_from(bytes: &mut &[u8]) -> Self;
}

/// Numbers, by their bytes.
macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl GroupValue for $number {
            fn append_to(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn take_from(bytes: &mut &[u8]) -> Self {
                let Some((first, rest)) = bytes.split_first_chunk() else {
                    return Self::default();
                };
                *bytes = rest;
                Self::from_le_bytes(*first)
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

impl GroupValue for () {
    fn append_to(&self, _bytes: &mut Vec<u8>) {}

    fn take_from(_bytes: &mut &[u8]) -> Self {}
}

impl GroupValue for bool {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        u8::from(*self).append_to(bytes);
    }

    fn take_from(bytes: &mut &[u8]) -> Self {
        u8::take_from(bytes) != 0
    }
}

impl GroupValue for char {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        u32::from(*self).append_to(bytes);
    }

    fn take_from(bytes: &mut &[u8]) -> Self {
        Self::from_u32(u32::take_from(bytes)).unwrap_or_default()
    }
}

impl<A: GroupValue, B: GroupValue> GroupValue for (A, B) {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        self.0.append_to(bytes);
        self.1.append_to(bytes);
    }

    fn take_from(bytes: &mut &[u8]) -> Self {
        let first = A::take_from(bytes);
        (first, B::take_from(bytes))
    }
}

impl<V: GroupValue, const N: usize> GroupValue for [V; N] {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        for value in self {
            value.append_to(bytes);
        }
    }

    fn take_from(bytes: &mut &[u8]) -> Self {
        std::array::from_fn(|_| V::take_from(bytes))
    }
}
