//! XChaCha20-Poly1305, nonces, and what every seal binds.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};

use super::bytes::joined;
use super::{CryptoError, Place};
use crate::model::{Class, Codec, Entropy, FrameKind, ObjectKind, Purpose, RepositoryId, Secret32};

pub(super) const NONCE_LEN: usize = 24;
pub(super) const TAG_LEN: usize = 16;
/// What one seal adds: nonce and tag, bytes.
pub const SEAL_OVERHEAD: usize = 40;

/// What the associated data says besides the repository.
#[derive(Clone, Copy)]
pub(super) struct Binding {
    pub kind: ObjectKind,
    pub class: Class,
    pub purpose: Purpose,
    /// Frames only.
    pub frame: Option<(FrameKind, Codec)>,
    pub epoch: u32,
    pub place: Place,
    pub length: u64,
}

impl Binding {
    /// The 64 bytes of associated data.
    pub(super) fn encode(&self, repository: RepositoryId) -> [u8; 64] {
        let (frame, codec) =
            self.frame.map_or((0, 0), |(frame, codec)| (frame.code(), codec.code()));
        let (class, purpose) = (self.class.code(), self.purpose.code());
        joined(&[
            &[1, 1, self.kind.code(), class, purpose, frame, codec, 0],
            &self.epoch.to_le_bytes(),
            &[0; 4],
            repository.as_bytes(),
            self.place.as_bytes(),
            &self.length.to_le_bytes(),
        ])
    }
}

/// Draws the nonces of one object, so that a repeated random state repeats none for other bytes.
pub(super) struct NonceKey(Secret32);

impl NonceKey {
    pub(super) fn draw(entropy: &Entropy) -> Self {
        Self(Secret32::random(entropy))
    }

    pub(super) fn nonce(&self, kind: ObjectKind, place: &Place, plain: &[u8]) -> [u8; NONCE_LEN] {
        let mut hasher = blake3::Hasher::new_keyed(self.0.as_bytes());
        hasher.update(&[kind.code()]).update(place.as_bytes()).update(plain);
        joined(&[hasher.finalize().as_bytes()])
    }
}

/// Encrypts what goes in to where it comes out, which may be the same place, and returns the tag.
pub(super) fn encrypt(
    key: &Secret32,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    plain: InOutBuf<'_, '_, u8>,
    what: &'static str,
) -> Result<[u8; TAG_LEN], CryptoError> {
    let cipher = XChaCha20Poly1305::new(key.as_bytes().into());
    let nonce: &XNonce = nonce.into();
    cipher
        .encrypt_inout_detached(nonce, aad, plain)
        .map(Into::into)
        .map_err(|_| CryptoError::Length { what })
}

/// `nonce ‖ ciphertext ‖ tag` opened: the plaintext.
pub(super) fn decrypt(
    key: &Secret32,
    aad: &[u8],
    sealed: &[u8],
    what: &'static str,
) -> Result<Vec<u8>, CryptoError> {
    let mut plain = Vec::new();
    decrypt_into(key, aad, sealed, &mut plain, what)?;
    Ok(plain)
}

/// `nonce ‖ ciphertext ‖ tag` opened: the plaintext, instead of what `plain` holds. Room that it has
/// from before need not be found and cleared again.
pub(super) fn decrypt_into(
    key: &Secret32,
    aad: &[u8],
    sealed: &[u8],
    plain: &mut Vec<u8>,
    what: &'static str,
) -> Result<(), CryptoError> {
    let cut = CryptoError::Length { what };
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(cut.clone())?;
    let (body, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(cut.clone())?;
    plain.resize(body.len(), 0);
    let both = InOutBuf::new(body, plain).map_err(|_| cut)?;
    let cipher = XChaCha20Poly1305::new(key.as_bytes().into());
    let (nonce, tag): (&XNonce, &Tag) = (nonce.into(), tag.into());
    cipher.decrypt_inout_detached(nonce, aad, both, tag).map_err(|_| CryptoError::Broken { what })
}

/// `nonce ‖ ciphertext ‖ tag` of `plain`, behind what `out` holds already.
pub(super) fn append_sealed(
    out: &mut Vec<u8>,
    key: &Secret32,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    plain: &mut [u8],
    what: &'static str,
) -> Result<(), CryptoError> {
    let tag = encrypt(key, nonce, aad, InOutBuf::from(&mut *plain), what)?;
    out.reserve(plain.len().saturating_add(SEAL_OVERHEAD));
    out.extend_from_slice(nonce);
    out.extend_from_slice(plain);
    out.extend_from_slice(&tag);
    Ok(())
}
