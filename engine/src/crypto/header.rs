//! The 40 bytes that packs and sealed objects begin with.

use super::CryptoError;
use super::bytes::{joined, take};
use crate::model::ObjectKind;

/// Bytes before the first nonce.
pub const HEADER_LEN: usize = 40;

/// The clear start of a pack or sealed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kind: ObjectKind,
    pub epoch: u32,
    /// From which, with the epoch's key, the object's key is derived.
    pub salt: [u8; 32],
}

impl Header {
    /// The stored bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        joined(&[&[1, 1, self.kind.code(), 0], &self.epoch.to_le_bytes(), &self.salt])
    }

    /// Reads the header of an object of this kind; more bytes may follow.
    ///
    /// # Errors
    /// If bytes are missing, the version, scheme or kind is another, or reserved bytes are set.
    pub fn decode(mut bytes: &[u8], kind: ObjectKind) -> Result<Self, CryptoError> {
        let what = "the object's header";
        let [scheme, version, found, reserved] = take(&mut bytes, what)?;
        if version != 1 {
            return Err(CryptoError::Version { what, found: version });
        }
        if scheme != 1 {
            return Err(CryptoError::Scheme { found: scheme });
        }
        if found != kind.code() {
            return Err(CryptoError::ObjectKind { what, found, expected: kind.code() });
        }
        if reserved != 0 {
            return Err(CryptoError::Reserved { what });
        }
        let epoch = u32::from_le_bytes(take(&mut bytes, what)?);
        Ok(Self { kind, epoch, salt: take(&mut bytes, what)? })
    }
}
