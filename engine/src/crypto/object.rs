//! Small sealed objects: `header ‖ nonce ‖ ciphertext ‖ tag`, padded inside.

use super::bytes::{into_body, len64, padded_len, padded_plain};
use super::cipher::{Binding, NonceKey, append_sealed, decrypt};
use super::header::{HEADER_LEN, Header};
use super::keys::object_key;
use super::{CryptoError, Place};
use crate::model::{Class, Entropy, ObjectKind, Purpose, RepositoryId, Secret32};

/// Header, nonce, tag and length field, bytes.
const OVERHEAD: u64 = 88;

/// What besides the body decides about a sealed object.
pub(super) struct Envelope<'a> {
    pub repository: RepositoryId,
    pub kind: ObjectKind,
    pub purpose: Purpose,
    pub place: Place,
    /// Follows the 64 bytes of associated data: the config's head; else empty.
    pub more: &'a [u8],
}

impl Envelope<'_> {
    fn associated(&self, epoch: u32, length: u64) -> Vec<u8> {
        let binding = Binding {
            kind: self.kind,
            class: Class::Ordinary,
            purpose: self.purpose,
            frame: None,
            epoch,
            place: self.place,
            length,
        };
        [binding.encode(self.repository).as_slice(), self.more].concat()
    }

    /// Seals `body` under a key of its own, derived from the epoch's key and a fresh salt.
    pub(super) fn seal(
        &self,
        entropy: &Entropy,
        (epoch, key): (u32, &Secret32),
        body: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let header = Header { kind: self.kind, epoch, salt: entropy.bytes() };
        let length = padded_len(len64(body).saturating_add(OVERHEAD));
        let mut plain = padded_plain(body, length.saturating_sub(OVERHEAD.saturating_sub(8)))?;
        let nonce = NonceKey::draw(entropy).nonce(self.kind, &self.place, &plain);
        let key = object_key(key, &header.salt);
        let aad = self.associated(epoch, length);
        let mut out = Vec::with_capacity(plain.len().saturating_add(HEADER_LEN).saturating_add(40));
        out.extend_from_slice(&header.encode());
        append_sealed(&mut out, &key, &nonce, &aad, &mut plain, "the object")?;
        Ok(out)
    }

    /// Opens an object; `key_of` gives the key of the epoch it names.
    pub(super) fn open<'k>(
        &self,
        key_of: impl FnOnce(u32) -> Result<&'k Secret32, CryptoError>,
        bytes: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let what = "the object";
        let header = Header::decode(bytes, self.kind)?;
        let (_, sealed) = bytes.split_at_checked(HEADER_LEN).ok_or(CryptoError::Length { what })?;
        let key = object_key(key_of(header.epoch)?, &header.salt);
        let plain = decrypt(&key, &self.associated(header.epoch, len64(bytes)), sealed, what)?;
        into_body(plain, what)
    }
}

/// The purpose whose key seals an object of this kind.
pub(super) fn purpose_of(kind: ObjectKind) -> Purpose {
    match kind {
        ObjectKind::Segment | ObjectKind::Footer => Purpose::Index,
        _ => Purpose::Control,
    }
}
