//! Which type the elements of a file have: what is written down, and what is compared.

use std::any::{TypeId, type_name};

use bytemuck::Pod;

use crate::format::arrow::{Column, Layout};

/// The number types that have a name of their own everywhere.
macro_rules! numbers {
    ($($number:ty => $column:expr),* $(,)?) => {
        /// Returns the name of a type of numbers, and its column.
        fn number<T: 'static>() -> Option<(&'static str, Column)> {
            let id = TypeId::of::<T>();
            $(if id == TypeId::of::<$number>() {
                return Some((stringify!($number), $column));
            })*
            None
        }
    };
}

const fn int(bits: i32, signed: bool) -> Column {
    Column::Int { bits, signed }
}

numbers! {
    u8 => int(8, false),
    u16 => int(16, false),
    u32 => int(32, false),
    u64 => int(64, false),
    i8 => int(8, true),
    i16 => int(16, true),
    i32 => int(32, true),
    i64 => int(64, true),
    f32 => Column::Float { precision: 1 },
    f64 => Column::Float { precision: 2 },
}

/// Returns the name of a type without the modules that it is in: those are no part of the promise
/// that it is the same type.
pub(super) fn name_of<T: 'static>() -> String {
    if let Some((name, _column)) = number::<T>() {
        return name.to_owned();
    }
    without_modules(type_name::<T>())
}

/// Returns a path of a type without its modules, also in its arguments.
fn without_modules(path: &str) -> String {
    let mut name = String::new();
    for part in path.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_' && c != ':') {
        name.push_str(part.rsplit("::").next().unwrap_or(part));
    }
    name
}

/// Returns whether a name is that of an array of bytes, as which elements of any type can be read.
pub(super) fn is_bytes<T: 'static>() -> bool {
    let name = type_name::<T>();
    name == "u8" || (name.starts_with("[u8; ") && name.ends_with(']'))
}

/// Returns how Arrow reads this many elements; `None` if it cannot: they have no bytes, or too many.
pub(super) fn layout_of<T: Pod>(elements: u64, covered_bytes: u64) -> Option<Layout> {
    let len = (size_of::<T>() as u64).checked_mul(elements)?;
    let column = match number::<T>() {
        Some((_name, column)) => column,
        None => Column::Fixed {
            bytes: i32::try_from(size_of::<T>())
                .ok()
                .filter(|bytes| *bytes > 0)?,
        },
    };
    Some(Layout {
        column,
        elements: i64::try_from(elements).ok()?,
        body_bytes: i64::try_from(covered_bytes).ok()?,
        // No element is missing, so there are no bits that say so.
        buffers: vec![(0, 0), (0, i64::try_from(len).ok()?)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_of_a_type_are_no_part_of_its_name() {
        assert_eq!(without_modules("u64"), "u64");
        assert_eq!(without_modules("a::b::Point"), "Point");
        assert_eq!(without_modules("[a::Point; 4]"), "[Point; 4]");
        let nested = without_modules("a::Pair<b::c::Left, [d::Right; 2]>");
        assert_eq!(nested, "Pair<Left, [Right; 2]>");
        assert_eq!(name_of::<u16>(), "u16");
    }
}
