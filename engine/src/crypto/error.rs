//! What can go wrong with keys and seals.

use crate::error::{Error, Kind};

/// An error of this module; `repo` adds the object it knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    #[error("{what} is cut short or has a wrong length")]
    Length { what: &'static str },
    #[error("{what} has format version {found}; this program knows version 1")]
    Version { what: &'static str, found: u8 },
    #[error("key scheme {found} is unknown; this program knows scheme 1")]
    Scheme { found: u8 },
    #[error("{what} is of kind {found}, not {expected}")]
    ObjectKind { what: &'static str, found: u8, expected: u8 },
    #[error("the slot is of kind {found}, which this program does not know")]
    SlotKind { found: u8 },
    #[error("reserved bytes of {what} are not zero")]
    Reserved { what: &'static str },
    #[error("{what} belongs elsewhere: its {field} differs")]
    Elsewhere { what: &'static str, field: &'static str },
    #[error("the ring holds no keys of epoch {epoch}")]
    UnknownEpoch { epoch: u32 },
    #[error(
        "the key in use may not read secrets: open the repository with one that may (`coffer key list` tells which)"
    )]
    NoSecretsKey,
    #[error("seal broken: {what} was damaged, or stands in a wrong place")]
    Broken { what: &'static str },
    #[error("the padding of {what} is not zero or its length is wrong")]
    Padding { what: &'static str },
    #[error("the slot belongs to another credential")]
    WrongCredential,
    #[error("{field} {found} is outside {min} to {max}")]
    OutOfBounds { field: &'static str, found: u64, min: u64, max: u64 },
    #[error("the slot is no recipient of the ring")]
    NotRecipient,
    #[error("the signature of {what} is wrong")]
    BadSignature { what: &'static str },
    #[error("a key file holds 32 bytes, as 64 hexadecimal digits or raw")]
    KeyFile,
    #[error("{0:?} is not a word of 1 to 24 lower-case letters, digits and hyphens")]
    Word(String),
    #[error("not enough memory for the key derivation: {kib} KiB")]
    DerivationMemory { kib: u32 },
}

impl From<CryptoError> for Error {
    fn from(error: CryptoError) -> Self {
        let kind = match &error {
            CryptoError::Version { .. }
            | CryptoError::Scheme { .. }
            | CryptoError::SlotKind { .. } => Kind::Unsupported,
            CryptoError::WrongCredential | CryptoError::NotRecipient => Kind::WrongKey,
            CryptoError::NoSecretsKey => Kind::Refused,
            CryptoError::KeyFile | CryptoError::Word(_) => Kind::Input,
            CryptoError::DerivationMemory { .. } => Kind::Unavailable,
            _ => Kind::Corrupt,
        };
        Self::new(kind, error.to_string())
    }
}
