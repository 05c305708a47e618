//! The order in which a program says it will read.

use crate::sys::Hint;

/// The order in which a program will read a mapping. The kernel adapts its read-ahead to it.
///
/// # Examples
///
/// ```
/// use outcore::{Advice, Arena};
///
/// let arena = Arena::new()?;
/// let mut writer = arena.writer()?;
/// let location = writer.push("looked up now and then")?;
/// writer.flush()?;
/// let map = arena.map()?;
/// map.advise(Advice::Random)?;
/// assert_eq!(map.get(location)?, b"looked up now and then");
/// # Ok::<(), outcore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Advice {
    /// No particular order. The kernel reads the device's `read_ahead_kb` around each page that is
    /// not in memory: 128 KiB on most machines, 8 MiB on some cloud images.
    #[default]
    Normal,
    /// In ascending order: the kernel reads far ahead, and drops pages early after they were read.
    Sequential,
    /// At random: a page that is not in memory is read alone.
    Random,
}

impl From<Advice> for Hint {
    fn from(advice: Advice) -> Self {
        match advice {
            Advice::Normal => Self::Normal,
            Advice::Sequential => Self::Sequential,
            Advice::Random => Self::Random,
        }
    }
}
