//! Everything an opened ring and the config give: names, seals and signatures.

use std::collections::BTreeMap;

use super::bytes::{into_body, len64};
use super::cipher::decrypt;
use super::header::{HEADER_LEN, Header};
use super::keys::{gear_table, object_key, page_cut_key};
use super::object::{Envelope, purpose_of};
use super::pack::{PackOpener, PackSealer, footer_binding};
use super::sign::{Author, SignatureState, Signed};
use super::{CryptoError, Place};
use crate::model::{
    ChunkId, Class, Entropy, Epoch, HashedNumber, HostId, ObjectKind, Purpose, RepositoryId,
    RingBody, RingSecrets, Secret32,
};

/// What a [`Keyring`] is made of.
#[derive(Debug)]
pub struct KeyringParts<'a> {
    pub repository: RepositoryId,
    /// The ring the bodies stand in.
    pub ring: HashedNumber,
    pub body: &'a RingBody,
    /// Absent if the slot may not read class S.
    pub secrets: Option<&'a RingSecrets>,
    pub chunker_secret: &'a Secret32,
}

/// The keys of a repository, in use. Wiped when dropped.
pub struct Keyring {
    repository: RepositoryId,
    ring: HashedNumber,
    epoch: u32,
    keys: BTreeMap<(u32, Class, Purpose), Secret32>,
    /// Data and metadata id keys, by class.
    id_keys: BTreeMap<(Class, Purpose), Secret32>,
    chunker_secret: Secret32,
    authors: Vec<(HostId, [u8; 32])>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Keyring({}, ring {}, …)", self.repository, self.ring.number)
    }
}

impl Keyring {
    /// Takes the keys out of opened bodies.
    #[must_use]
    pub fn new(parts: &KeyringParts<'_>) -> Self {
        let mut keyring = Self {
            repository: parts.repository,
            ring: parts.ring,
            epoch: parts.body.epoch,
            keys: BTreeMap::new(),
            id_keys: BTreeMap::new(),
            chunker_secret: parts.chunker_secret.clone(),
            authors: parts.body.authors.iter().map(|it| (it.host, it.public)).collect(),
        };
        let body = parts.body;
        keyring.adopt(Class::Ordinary, &body.epochs, &body.data_id_key, &body.metadata_id_key);
        if let Some(body) = parts.secrets {
            keyring.adopt(Class::S, &body.epochs, &body.data_id_key, &body.metadata_id_key);
        }
        keyring
    }

    fn adopt(&mut self, class: Class, epochs: &[Epoch], data: &Secret32, metadata: &Secret32) {
        for epoch in epochs {
            for (purpose, key) in &epoch.keys {
                self.keys.insert((epoch.number, class, *purpose), key.clone());
            }
        }
        self.id_keys.insert((class, Purpose::Data), data.clone());
        self.id_keys.insert((class, Purpose::Metadata), metadata.clone());
    }

    /// The repository the keys belong to.
    #[must_use]
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The epoch that new objects are sealed with.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The ring the keys stand in.
    #[must_use]
    pub fn ring(&self) -> HashedNumber {
        self.ring
    }

    /// Whether the keys of class S are here.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        self.id_keys.contains_key(&(Class::S, Purpose::Data))
    }

    /// The gear table of the repository's chunker.
    #[must_use]
    pub fn gear_table(&self) -> [u64; 256] {
        gear_table(&self.chunker_secret)
    }

    /// The key that decides where pages end.
    #[must_use]
    pub fn page_cut_key(&self) -> [u8; 32] {
        page_cut_key(&self.chunker_secret)
    }

    /// Names a chunk of data by its plaintext.
    ///
    /// # Errors
    /// If the keys of its class are not here.
    pub fn data_id(&self, class: Class, plain: &[u8]) -> Result<ChunkId, CryptoError> {
        self.chunk_id(class, Purpose::Data, plain)
    }

    /// Names a node by its bytes.
    ///
    /// # Errors
    /// If the keys of its class are not here.
    pub fn node_id(&self, class: Class, bytes: &[u8]) -> Result<ChunkId, CryptoError> {
        self.chunk_id(class, Purpose::Metadata, bytes)
    }

    /// Names a chunk of data or metadata.
    ///
    /// # Errors
    /// If the keys of its class are not here, or the purpose has no names.
    pub fn chunk_id(
        &self,
        class: Class,
        purpose: Purpose,
        bytes: &[u8],
    ) -> Result<ChunkId, CryptoError> {
        let key = self.id_keys.get(&(class, purpose)).ok_or(CryptoError::NoSecretsKey)?;
        Ok(ChunkId(*blake3::keyed_hash(key.as_bytes(), bytes).as_bytes()))
    }

    pub(super) fn key(
        &self,
        epoch: u32,
        class: Class,
        purpose: Purpose,
    ) -> Result<&Secret32, CryptoError> {
        self.keys.get(&(epoch, class, purpose)).ok_or(if class == Class::S && !self.has_secrets() {
            CryptoError::NoSecretsKey
        } else {
            CryptoError::UnknownEpoch { epoch }
        })
    }

    fn envelope(&self, kind: ObjectKind, place: &Place) -> Envelope<'static> {
        Envelope {
            repository: self.repository,
            kind,
            purpose: purpose_of(kind),
            place: *place,
            more: &[],
        }
    }

    /// Seals a small object under the current epoch; the length is padded.
    ///
    /// # Errors
    /// If the body is too long for memory.
    pub fn seal_object(
        &self,
        entropy: &Entropy,
        kind: ObjectKind,
        place: &Place,
        body: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let key = self.key(self.epoch, Class::Ordinary, purpose_of(kind))?;
        self.envelope(kind, place).seal(entropy, (self.epoch, key), body)
    }

    /// Opens a small object: its body.
    ///
    /// # Errors
    /// If it was damaged, stands in a wrong place, or is of an epoch or scheme not known.
    pub fn open_object(
        &self,
        kind: ObjectKind,
        place: &Place,
        bytes: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let key_of = |epoch| self.key(epoch, Class::Ordinary, purpose_of(kind));
        self.envelope(kind, place).open(key_of, bytes)
    }

    /// Signs and seals a body.
    ///
    /// # Errors
    /// As [`Keyring::seal_object`].
    pub fn seal_signed(
        &self,
        entropy: &Entropy,
        author: &Author,
        kind: ObjectKind,
        place: &Place,
        cbor: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let signature = author.sign(self.repository, kind, place, cbor);
        self.seal_object(entropy, kind, place, &[&signature, cbor].concat())
    }

    /// Opens a signed body without judging its signature, whose author the body names.
    ///
    /// # Errors
    /// As [`Keyring::open_object`].
    pub fn open_signed(
        &self,
        kind: ObjectKind,
        place: &Place,
        bytes: &[u8],
    ) -> Result<Signed, CryptoError> {
        Signed::from_body(self.open_object(kind, place, bytes)?)
    }

    /// Judges the signature of an opened body by the author it names.
    #[must_use]
    pub fn check_signature(
        &self,
        signed: &Signed,
        kind: ObjectKind,
        place: &Place,
        author: &HostId,
    ) -> SignatureState {
        let mut state = SignatureState::UnknownAuthor;
        for (_, public) in self.authors.iter().filter(|(host, _)| host == author) {
            if signed.is_by(public, self.repository, kind, place) {
                return SignatureState::Good;
            }
            state = SignatureState::Bad;
        }
        state
    }

    /// A fresh pack of the current epoch.
    ///
    /// # Errors
    /// If the keys of the class are not here, or the purpose has no packs.
    pub fn new_pack(
        &self,
        entropy: &Entropy,
        class: Class,
        purpose: Purpose,
    ) -> Result<PackSealer, CryptoError> {
        let opener = self.pack_opener(self.epoch, &entropy.bytes(), class, purpose)?;
        let index_key = self.key(self.epoch, Class::Ordinary, Purpose::Index)?;
        Ok(PackSealer::new(entropy, opener, index_key))
    }

    /// What opens the frames of a stored pack.
    ///
    /// # Errors
    /// If the keys of the class or epoch are not here.
    pub fn pack_opener(
        &self,
        epoch: u32,
        salt: &[u8; 32],
        class: Class,
        purpose: Purpose,
    ) -> Result<PackOpener, CryptoError> {
        let key = object_key(self.key(epoch, class, purpose)?, salt);
        Ok(PackOpener { repository: self.repository, epoch, salt: *salt, class, purpose, key })
    }

    /// Opens the footer of a pack, which starts `offset` bytes into it: the footer's body.
    ///
    /// # Errors
    /// As [`Keyring::open_object`].
    pub fn open_footer(
        &self,
        header: &[u8; HEADER_LEN],
        offset: u64,
        sealed: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let what = "the pack's footer";
        let header = Header::decode(header, ObjectKind::Frame)?;
        let key =
            object_key(self.key(header.epoch, Class::Ordinary, Purpose::Index)?, &header.salt);
        let aad = footer_binding(header.epoch, offset, len64(sealed)).encode(self.repository);
        into_body(decrypt(&key, &aad, sealed, what)?, what)
    }
}
