//! The engine's randomness as the public-key crate wants it.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

use crate::model::Entropy;

/// [`Entropy`] behind the traits of `rand_core`.
pub(super) struct EntropyRng<'a>(pub &'a Entropy);

impl TryRng for EntropyRng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.0.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.0.bytes()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for EntropyRng<'_> {}
