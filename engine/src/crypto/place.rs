//! Where an object stands, as its seal binds it.

use super::CryptoError;
use super::bytes::joined;
use crate::model::{SlotId, SnapshotId};

/// The 24 bytes that tie a sealed thing to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place([u8; 24]);

impl Place {
    /// Config bodies and index segments: anywhere.
    #[must_use]
    pub fn none() -> Self {
        Self([0; 24])
    }

    /// A frame or footer: bytes from the start of its pack.
    #[must_use]
    pub fn position(offset: u64) -> Self {
        Self(joined(&[&offset.to_le_bytes()]))
    }

    /// A snapshot object of a generation.
    #[must_use]
    pub fn snapshot(generation: u64, sid: &SnapshotId) -> Self {
        Self(joined(&[&generation.to_le_bytes(), sid.as_bytes()]))
    }

    /// The `k`-th forget of a snapshot.
    #[must_use]
    pub fn forget(sid: &SnapshotId, k: u64) -> Self {
        Self(joined(&[sid.as_bytes(), &k.to_le_bytes()]))
    }

    /// A generation, close, fate or ring.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self::position(number)
    }

    /// A record of this kind.
    ///
    /// # Errors
    /// If the word is not 1 to 24 lower-case ASCII letters, digits and hyphens.
    pub fn word(word: &str) -> Result<Self, CryptoError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if word.is_empty() || word.len() > 24 || !word.bytes().all(plain) {
            return Err(CryptoError::Word(word.chars().take(40).collect()));
        }
        Ok(Self(joined(&[word.as_bytes()])))
    }

    /// A slot.
    #[must_use]
    pub fn slot(slot: &SlotId) -> Self {
        Self(joined(&[slot.as_bytes()]))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 24] {
        &self.0
    }
}
