//! Rings: the keys of all epochs, sealed to every slot that may use them.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::Zeroizing;

use super::bytes::{into_body, joined, len64, padded_len, padded_plain, take};
use super::cipher::{Binding, NonceKey, SEAL_OVERHEAD, append_sealed, decrypt};
use super::random::EntropyRng;
use super::sign::{SIGNATURE_LEN, is_signed, sign};
use super::{CryptoError, Place};
use crate::limits;
use crate::model::{
    Class, Entropy, ObjectHash, ObjectKind, Purpose, RepositoryId, Secret32, SlotId,
};

type X25519 = X25519HkdfSha256;

const WHAT: &str = "the ring";
const DOMAIN: &[u8] = b"coffer v1 ring";
/// Encapsulation and sealed part key, bytes.
const SHARE_LEN: usize = 80;
const CLASSES: [Class; 2] = [Class::Ordinary, Class::S];

/// A slot a ring is sealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingRecipient {
    pub slot: SlotId,
    /// X25519 public key.
    pub public: [u8; 32],
    /// Whether the keys of class S are sealed to it too.
    pub secrets: bool,
}

/// What a ring is sealed from.
pub struct RingPlan<'a> {
    pub repository: RepositoryId,
    pub number: u32,
    /// Hash of the ring before; zeros for ring 0.
    pub previous: ObjectHash,
    pub recipients: &'a [RingRecipient],
    /// CBOR of class ordinary.
    pub part0: &'a [u8],
    /// CBOR of class S.
    pub part1: &'a [u8],
    /// Signing secret of the ring before; of ring 0 its own.
    pub signer: &'a Secret32,
}

/// The clear fields of a ring: claims, until its signature is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingHead {
    pub repository: RepositoryId,
    pub number: u32,
    pub previous: ObjectHash,
    pub slots: Vec<SlotId>,
}

/// An opened ring.
#[derive(Debug)]
pub struct OpenedRing {
    pub head: RingHead,
    pub part0: Zeroizing<Vec<u8>>,
    /// Absent if the slot is no recipient of it.
    pub part1: Option<Zeroizing<Vec<u8>>>,
}

/// The X25519 public key of a slot's secret key.
///
/// # Errors
/// Never for 32 bytes.
pub fn slot_public(secret: &Secret32) -> Result<[u8; 32], CryptoError> {
    let public = X25519::sk_to_pk(&private_key(secret)?);
    Ok(joined(&[&public.to_bytes()]))
}

fn private_key(secret: &Secret32) -> Result<<X25519 as Kem>::PrivateKey, CryptoError> {
    Deserializable::from_bytes(secret.as_bytes()).map_err(|_| CryptoError::Length { what: WHAT })
}

/// Seals a ring to its recipients and signs it.
///
/// # Errors
/// If there are not 1 to 64 recipients, a public key is unusable, or the ring is too long.
pub fn seal_ring(entropy: &Entropy, plan: &RingPlan<'_>) -> Result<Vec<u8>, CryptoError> {
    let count = u16::try_from(plan.recipients.len()).unwrap_or(u16::MAX);
    check_count(count)?;
    let keys = [Secret32::random(entropy), Secret32::random(entropy)];
    let mut out = [
        &[1, ObjectKind::Ring.code()],
        &count.to_le_bytes()[..],
        &plan.number.to_le_bytes(),
        plan.repository.as_bytes(),
        plan.previous.as_bytes(),
    ]
    .concat();
    for recipient in plan.recipients {
        out.extend_from_slice(recipient.slot.as_bytes());
        for (class, key) in CLASSES.into_iter().zip(&keys) {
            let scope = Scope { repository: plan.repository, number: plan.number, class };
            let share = if class == Class::Ordinary || recipient.secrets {
                scope.seal_share(entropy, recipient, key)?
            } else {
                [0; SHARE_LEN]
            };
            out.extend_from_slice(&share);
        }
    }
    let parts = [plan.part0, plan.part1];
    for body in parts {
        out.extend_from_slice(&u32_len(part_len(body))?);
    }
    for ((class, key), body) in CLASSES.into_iter().zip(&keys).zip(parts) {
        let scope = Scope { repository: plan.repository, number: plan.number, class };
        scope.append_part(entropy, key, body, &mut out)?;
    }
    let signature = sign(plan.signer, &message(&out));
    out.extend_from_slice(&signature);
    if len64(&out) > limits::RING_LEN_MAX {
        return Err(CryptoError::Length { what: WHAT });
    }
    Ok(out)
}

fn check_count(count: u16) -> Result<(), CryptoError> {
    let max = u64::try_from(limits::RING_RECIPIENT_COUNT_MAX).unwrap_or(u64::MAX);
    if count == 0 || u64::from(count) > max {
        let field = "number of recipients";
        return Err(CryptoError::OutOfBounds { field, found: count.into(), min: 1, max });
    }
    Ok(())
}

/// Sealed length of a part: nonce, length field, body, tag, padding.
fn part_len(body: &[u8]) -> u64 {
    padded_len(len64(body).saturating_add(48))
}

fn u32_len(len: u64) -> Result<[u8; 4], CryptoError> {
    u32::try_from(len).map(u32::to_le_bytes).map_err(|_| CryptoError::Length { what: WHAT })
}

fn message(ring: &[u8]) -> Vec<u8> {
    [DOMAIN, ring].concat()
}

/// One part of one ring: what its seals bind.
#[derive(Clone, Copy)]
struct Scope {
    repository: RepositoryId,
    number: u32,
    class: Class,
}

impl Scope {
    fn info(&self) -> Vec<u8> {
        let number = self.number.to_le_bytes();
        [DOMAIN, self.repository.as_bytes(), &number, &[self.class.code()]].concat()
    }

    fn seal_share(
        &self,
        entropy: &Entropy,
        recipient: &RingRecipient,
        key: &Secret32,
    ) -> Result<[u8; SHARE_LEN], CryptoError> {
        let failed = CryptoError::Broken { what: "a recipient's public key" };
        let public = Deserializable::from_bytes(&recipient.public).map_err(|_| failed.clone())?;
        let (encapsulated, sealed) =
            hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519>(
                &OpModeS::Base,
                &public,
                &self.info(),
                key.as_bytes(),
                recipient.slot.as_bytes(),
                &mut EntropyRng(entropy),
            )
            .map_err(|_| failed)?;
        Ok(joined(&[&encapsulated.to_bytes(), &sealed]))
    }

    fn open_share(
        &self,
        slot: &SlotId,
        secret: &Secret32,
        share: &[u8; SHARE_LEN],
    ) -> Result<Secret32, CryptoError> {
        let broken = CryptoError::Broken { what: "a ring's share" };
        let (encapsulated, sealed) = share.split_at_checked(32).ok_or(broken.clone())?;
        let encapsulated = Deserializable::from_bytes(encapsulated).map_err(|_| broken.clone())?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519>(
            &OpModeR::Base,
            &private_key(secret)?,
            &encapsulated,
            &self.info(),
            sealed,
            slot.as_bytes(),
        )
        .map_err(|_| broken.clone())?;
        let opened = Zeroizing::new(opened);
        opened.as_slice().try_into().map(Secret32::new).map_err(|_| broken)
    }

    fn associated(&self, length: u64) -> [u8; 64] {
        Binding {
            kind: ObjectKind::Ring,
            class: self.class,
            purpose: Purpose::Control,
            frame: None,
            epoch: self.number,
            place: Place::number(self.number.into()),
            length,
        }
        .encode(self.repository)
    }

    fn append_part(
        &self,
        entropy: &Entropy,
        key: &Secret32,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CryptoError> {
        let length = part_len(body);
        let mut plain = padded_plain(body, length.saturating_sub(40))?;
        let place = Place::number(self.number.into());
        let nonce = NonceKey::draw(entropy).nonce(ObjectKind::Ring, &place, &plain);
        append_sealed(out, key, &nonce, &self.associated(length), &mut plain, WHAT)
    }

    fn open_part(&self, key: &Secret32, part: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let plain = decrypt(key, &self.associated(len64(part)), part, WHAT)?;
        into_body(plain, WHAT).map(Zeroizing::new)
    }
}

/// A ring taken apart, its lengths checked.
struct Layout<'a> {
    head: RingHead,
    shares: Vec<[[u8; SHARE_LEN]; 2]>,
    parts: [&'a [u8]; 2],
    signed: &'a [u8],
    signature: [u8; SIGNATURE_LEN],
}

impl<'a> Layout<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self, CryptoError> {
        let cut = CryptoError::Length { what: WHAT };
        if len64(bytes) > limits::RING_LEN_MAX {
            return Err(cut);
        }
        let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_LEN>().ok_or(cut.clone())?;
        let mut rest = signed;
        let [version, kind] = take(&mut rest, WHAT)?;
        if version != 1 {
            return Err(CryptoError::Version { what: WHAT, found: version });
        }
        let expected = ObjectKind::Ring.code();
        if kind != expected {
            return Err(CryptoError::ObjectKind { what: WHAT, found: kind, expected });
        }
        let count = u16::from_le_bytes(take(&mut rest, WHAT)?);
        check_count(count)?;
        let number = u32::from_le_bytes(take(&mut rest, WHAT)?);
        let repository = RepositoryId(take(&mut rest, WHAT)?);
        let previous = ObjectHash(take(&mut rest, WHAT)?);
        let (mut slots, mut shares) = (Vec::new(), Vec::new());
        for _ in 0..count {
            slots.push(SlotId(take(&mut rest, WHAT)?));
            shares.push([take(&mut rest, WHAT)?, take(&mut rest, WHAT)?]);
        }
        let lens = [take(&mut rest, WHAT)?, take(&mut rest, WHAT)?].map(u32::from_le_bytes);
        let [first, _] = lens.map(|len| usize::try_from(len).unwrap_or(usize::MAX));
        let (part0, part1) = rest.split_at_checked(first).ok_or(cut.clone())?;
        if len64(part1) != u64::from(lens[1]) || part0.len().min(part1.len()) < SEAL_OVERHEAD {
            return Err(cut);
        }
        let head = RingHead { repository, number, previous, slots };
        Ok(Self { head, shares, parts: [part0, part1], signed, signature: *signature })
    }
}

/// Reads the clear fields of a ring, whose form is checked and whose claims are not.
///
/// # Errors
/// If it is no ring of this version, or cut short.
pub fn decode_ring_head(bytes: &[u8]) -> Result<RingHead, CryptoError> {
    Layout::decode(bytes).map(|layout| layout.head)
}

/// Opens a ring with the secret key of one of its slots. The signature is not looked at.
///
/// # Errors
/// `NotRecipient` if the slot is not listed; the rest is damage or a foreign ring.
pub fn open_ring(
    bytes: &[u8],
    (repository, number): (RepositoryId, u32),
    slot: &SlotId,
    secret: &Secret32,
) -> Result<OpenedRing, CryptoError> {
    let layout = Layout::decode(bytes)?;
    if layout.head.repository != repository {
        return Err(CryptoError::Elsewhere { what: WHAT, field: "repository id" });
    }
    if layout.head.number != number {
        return Err(CryptoError::Elsewhere { what: WHAT, field: "number" });
    }
    let mut listed = layout.head.slots.iter().zip(&layout.shares);
    let (_, [share0, share1]) =
        listed.find(|(listed, _)| *listed == slot).ok_or(CryptoError::NotRecipient)?;
    let open = |class, share: &[u8; SHARE_LEN], part: &[u8]| {
        let scope = Scope { repository, number, class };
        scope.open_part(&scope.open_share(slot, secret, share)?, part)
    };
    let [bytes0, bytes1] = layout.parts;
    let part0 = open(Class::Ordinary, share0, bytes0)?;
    let may_read_secrets = share1.iter().any(|byte| *byte != 0);
    let part1 = may_read_secrets.then(|| open(Class::S, share1, bytes1)).transpose()?;
    Ok(OpenedRing { head: layout.head, part0, part1 })
}

/// Checks that `public` signed the ring.
///
/// # Errors
/// If it did not, or these bytes are no ring.
pub fn check_ring_signature(bytes: &[u8], public: &[u8; 32]) -> Result<(), CryptoError> {
    let layout = Layout::decode(bytes)?;
    if is_signed(public, &message(layout.signed), &layout.signature) {
        Ok(())
    } else {
        Err(CryptoError::BadSignature { what: WHAT })
    }
}

#[cfg(test)]
mod tests {
    use super::super::signing_public;
    use super::*;

    const REPOSITORY: RepositoryId = RepositoryId([1; 16]);

    struct Slots {
        secrets: Vec<Secret32>,
        recipients: Vec<RingRecipient>,
        signer: Secret32,
    }

    fn slots(entropy: &Entropy) -> Slots {
        let secrets: Vec<Secret32> = (0..3).map(|_| Secret32::random(entropy)).collect();
        let recipient = |(number, secret): (u8, &Secret32)| RingRecipient {
            slot: SlotId([number; 16]),
            public: slot_public(secret).unwrap(),
            secrets: number != 2,
        };
        let recipients = (0..).zip(&secrets).map(recipient).collect();
        Slots { secrets, recipients, signer: Secret32::random(entropy) }
    }

    fn sealed(entropy: &Entropy, slots: &Slots) -> Vec<u8> {
        let plan = RingPlan {
            repository: REPOSITORY,
            number: 5,
            previous: ObjectHash([9; 32]),
            recipients: &slots.recipients,
            part0: b"part 0",
            part1: b"part 1",
            signer: &slots.signer,
        };
        seal_ring(entropy, &plan).unwrap()
    }

    #[test]
    fn every_slot_opens_its_parts_and_the_signature_holds() {
        let entropy = Entropy::fixed(b"ring");
        let slots = slots(&entropy);
        let ring = sealed(&entropy, &slots);
        for (recipient, secret) in slots.recipients.iter().zip(&slots.secrets) {
            let opened = open_ring(&ring, (REPOSITORY, 5), &recipient.slot, secret).unwrap();
            assert_eq!(*opened.part0, b"part 0");
            assert_eq!(opened.part1.is_some(), recipient.secrets);
            assert_eq!(opened.head.previous, ObjectHash([9; 32]));
            assert_eq!(opened.head.slots.len(), 3);
        }
        assert_eq!(check_ring_signature(&ring, &signing_public(&slots.signer)), Ok(()));
        let other = signing_public(&slots.secrets[0]);
        assert!(check_ring_signature(&ring, &other).is_err());
    }

    #[test]
    fn a_ring_opens_only_with_the_right_slot_key_number_and_repository() {
        let entropy = Entropy::fixed(b"wrong");
        let slots = slots(&entropy);
        let ring = sealed(&entropy, &slots);
        let open = |repository, number, slot: u8, secret: usize| {
            let (home, slot) = ((repository, number), SlotId([slot; 16]));
            open_ring(&ring, home, &slot, &slots.secrets[secret]).map(drop)
        };
        assert_eq!(open(REPOSITORY, 5, 0, 0), Ok(()));
        assert!(matches!(open(REPOSITORY, 5, 0, 1), Err(CryptoError::Broken { .. })));
        assert_eq!(open(REPOSITORY, 5, 7, 0), Err(CryptoError::NotRecipient));
        assert!(matches!(open(REPOSITORY, 4, 0, 0), Err(CryptoError::Elsewhere { .. })));
        assert!(matches!(open(RepositoryId([2; 16]), 5, 0, 0), Err(CryptoError::Elsewhere { .. })));
    }

    #[test]
    fn every_flip_and_cut_of_a_ring_breaks_its_signature() {
        let entropy = Entropy::fixed(b"flips");
        let slots = slots(&entropy);
        let (ring, public) = (sealed(&entropy, &slots), signing_public(&slots.signer));
        let mut harmed = ring.clone();
        // Every byte of the clear tables and the signature, a sample of the parts.
        let (tables, end) = (56 + 3 * 176 + 8, ring.len() - 64);
        for at in (0..tables).chain((tables..end).step_by(11)).chain(end..ring.len()) {
            harmed[at] ^= 1 << (at % 8);
            assert!(check_ring_signature(&harmed, &public).is_err(), "byte {at}");
            harmed[at] = ring[at];
        }
        for len in (0..ring.len()).step_by(13) {
            assert!(check_ring_signature(&ring[..len], &public).is_err(), "length {len}");
            assert!(
                open_ring(&ring[..len], (REPOSITORY, 5), &SlotId([0; 16]), &slots.secrets[0])
                    .is_err()
            );
        }
    }

    #[test]
    fn a_flip_within_a_part_or_its_share_is_refused_without_the_signature() {
        let entropy = Entropy::fixed(b"parts");
        let slots = slots(&entropy);
        let ring = sealed(&entropy, &slots);
        let mut harmed = ring.clone();
        // The first recipient's shares, then both parts.
        let parts = 56 + 3 * 176 + 8;
        for at in (72..56 + 176).chain((parts..ring.len() - 64).step_by(7)) {
            harmed[at] ^= 1 << (at % 8);
            let opened = open_ring(&harmed, (REPOSITORY, 5), &SlotId([0; 16]), &slots.secrets[0]);
            assert!(opened.is_err(), "byte {at}");
            harmed[at] = ring[at];
        }
    }
}
