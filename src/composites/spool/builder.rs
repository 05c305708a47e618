//! What a spool is about to be.

use std::fmt;

use crate::budget::MemoryBudget;
use crate::composites::spool::Spool;
use crate::composites::spool::codec::Postcard;
use crate::composites::spool::compress::Compress;
use crate::composites::spool::store::{Shared, Store};
use crate::io::dir::ScratchDir;

/// What a [`Spool`] is about to be: its budget, and if you like a directory, a codec, and how blocks
/// are compressed.
///
/// # Examples
///
/// ```
/// use outcore::spool::SpoolBuilder;
/// use outcore::{MemoryBudget, ScratchDir, Spool};
///
/// let dir = ScratchDir::from_env()?;
/// let mut spool: Spool<String> = SpoolBuilder::new(&MemoryBudget::new(16 << 20)).dir(&dir).build();
/// spool.push(&"text".to_owned())?;
/// # Ok::<(), outcore::Error>(())
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct SpoolBuilder<C = Postcard> {
    budget: MemoryBudget,
    dir: Option<ScratchDir>,
    compress: Option<Box<dyn Compress>>,
    codec: C,
}

impl SpoolBuilder {
    /// Begins with a budget, [`Postcard`], and blocks that are not compressed.
    pub fn new(budget: &MemoryBudget) -> Self {
        Self {
            budget: budget.clone(),
            dir: None,
            compress: None,
            codec: Postcard,
        }
    }
}

impl<C> SpoolBuilder<C> {
    /// Sets the directory of the file. Without it, it is that of [`ScratchDir::from_env`].
    pub fn dir(mut self, dir: &ScratchDir) -> Self {
        self.dir = Some(dir.clone());
        self
    }

    /// Sets how values become bytes.
    pub fn codec<D>(self, codec: D) -> SpoolBuilder<D> {
        SpoolBuilder {
            budget: self.budget,
            dir: self.dir,
            compress: self.compress,
            codec,
        }
    }

    /// Sets how blocks are compressed on their way to disk. It takes memory for a second block,
    /// wherever one is written or read; where the budget has none, a block is written as it is.
    pub fn compress(mut self, compress: impl Compress + 'static) -> Self {
        self.compress = Some(Box::new(compress));
        self
    }

    /// Compresses blocks by LZ4. See [`compress`](Self::compress).
    #[cfg(feature = "lz4")]
    pub fn lz4(self) -> Self {
        self.compress(crate::composites::spool::compress::Lz4)
    }

    /// Makes the spool.
    pub fn build<T>(self) -> Spool<T, C> {
        Spool::with(Shared {
            store: Store::new(self.budget, self.dir, self.compress),
            codec: self.codec,
        })
    }
}

impl<C> fmt::Debug for SpoolBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolBuilder")
            .field("budget", &self.budget)
            .field("dir", &self.dir)
            .field("is_compressed", &self.compress.is_some())
            .finish_non_exhaustive()
    }
}
