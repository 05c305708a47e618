//! The generator of the test kit as a source for distributions.

pub use testkit::{Random, mix};

/// Lets `rand_distr` draw from a [`Random`].
pub(crate) struct Source(pub(crate) Random);

impl rand::RngCore for Source {
    fn next_u32(&mut self) -> u32 {
        rand::rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        rand::rand_core::impls::fill_bytes_via_next(self, bytes);
    }
}
