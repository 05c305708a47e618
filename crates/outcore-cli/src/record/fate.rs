//! What a command decides about a record.

/// What becomes of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fate {
    /// It is a repeat.
    #[default]
    Drop = 0,
    /// It is the first.
    Keep = 1,
    /// That will be known later.
    Pending = 2,
    /// It is no record at all, and goes nowhere.
    Bad = 3,
}
