//! Slots: one credential opens one.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize, Zeroizing};

use super::bytes::{into_body, joined, len64, padded_len, padded_plain, take};
use super::cipher::{Binding, NonceKey, append_sealed, decrypt};
use super::keys::derive;
use super::{CryptoError, Place};
use crate::limits;
use crate::model::{
    Class, Entropy, ObjectKind, Purpose, RepositoryId, Secret32, SlotId, SlotKind, parse_hex,
};

const WHAT: &str = "the slot";
/// Bytes before the commitment, which it binds.
const BOUND_LEN: usize = 80;
/// Bytes before the nonce.
const CLEAR_LEN: usize = 112;

/// What opens a slot.
#[derive(Clone)]
pub enum Credential {
    /// A password as typed.
    Password(Zeroizing<Vec<u8>>),
    /// The 32 random bytes of a key file.
    KeyFile(Secret32),
}

impl Credential {
    /// A password from its bytes.
    pub fn password(password: impl Into<Vec<u8>>) -> Self {
        Self::Password(Zeroizing::new(password.into()))
    }

    /// The kind of slot it opens.
    #[must_use]
    pub fn kind(&self) -> SlotKind {
        match self {
            Self::Password(_) => SlotKind::Password,
            Self::KeyFile(_) => SlotKind::KeyFile,
        }
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Credential({:?}, …)", self.kind())
    }
}

/// How dear a guess at a password is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KdfStrength {
    /// 64 MiB, three passes, four lanes: the second choice of RFC 9106.
    #[default]
    Default,
    /// 256 MiB.
    Strong,
}

impl KdfStrength {
    fn memory_kib(self) -> u32 {
        match self {
            Self::Default => 64 << 10,
            Self::Strong => 256 << 10,
        }
    }
}

/// The clear start of a slot. Its Argon2 parameters are within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotHeader {
    pub kind: SlotKind,
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
    pub slot: SlotId,
    pub repository: RepositoryId,
    pub salt: [u8; 32],
}

impl SlotHeader {
    /// Reads the clear start of a slot; nothing is derived.
    ///
    /// # Errors
    /// If it is no slot of this version, or asks for more memory or time than the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, CryptoError> {
        if len64(bytes) > limits::SLOT_LEN_MAX {
            return Err(CryptoError::Length { what: WHAT });
        }
        let mut rest = bytes;
        let [version, object, kind, reserved] = take(&mut rest, WHAT)?;
        if version != 1 {
            return Err(CryptoError::Version { what: WHAT, found: version });
        }
        let expected = ObjectKind::Slot.code();
        if object != expected {
            return Err(CryptoError::ObjectKind { what: WHAT, found: object, expected });
        }
        if reserved != 0 {
            return Err(CryptoError::Reserved { what: WHAT });
        }
        let kind = SlotKind::from_code(kind.into()).ok_or(CryptoError::SlotKind { found: kind })?;
        let header = Self {
            kind,
            memory_kib: u32::from_le_bytes(take(&mut rest, WHAT)?),
            passes: u32::from_le_bytes(take(&mut rest, WHAT)?),
            lanes: u32::from_le_bytes(take(&mut rest, WHAT)?),
            slot: SlotId(take(&mut rest, WHAT)?),
            repository: RepositoryId(take(&mut rest, WHAT)?),
            salt: take(&mut rest, WHAT)?,
        };
        header.check_cost()?;
        Ok(header)
    }

    fn check_cost(&self) -> Result<(), CryptoError> {
        let (memory, passes, lanes) = match self.kind {
            SlotKind::KeyFile => ((0, 0), (0, 0), (0, 0)),
            SlotKind::Password => (
                (limits::ARGON2_KIB_MIN, limits::ARGON2_KIB_MAX),
                (1, limits::ARGON2_PASSES_MAX),
                (1, limits::ARGON2_LANES_MAX),
            ),
        };
        within("Argon2 memory in KiB", self.memory_kib, memory)?;
        within("number of Argon2 passes", self.passes, passes)?;
        within("number of Argon2 lanes", self.lanes, lanes)
    }

    /// What one derivation costs: KiB of memory times passes.
    #[must_use]
    pub fn cost(&self) -> u64 {
        u64::from(self.memory_kib).saturating_mul(u64::from(self.passes))
    }

    fn encode(&self) -> [u8; BOUND_LEN] {
        joined(&[
            &[1, ObjectKind::Slot.code(), self.kind.code(), 0],
            &self.memory_kib.to_le_bytes(),
            &self.passes.to_le_bytes(),
            &self.lanes.to_le_bytes(),
            self.slot.as_bytes(),
            self.repository.as_bytes(),
            &self.salt,
        ])
    }

    /// Commitment and slot key.
    fn keys(&self, credential: &Credential) -> Result<(blake3::Hash, Secret32), CryptoError> {
        let kek = match credential {
            Credential::Password(password) => self.derive_password(password)?,
            Credential::KeyFile(secret) => {
                derive("coffer v1 key file", &[secret.as_bytes(), &self.salt])
            }
        };
        let bound = self.encode();
        let commitment = derive("coffer v1 slot commitment", &[kek.as_bytes(), &bound]);
        let key = derive("coffer v1 slot key", &[kek.as_bytes(), &bound]);
        Ok((blake3::Hash::from_bytes(*commitment.as_bytes()), key))
    }

    fn derive_password(&self, password: &[u8]) -> Result<Secret32, CryptoError> {
        let memory_failed = CryptoError::DerivationMemory { kib: self.memory_kib };
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|_| memory_failed.clone())?;
        let mut memory: Vec<Block> = Vec::new();
        let count = params.block_count();
        memory.try_reserve_exact(count).map_err(|_| memory_failed.clone())?;
        memory.resize(count, Block::new());
        let mut kek = Secret32::new([0; 32]);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let out = kek.as_bytes_mut();
        let derived = argon2.hash_password_into_with_memory(password, &self.salt, out, &mut memory);
        // The crate leaves its matrix as it is, and the key follows from it.
        memory.iter_mut().for_each(Zeroize::zeroize);
        derived.map_err(|_| memory_failed)?;
        Ok(kek)
    }

    fn associated(&self, commitment: &blake3::Hash, length: u64) -> Vec<u8> {
        let binding = Binding {
            kind: ObjectKind::Slot,
            class: Class::Ordinary,
            purpose: Purpose::Control,
            frame: None,
            epoch: 0,
            place: Place::slot(&self.slot),
            length,
        };
        [&binding.encode(self.repository)[..], &self.encode(), commitment.as_bytes()].concat()
    }
}

fn within(field: &'static str, found: u32, (min, max): (u32, u32)) -> Result<(), CryptoError> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(CryptoError::OutOfBounds { field, found: found.into(), min: min.into(), max: max.into() })
}

/// Seals a slot's body so that `credential` opens it.
///
/// # Errors
/// If there is not enough memory for the key derivation.
pub fn seal_slot(
    entropy: &Entropy,
    (repository, slot): (RepositoryId, SlotId),
    credential: &Credential,
    strength: KdfStrength,
    body: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let (memory_kib, passes, lanes) = match credential.kind() {
        SlotKind::Password => (strength.memory_kib(), 3, 4),
        SlotKind::KeyFile => (0, 0, 0),
    };
    let (kind, salt) = (credential.kind(), entropy.bytes());
    let header = SlotHeader { kind, memory_kib, passes, lanes, slot, repository, salt };
    let (commitment, key) = header.keys(credential)?;
    // Clear start, nonce, length field and tag.
    let length = padded_len(len64(body).saturating_add(136 + 8 + 16));
    let mut plain = padded_plain(body, length.saturating_sub(136 + 16))?;
    let nonce = NonceKey::draw(entropy).nonce(ObjectKind::Slot, &Place::slot(&slot), &plain);
    let aad = header.associated(&commitment, length);
    let mut out = [&header.encode()[..], commitment.as_bytes()].concat();
    append_sealed(&mut out, &key, &nonce, &aad, &mut plain, WHAT)?;
    Ok(out)
}

/// Opens the slot of this name: its body. Costs one key derivation.
///
/// # Errors
/// `WrongCredential` if it was made for another one; the rest is damage or a foreign slot.
pub fn open_slot(
    bytes: &[u8],
    (repository, slot): (RepositoryId, SlotId),
    credential: &Credential,
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let header = SlotHeader::decode(bytes)?;
    if header.slot != slot {
        return Err(CryptoError::Elsewhere { what: WHAT, field: "slot id" });
    }
    if header.repository != repository {
        return Err(CryptoError::Elsewhere { what: WHAT, field: "repository id" });
    }
    if header.kind != credential.kind() {
        return Err(CryptoError::WrongCredential);
    }
    let cut = CryptoError::Length { what: WHAT };
    let (clear, sealed) = bytes.split_first_chunk::<CLEAR_LEN>().ok_or(cut.clone())?;
    let stored = clear.last_chunk::<32>().ok_or(cut)?;
    let (commitment, key) = header.keys(credential)?;
    // `Hash` compares in constant time.
    if commitment != blake3::Hash::from_bytes(*stored) {
        return Err(CryptoError::WrongCredential);
    }
    let aad = header.associated(&commitment, len64(bytes));
    into_body(decrypt(&key, &aad, sealed, WHAT)?, WHAT).map(Zeroizing::new)
}

/// Reads a key file: 64 hexadecimal digits, or 32 raw bytes.
///
/// # Errors
/// If it is neither.
pub fn parse_key_file(bytes: &[u8]) -> Result<Secret32, CryptoError> {
    if let Ok(raw) = <[u8; 32]>::try_from(bytes) {
        return Ok(Secret32::new(raw));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| CryptoError::KeyFile)?;
    parse_hex::<32>(text.trim_ascii_end()).map(Secret32::new).ok_or(CryptoError::KeyFile)
}

/// The text of a key file: 64 hexadecimal digits and a line feed.
#[must_use]
pub fn key_file_text(secret: &Secret32) -> Zeroizing<String> {
    use std::fmt::Write as _;
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in secret.as_bytes() {
        // Writing to a string cannot fail.
        let _ = write!(*text, "{byte:02x}");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: (RepositoryId, SlotId) = (RepositoryId([1; 16]), SlotId([2; 16]));

    fn key_file_slot(entropy: &Entropy) -> (Credential, Vec<u8>) {
        let credential = Credential::KeyFile(Secret32::random(entropy));
        let slot = seal_slot(entropy, HOME, &credential, KdfStrength::Default, b"body").unwrap();
        (credential, slot)
    }

    #[test]
    fn a_key_file_opens_its_slot_and_no_other_credential_does() {
        let entropy = Entropy::fixed(b"slots");
        let (credential, slot) = key_file_slot(&entropy);
        assert_eq!(slot.len(), 4096);
        assert_eq!(*open_slot(&slot, HOME, &credential).unwrap(), b"body");
        let (other, _) = key_file_slot(&entropy);
        for wrong in [other, Credential::password("pass")] {
            let refused = open_slot(&slot, HOME, &wrong).unwrap_err();
            assert_eq!(refused, CryptoError::WrongCredential);
        }
    }

    #[test]
    fn a_password_opens_its_slot_and_a_wrong_one_does_not() {
        let entropy = Entropy::fixed(b"passwords");
        let credential = Credential::password("correct horse");
        let slot = seal_slot(&entropy, HOME, &credential, KdfStrength::Default, b"b").unwrap();
        let header = SlotHeader::decode(&slot).unwrap();
        assert_eq!((header.memory_kib, header.passes, header.lanes), (65536, 3, 4));
        assert_eq!(*open_slot(&slot, HOME, &credential).unwrap(), b"b");
        let wrong = open_slot(&slot, HOME, &Credential::password("correct hors"));
        assert_eq!(wrong.unwrap_err(), CryptoError::WrongCredential);
    }

    #[test]
    fn every_flip_of_a_slot_is_refused() {
        let (credential, slot) = key_file_slot(&Entropy::fixed(b"flips"));
        let mut harmed = slot.clone();
        for at in 0..slot.len() {
            harmed[at] ^= 1 << (at % 8);
            assert!(open_slot(&harmed, HOME, &credential).is_err(), "byte {at}");
            harmed[at] = slot[at];
        }
        for len in 0..slot.len() {
            assert!(open_slot(&slot[..len], HOME, &credential).is_err(), "length {len}");
        }
        harmed.push(0);
        assert!(open_slot(&harmed, HOME, &credential).is_err());
    }

    #[test]
    fn a_slot_opens_only_under_its_name_in_its_repository() {
        let (credential, slot) = key_file_slot(&Entropy::fixed(b"names"));
        let check = |home| {
            let refused = open_slot(&slot, home, &credential).unwrap_err();
            assert!(matches!(refused, CryptoError::Elsewhere { .. }), "{refused}");
        };
        check((HOME.0, SlotId([3; 16])));
        check((RepositoryId([3; 16]), HOME.1));
    }

    #[test]
    fn hostile_derivation_costs_are_refused_before_deriving() {
        let header = SlotHeader {
            kind: SlotKind::Password,
            memory_kib: 64 << 10,
            passes: 3,
            lanes: 4,
            slot: HOME.1,
            repository: HOME.0,
            salt: [0; 32],
        };
        let check = |edit: fn(&mut SlotHeader)| {
            let mut hostile = header;
            edit(&mut hostile);
            let mut slot = vec![0; 4096];
            slot[..BOUND_LEN].copy_from_slice(&hostile.encode());
            let refused = open_slot(&slot, HOME, &Credential::password("x")).unwrap_err();
            assert!(matches!(refused, CryptoError::OutOfBounds { .. }), "{refused}");
        };
        check(|it| it.memory_kib = u32::MAX);
        check(|it| it.memory_kib = (1 << 20) + 1);
        check(|it| it.memory_kib = (64 << 10) - 1);
        check(|it| it.passes = 0);
        check(|it| it.passes = 17);
        check(|it| it.lanes = 0);
        check(|it| it.lanes = 17);
        check(|it| it.kind = SlotKind::KeyFile);
    }

    #[test]
    fn key_files_are_read_in_both_forms() {
        let secret = Secret32::new(*b"0123456789abcdef0123456789abcdef");
        let text = key_file_text(&secret);
        assert_eq!(text.len(), 65);
        assert_eq!(parse_key_file(text.as_bytes()), Ok(secret.clone()));
        assert_eq!(parse_key_file(text.trim_end().as_bytes()), Ok(secret.clone()));
        assert_eq!(parse_key_file(secret.as_bytes()), Ok(secret));
        for wrong in [&b""[..], b"0123", &[0xff; 64], &[b'0'; 66], &[0; 31]] {
            assert_eq!(parse_key_file(wrong), Err(CryptoError::KeyFile));
        }
    }
}
