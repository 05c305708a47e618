//! Blocks of records in fewer bytes, by LZ4: the feature `lz4`.

/// Bytes before what is packed: how long it was.
#[cfg(feature = "lz4")]
const LEN_BYTES: usize = 4;

/// Returns how much of a buffer a block has, if the rest is to have room for what it is packed into.
pub(super) fn block_len(buffer: usize) -> usize {
    // What cannot be packed gets longer by a tenth at most.
    let share = buffer.saturating_sub(128).div_euclid(21);
    share.saturating_mul(10)
}

/// Packs a block into `target`, and returns how long it is there; `None` where it does not shrink.
#[cfg(feature = "lz4")]
pub(super) fn pack(block: &[u8], target: &mut [u8]) -> Option<usize> {
    let (len, packed) = target.split_first_chunk_mut::<LEN_BYTES>()?;
    *len = u32::try_from(block.len()).ok()?.to_le_bytes();
    let packed = lz4_flex::block::compress_into(block, packed).ok()?;
    let packed = packed.checked_add(LEN_BYTES)?;
    (packed < block.len()).then_some(packed)
}

/// Unpacks a block into `target`, and returns how long it is; `None` where it was never packed.
#[cfg(feature = "lz4")]
pub(super) fn unpack(packed: &[u8], target: &mut [u8]) -> Option<usize> {
    let (len, packed) = packed.split_first_chunk::<LEN_BYTES>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let unpacked = lz4_flex::block::decompress_into(packed, target.get_mut(..len)?).ok()?;
    (unpacked == len).then_some(len)
}

/// Without the feature nothing is packed.
#[cfg(not(feature = "lz4"))]
pub(super) fn pack(_block: &[u8], _target: &mut [u8]) -> Option<usize> {
    None
}

/// As above.
#[cfg(not(feature = "lz4"))]
pub(super) fn unpack(_packed: &[u8], _target: &mut [u8]) -> Option<usize> {
    None
}

#[cfg(all(test, feature = "lz4"))]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_only_what_shrinks_is_packed() {
        for buffer in [200, 4096, 100_000] {
            let len = block_len(buffer);
            let mut packed = vec![0; buffer - len];
            let same = vec![7; len];
            let stored = pack(&same, &mut packed).expect("it shrinks");
            assert!(stored < len / 2 + 30);
            let mut block = vec![0; len];
            assert_eq!(unpack(&packed[..stored], &mut block), Some(len));
            assert_eq!(block, same);
            for cut in 0..stored {
                assert_ne!(unpack(&packed[..cut], &mut block), Some(len), "{cut}");
            }
            assert!(unpack(&packed[..stored], &mut block[1..]).is_none());
            let mut state = 1_u64;
            let mut random = || {
                state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                state.to_be_bytes()[0]
            };
            let random: Vec<u8> = (0..len).map(|_| random()).collect();
            assert!(pack(&random, &mut packed).is_none(), "{buffer}");
        }
    }
}
