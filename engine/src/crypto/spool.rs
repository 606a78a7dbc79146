//! Blocks that leave memory for a while, sealed with a key that never does.

use super::CryptoError;
use super::cipher::{NONCE_LEN, append_sealed, decrypt};
use crate::model::{Entropy, Secret32};

/// Seals the blocks of one spool. It is gone with the process, and so is what it sealed.
pub struct SpoolKey(Secret32);

impl SpoolKey {
    /// A new key.
    #[must_use]
    pub fn draw(entropy: &Entropy) -> Self {
        Self(Secret32::random(entropy))
    }

    /// Seals a block. No two blocks have the same `number`.
    ///
    /// # Errors
    /// If the block is too long for the cipher.
    pub fn seal(&self, number: u64, mut plain: Vec<u8>) -> Result<Vec<u8>, CryptoError> {
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&number.to_le_bytes());
        let mut sealed = Vec::new();
        append_sealed(&mut sealed, &self.0, &nonce, &[], &mut plain, "the spool")?;
        Ok(sealed)
    }

    /// Opens the block of this number.
    ///
    /// # Errors
    /// If it is another one, or damaged.
    pub fn open(&self, number: u64, sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let what = "the spool";
        match sealed.get(..8) {
            Some(first) if first == number.to_le_bytes() => decrypt(&self.0, &[], sealed, what),
            _ => Err(CryptoError::Broken { what }),
        }
    }
}
