//! Frames and footers of packs.

use chacha20poly1305::aead::inout::InOutBuf;

use super::bytes::{len64, padded_len, padded_plain};
use super::cipher::{
    Binding, NONCE_LEN, NonceKey, SEAL_OVERHEAD, TAG_LEN, append_sealed, decrypt_into, encrypt,
};
use super::header::{HEADER_LEN, Header};
use super::keys::object_key;
use super::{CryptoError, Place};
use crate::model::{Class, Codec, Entropy, FrameKind, ObjectKind, Purpose, RepositoryId, Secret32};

/// What a footer's seal binds; `length` is the sealed footer's.
pub(super) fn footer_binding(epoch: u32, offset: u64, length: u64) -> Binding {
    Binding {
        kind: ObjectKind::Footer,
        class: Class::Ordinary,
        purpose: Purpose::Index,
        frame: None,
        epoch,
        place: Place::position(offset),
        length,
    }
}

/// Opens the frames of one pack.
#[derive(Clone)]
pub struct PackOpener {
    pub(super) repository: RepositoryId,
    pub(super) epoch: u32,
    pub(super) salt: [u8; 32],
    pub(super) class: Class,
    pub(super) purpose: Purpose,
    pub(super) key: Secret32,
}

impl PackOpener {
    fn binding(&self, position: u64, kind: FrameKind, codec: Codec, plain_len: u32) -> [u8; 64] {
        Binding {
            kind: ObjectKind::Frame,
            class: self.class,
            purpose: self.purpose,
            frame: Some((kind, codec)),
            epoch: self.epoch,
            place: Place::position(position),
            length: u64::from(plain_len),
        }
        .encode(self.repository)
    }

    /// Opens the frame that starts `position` bytes into the pack: its payload, not yet expanded,
    /// comes instead of what `payload` holds, whose room is used again.
    ///
    /// # Errors
    /// If it was damaged or any of the arguments differ from those it was sealed with; what `payload`
    /// holds then means nothing.
    pub fn open_frame(
        &self,
        position: u64,
        kind: FrameKind,
        codec: Codec,
        plain_len: u32,
        sealed: &[u8],
        payload: &mut Vec<u8>,
    ) -> Result<(), CryptoError> {
        let aad = self.binding(position, kind, codec, plain_len);
        decrypt_into(&self.key, &aad, sealed, payload, "the frame")
    }
}

/// Seals the frames and the footer of one new pack.
pub struct PackSealer {
    opener: PackOpener,
    nonces: NonceKey,
    footer_key: Secret32,
}

impl PackSealer {
    pub(super) fn new(entropy: &Entropy, opener: PackOpener, index_key: &Secret32) -> Self {
        let footer_key = object_key(index_key, &opener.salt);
        Self { opener, nonces: NonceKey::draw(entropy), footer_key }
    }

    /// The first bytes of the pack.
    #[must_use]
    pub fn header(&self) -> [u8; HEADER_LEN] {
        let (epoch, salt) = (self.opener.epoch, self.opener.salt);
        Header { kind: ObjectKind::Frame, epoch, salt }.encode()
    }

    /// The epoch of the pack.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.opener.epoch
    }

    /// The salt of the pack.
    #[must_use]
    pub fn salt(&self) -> [u8; 32] {
        self.opener.salt
    }

    /// The class of the pack's chunks.
    #[must_use]
    pub fn class(&self) -> Class {
        self.opener.class
    }

    /// The purpose of the pack's chunks.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.opener.purpose
    }

    /// What opens the frames again.
    #[must_use]
    pub fn opener(&self) -> PackOpener {
        self.opener.clone()
    }

    /// `nonce ‖ ciphertext ‖ tag` of a frame that starts `position` bytes into the pack, instead of
    /// what `sealed` holds, whose room is used again.
    ///
    /// # Errors
    /// If the payload is too long for the cipher.
    pub fn seal_frame(
        &self,
        position: u64,
        kind: FrameKind,
        codec: Codec,
        plain_len: u32,
        payload: &[u8],
        sealed: &mut Vec<u8>,
    ) -> Result<(), CryptoError> {
        let what = "the frame";
        let cut = CryptoError::Length { what };
        let aad = self.opener.binding(position, kind, codec, plain_len);
        let nonce = self.nonces.nonce(ObjectKind::Frame, &Place::position(position), payload);
        sealed.resize(payload.len().saturating_add(SEAL_OVERHEAD), 0);
        let (start, rest) = sealed.split_first_chunk_mut::<NONCE_LEN>().ok_or(cut.clone())?;
        let (body, end) = rest.split_last_chunk_mut::<TAG_LEN>().ok_or(cut.clone())?;
        *start = nonce;
        let both = InOutBuf::new(payload, body).map_err(|_| cut)?;
        *end = encrypt(&self.opener.key, &nonce, &aad, both, what)?;
        Ok(())
    }

    /// The end of the pack: the footer, which starts at `offset`, and its sealed length in 8 bytes.
    /// The whole pack then has a padded length.
    ///
    /// # Errors
    /// If the body is too long for memory.
    pub fn seal_footer(&self, offset: u64, body: &[u8]) -> Result<Vec<u8>, CryptoError> {
        // Length field, nonce, tag, and the last 8 bytes of the pack.
        let bare = offset.saturating_add(len64(body)).saturating_add(8 + 40 + 8);
        let sealed_len = padded_len(bare).saturating_sub(offset).saturating_sub(8);
        let mut plain = padded_plain(body, sealed_len.saturating_sub(40))?;
        let place = Place::position(offset);
        let nonce = self.nonces.nonce(ObjectKind::Footer, &place, &plain);
        let aad =
            footer_binding(self.opener.epoch, offset, sealed_len).encode(self.opener.repository);
        let mut out = Vec::with_capacity(plain.len().saturating_add(48));
        append_sealed(&mut out, &self.footer_key, &nonce, &aad, &mut plain, "the footer")?;
        out.extend_from_slice(&sealed_len.to_le_bytes());
        Ok(out)
    }
}
