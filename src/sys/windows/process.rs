//! Questions to the system that concern no file: sizes of pages, and random bits.
#![expect(
    unsafe_code,
    reason = "two calls for which std has no function; see docs/safety.md"
)]

use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use windows_sys::Win32::Security::Cryptography::ProcessPrng;
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, SYSTEM_INFO};

use crate::sys::windows::answered;

/// The sizes that memory is counted in, in bytes: powers of two.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Addresses and offsets of what is mapped are multiples of it.
    granularity: usize,
    /// What is loaded into memory is whole pages of it.
    page: usize,
}

/// Returns the size of which addresses and file offsets of a mapping are multiples.
pub(super) fn granularity() -> usize {
    sizes().granularity
}

/// Returns the size of a page of memory.
pub(super) fn kernel_page_size() -> usize {
    sizes().page
}

fn sizes() -> Sizes {
    static ASKED: OnceLock<Sizes> = OnceLock::new();
    *ASKED.get_or_init(|| {
        let mut told = MaybeUninit::<SYSTEM_INFO>::zeroed();
        // SAFETY: the system writes one such structure.
        unsafe { GetSystemInfo(told.as_mut_ptr()) };
        // SAFETY: it was written; and zeros are a value of each of its fields.
        let told = unsafe { told.assume_init() };
        Sizes {
            granularity: usize::try_from(told.dwAllocationGranularity).unwrap_or(1 << 16),
            page: usize::try_from(told.dwPageSize).unwrap_or(1 << 12),
        }
    })
}

/// Returns bits that no other process can guess.
pub(super) fn random_bits() -> io::Result<[u8; 16]> {
    let mut bits = [0; 16];
    // SAFETY: the system writes as many bytes as the array has.
    answered(unsafe { ProcessPrng(bits.as_mut_ptr(), bits.len()) })?;
    Ok(bits)
}
