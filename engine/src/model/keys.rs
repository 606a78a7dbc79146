//! What slots and rings hold: keys, recipients and authors.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Entropy, HostId, Purpose, SlotId};

/// A secret of 32 bytes, wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret32([u8; 32]);

impl Secret32 {
    /// Takes the bytes over; the caller wipes its own copy.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh random secret.
    #[must_use]
    pub fn random(entropy: &Entropy) -> Self {
        let mut secret = Self([0; 32]);
        entropy.fill(&mut secret.0);
        secret
    }

    /// The secret itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The secret itself, to be filled in place.
    pub fn as_bytes_mut(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }
}

impl fmt::Debug for Secret32 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret32(…)")
    }
}

/// Bytes with secrets in them, wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes themselves.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SecretBytes({} bytes)", self.0.len())
    }
}

/// How a slot is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotKind {
    Password = 1,
    KeyFile = 2,
}

impl SlotKind {
    /// The kind's code in the format.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this code.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        [Self::Password, Self::KeyFile].into_iter().find(|kind| u64::from(kind.code()) == code)
    }
}

/// What a slot seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotBody {
    /// X25519 secret key of the slot.
    pub x25519: Secret32,
    /// Number of the ring the slot was made for.
    pub ring: u32,
    /// Ed25519 public key of that ring's signing pair.
    pub ring_public: [u8; 32],
    /// Chosen by the user; may be empty.
    pub label: String,
    /// Nanoseconds since 1970-01-01T00:00:00 UTC.
    pub created_ns: i64,
}

/// One set of random data keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    pub number: u32,
    /// Every purpose for class ordinary; data and metadata for class S.
    pub keys: BTreeMap<Purpose, Secret32>,
}

/// A slot as a ring lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub slot: SlotId,
    /// X25519 public key of the slot.
    pub public: [u8; 32],
    pub label: String,
    pub kind: SlotKind,
    pub created_ns: i64,
    /// Whether the slot may read class S.
    pub secrets: bool,
}

/// A host that may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolledAuthor {
    pub host: HostId,
    pub name: String,
    /// Ed25519 public key.
    pub public: [u8; 32],
}

/// Part 0 of a ring. Valid: epochs ascend and hold a key for each purpose; `epoch` is the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingBody {
    pub number: u32,
    pub created_ns: i64,
    /// The epoch to seal new objects with.
    pub epoch: u32,
    pub epochs: Vec<Epoch>,
    pub data_id_key: Secret32,
    pub metadata_id_key: Secret32,
    /// In the order of the ring's clear table.
    pub recipients: Vec<Recipient>,
    pub authors: Vec<EnrolledAuthor>,
    /// Ed25519 secret of this ring.
    pub signing_secret: Secret32,
    pub signing_public: [u8; 32],
    /// The config body's plaintext; in every ring but ring 0.
    pub config: Option<SecretBytes>,
}

/// Part 1 of a ring: the keys of class S.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingSecrets {
    pub number: u32,
    /// The same numbers as in part 0.
    pub epochs: Vec<Epoch>,
    pub data_id_key: Secret32,
    pub metadata_id_key: Secret32,
}
