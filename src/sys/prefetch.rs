//! Asks the processor to fetch memory that will be needed soon.
#![cfg_attr(
    all(target_arch = "x86_64", not(miri)),
    expect(unsafe_code, reason = "an instruction of the processor")
)]

/// Bytes that a cache of a processor fetches at a time.
pub(crate) const LINE_BYTES: usize = 64;

/// Starts to fetch what is at the start of `bytes` into the caches of the processor, on processors for
/// which stable Rust can say so. Nothing else happens, and the call does not wait.
#[inline]
pub(crate) fn prefetch<T>(bytes: &[T]) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction is one of all processors of x86-64. It reads nothing that the
        // program can observe, and no address makes it fail.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = bytes;
}
