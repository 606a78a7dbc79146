//! Authors, and the signatures of ring pairs: Ed25519, verified strictly.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::bytes::joined;
use super::{CryptoError, Place};
use crate::model::{Entropy, HostId, ObjectKind, RepositoryId, Secret32};

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;
const DOMAIN: &[u8] = b"coffer v1 signature";

/// A host that signs what it writes.
#[derive(Clone)]
pub struct Author {
    host: HostId,
    secret: Secret32,
}

impl Author {
    /// Bytes of [`Author::to_bytes`].
    pub const LEN: usize = 48;

    /// A new host id and signing key.
    #[must_use]
    pub fn generate(entropy: &Entropy) -> Self {
        Self { host: HostId(entropy.bytes()), secret: Secret32::random(entropy) }
    }

    /// Reads what [`Author::to_bytes`] wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut secret = Secret32::new([0; 32]);
        let (host, seed) = bytes.split_at_checked(HostId::LEN).unwrap_or((&[], &[]));
        *secret.as_bytes_mut() = joined(&[seed]);
        Self { host: HostId(joined(&[host])), secret }
    }

    /// Host id and secret seed, for the state directory.
    #[must_use]
    pub fn to_bytes(&self) -> zeroize::Zeroizing<[u8; Self::LEN]> {
        joined::<{ Self::LEN }>(&[self.host.as_bytes(), self.secret.as_bytes()]).into()
    }

    /// Who this is.
    #[must_use]
    pub fn host(&self) -> HostId {
        self.host
    }

    /// The Ed25519 public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        signing_public(&self.secret)
    }

    pub(super) fn sign(
        &self,
        repository: RepositoryId,
        kind: ObjectKind,
        place: &Place,
        cbor: &[u8],
    ) -> [u8; SIGNATURE_LEN] {
        sign(&self.secret, &message(repository, kind, place, cbor))
    }
}

impl std::fmt::Debug for Author {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Author({})", self.host)
    }
}

/// A signed body as it was opened; [`super::Keyring::check_signature`] judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub cbor: Vec<u8>,
    pub signature: [u8; SIGNATURE_LEN],
}

impl Signed {
    /// Splits a body into signature and CBOR.
    pub(super) fn from_body(mut body: Vec<u8>) -> Result<Self, CryptoError> {
        let what = "the signed body";
        let signature = *body.first_chunk().ok_or(CryptoError::Length { what })?;
        body.drain(..SIGNATURE_LEN);
        Ok(Self { cbor: body, signature })
    }

    /// Whether `public` made the signature.
    pub(super) fn is_by(
        &self,
        public: &[u8; 32],
        repository: RepositoryId,
        kind: ObjectKind,
        place: &Place,
    ) -> bool {
        is_signed(public, &message(repository, kind, place, &self.cbor), &self.signature)
    }
}

/// What a signature is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureState {
    /// By the author it names.
    Good,
    /// The author is not enrolled in the ring: reported, never refused.
    UnknownAuthor,
    /// Not by the enrolled author it names: damage.
    Bad,
}

fn message(repository: RepositoryId, kind: ObjectKind, place: &Place, cbor: &[u8]) -> Vec<u8> {
    [DOMAIN, repository.as_bytes(), &[kind.code()], place.as_bytes(), cbor].concat()
}

/// The Ed25519 public key of a secret seed.
#[must_use]
pub fn signing_public(secret: &Secret32) -> [u8; 32] {
    SigningKey::from_bytes(secret.as_bytes()).verifying_key().to_bytes()
}

pub(super) fn sign(secret: &Secret32, message: &[u8]) -> [u8; SIGNATURE_LEN] {
    SigningKey::from_bytes(secret.as_bytes()).sign(message).to_bytes()
}

pub(super) fn is_signed(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = Signature::from_bytes(signature);
    VerifyingKey::from_bytes(public).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}
