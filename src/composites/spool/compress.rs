//! Blocks that take less space on disk.

use crate::composites::spool::codec::CodecError;

/// How a [`Spool`](crate::Spool) makes blocks shorter before they go to disk.
///
/// A block has 4 to 256 KiB, or one long value. It is kept as it is where it does not get shorter.
/// What is decompressed has passed a checksum, and what comes out has to pass another, so a mistake of
/// an implementation is an error of the spool.
///
/// # Examples
///
/// ```
/// use outcore::spool::{CodecError, Compress, SpoolBuilder};
/// use outcore::{MemoryBudget, Spool};
///
/// /// Keeps the length of a block of equal bytes.
/// struct Runs;
///
/// impl Compress for Runs {
///     fn compress(&self, block: &[u8], target: &mut [u8]) -> Option<usize> {
///         let (first, rest) = block.split_first()?;
///         *target.first_mut()? = *first;
///         rest.iter().all(|byte| byte == first).then_some(1)
///     }
///
///     fn decompress(&self, compressed: &[u8], block: &mut [u8]) -> Result<(), CodecError> {
///         block.fill(compressed[0]);
///         Ok(())
///     }
/// }
///
/// let builder = SpoolBuilder::new(&MemoryBudget::new(16 << 20)).compress(Runs);
/// let mut spool: Spool<u64> = builder.build();
/// spool.push(&7)?;
/// # Ok::<(), outcore::Error>(())
/// ```
pub trait Compress: Send + Sync {
    /// Returns how long `target` has to be in [`compress`](Self::compress) for a block of `len`
    /// bytes.
    fn target_bytes(&self, len: usize) -> usize {
        len
    }

    /// Compresses a block into the first bytes of `target`, and returns how many; `None` if it does
    /// not get shorter.
    fn compress(&self, block: &[u8], target: &mut [u8]) -> Option<usize>;

    /// Fills `block`, which is as long as it was, with what [`compress`](Self::compress) made short.
    ///
    /// # Errors
    ///
    /// Whatever the implementation reports; it ends up in the message of an error of the kind
    /// [`Io`](crate::ErrorKind::Io).
    fn decompress(&self, compressed: &[u8], block: &mut [u8]) -> Result<(), CodecError>;
}

/// LZ4 blocks, by the crate `lz4_flex`.
#[cfg(feature = "lz4")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Lz4;

#[cfg(feature = "lz4")]
impl Compress for Lz4 {
    fn target_bytes(&self, len: usize) -> usize {
        lz4_flex::block::get_maximum_output_size(len)
    }

    fn compress(&self, block: &[u8], target: &mut [u8]) -> Option<usize> {
        lz4_flex::block::compress_into(block, target).ok()
    }

    fn decompress(&self, compressed: &[u8], block: &mut [u8]) -> Result<(), CodecError> {
        lz4_flex::block::decompress_into(compressed, block)?;
        Ok(())
    }
}
