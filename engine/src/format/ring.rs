//! The two sealed parts of a ring.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, Bytes};
use zeroize::Zeroizing;

use super::FormatError;
use super::codec::{self, VERSION};
use super::wire::{ensure, number32, secret};
use crate::limits;
use crate::model::{
    EnrolledAuthor, Epoch, HostId, Purpose, Recipient, RingBody, RingSecrets, Secret32,
    SecretBytes, SlotId, SlotKind,
};

/// The code of a key that is used as it is; 2 is reserved for public keys.
const SYMMETRIC: u64 = 1;
/// Bytes kept free for an encoded part, so that no copy of a key stays behind.
const CAPACITY: usize = 1 << 20;
const PURPOSES: [Purpose; 4] = [Purpose::Data, Purpose::Metadata, Purpose::Index, Purpose::Control];
const PURPOSES_S: [Purpose; 2] = [Purpose::Data, Purpose::Metadata];

#[derive(Serialize, Deserialize)]
struct WireBody<'a> {
    v: u64,
    number: u64,
    created_ns: i64,
    epoch: u64,
    #[serde(borrow)]
    epochs: Vec<WireEpoch<'a>>,
    #[serde(borrow)]
    data_id_key: &'a Bytes,
    #[serde(borrow)]
    metadata_id_key: &'a Bytes,
    #[serde(borrow)]
    recipients: Vec<WireRecipient<'a>>,
    #[serde(borrow)]
    authors: Vec<WireAuthor<'a>>,
    #[serde(borrow)]
    signing_secret: &'a Bytes,
    signing_public: ByteArray<32>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    config: Option<&'a Bytes>,
}

#[derive(Serialize, Deserialize)]
struct WireSecrets<'a> {
    v: u64,
    number: u64,
    #[serde(borrow)]
    epochs: Vec<WireEpoch<'a>>,
    #[serde(borrow)]
    data_id_key: &'a Bytes,
    #[serde(borrow)]
    metadata_id_key: &'a Bytes,
}

#[derive(Serialize, Deserialize)]
struct WireEpoch<'a> {
    number: u64,
    #[serde(borrow)]
    keys: Vec<WireKey<'a>>,
}

#[derive(Serialize, Deserialize)]
struct WireKey<'a> {
    purpose: u64,
    kind: u64,
    #[serde(borrow)]
    key: &'a Bytes,
}

#[derive(Serialize, Deserialize)]
struct WireRecipient<'a> {
    slot: ByteArray<16>,
    public: ByteArray<32>,
    label: &'a str,
    kind: u64,
    created_ns: i64,
    secrets: bool,
}

#[derive(Serialize, Deserialize)]
struct WireAuthor<'a> {
    host: ByteArray<16>,
    name: &'a str,
    public: ByteArray<32>,
}

/// The CBOR of part 0.
///
/// # Errors
/// If it exceeds a limit of the format.
pub fn encode(body: &RingBody) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let wire = WireBody {
        v: VERSION,
        number: body.number.into(),
        created_ns: body.created_ns,
        epoch: body.epoch.into(),
        epochs: wire_epochs(&body.epochs),
        data_id_key: bytes(&body.data_id_key),
        metadata_id_key: bytes(&body.metadata_id_key),
        recipients: body.recipients.iter().map(wire_recipient).collect(),
        authors: body.authors.iter().map(wire_author).collect(),
        signing_secret: bytes(&body.signing_secret),
        signing_public: body.signing_public.into(),
        config: body.config.as_ref().map(|config| Bytes::new(config.as_bytes())),
    };
    codec::encode_secret(&wire, CAPACITY)
}

/// Reads part 0.
///
/// # Errors
/// If it is not CBOR of the known version and form, or its tables are not in order.
pub fn decode(bytes: &[u8]) -> Result<RingBody, FormatError> {
    let wire: WireBody<'_> = codec::decode("part 0 of the ring", bytes, limits::RING_LEN_MAX)?;
    let epochs = epochs(&wire.epochs, &PURPOSES)?;
    let epoch = number32(wire.epoch, "epoch")?;
    ensure(epochs.last().is_some_and(|last| last.number == epoch), "epoch", "not the last one")?;
    Ok(RingBody {
        number: number32(wire.number, "number of a ring")?,
        created_ns: wire.created_ns,
        epoch,
        epochs,
        data_id_key: secret(wire.data_id_key, "data_id_key")?,
        metadata_id_key: secret(wire.metadata_id_key, "metadata_id_key")?,
        recipients: recipients(&wire.recipients)?,
        authors: wire.authors.iter().map(author).collect(),
        signing_secret: secret(wire.signing_secret, "signing_secret")?,
        signing_public: *wire.signing_public,
        config: wire.config.map(|config| SecretBytes::new(config.to_vec())),
    })
}

/// The CBOR of part 1.
///
/// # Errors
/// If it exceeds a limit of the format.
pub fn encode_secrets(body: &RingSecrets) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let wire = WireSecrets {
        v: VERSION,
        number: body.number.into(),
        epochs: wire_epochs(&body.epochs),
        data_id_key: bytes(&body.data_id_key),
        metadata_id_key: bytes(&body.metadata_id_key),
    };
    codec::encode_secret(&wire, CAPACITY)
}

/// Reads part 1.
///
/// # Errors
/// If it is not CBOR of the known version and form, or its epochs are not in order.
pub fn decode_secrets(bytes: &[u8]) -> Result<RingSecrets, FormatError> {
    let wire: WireSecrets<'_> = codec::decode("part 1 of the ring", bytes, limits::RING_LEN_MAX)?;
    Ok(RingSecrets {
        number: number32(wire.number, "number of a ring")?,
        epochs: epochs(&wire.epochs, &PURPOSES_S)?,
        data_id_key: secret(wire.data_id_key, "data_id_key")?,
        metadata_id_key: secret(wire.metadata_id_key, "metadata_id_key")?,
    })
}

fn bytes(secret: &Secret32) -> &Bytes {
    Bytes::new(secret.as_bytes())
}

fn wire_epochs(epochs: &[Epoch]) -> Vec<WireEpoch<'_>> {
    epochs
        .iter()
        .map(|epoch| WireEpoch {
            number: epoch.number.into(),
            keys: epoch
                .keys
                .iter()
                .map(|(purpose, key)| WireKey {
                    purpose: purpose.code().into(),
                    kind: SYMMETRIC,
                    key: bytes(key),
                })
                .collect(),
        })
        .collect()
}

fn epochs(wire: &[WireEpoch<'_>], purposes: &[Purpose]) -> Result<Vec<Epoch>, FormatError> {
    let field = "epochs";
    ensure(!wire.is_empty(), field, "none")?;
    ensure(wire.len() <= limits::EPOCH_COUNT_MAX, field, "more than 4096")?;
    ensure(wire.is_sorted_by(|left, right| left.number < right.number), field, "not ascending")?;
    wire.iter().map(|epoch| one_epoch(epoch, purposes)).collect()
}

fn one_epoch(wire: &WireEpoch<'_>, purposes: &[Purpose]) -> Result<Epoch, FormatError> {
    let field = "keys of an epoch";
    let mut keys = BTreeMap::new();
    for it in &wire.keys {
        ensure(it.kind == SYMMETRIC, field, "a key of a kind this program does not know")?;
        let purpose = Purpose::from_code(it.purpose)
            .filter(|purpose| purposes.contains(purpose))
            .ok_or(FormatError::Invalid { field, why: "an unknown purpose" })?;
        ensure(keys.insert(purpose, secret(it.key, field)?).is_none(), field, "two of a purpose")?;
    }
    ensure(keys.len() == purposes.len(), field, "a purpose without a key")?;
    Ok(Epoch { number: number32(wire.number, "number of an epoch")?, keys })
}

fn wire_recipient(it: &Recipient) -> WireRecipient<'_> {
    WireRecipient {
        slot: it.slot.0.into(),
        public: it.public.into(),
        label: &it.label,
        kind: it.kind.code().into(),
        created_ns: it.created_ns,
        secrets: it.secrets,
    }
}

fn recipients(wire: &[WireRecipient<'_>]) -> Result<Vec<Recipient>, FormatError> {
    let field = "recipients";
    ensure((1..=limits::RING_RECIPIENT_COUNT_MAX).contains(&wire.len()), field, "not 1 to 64")?;
    let slots: BTreeSet<[u8; 16]> = wire.iter().map(|it| *it.slot).collect();
    ensure(slots.len() == wire.len(), field, "a slot stands twice")?;
    let recipient = |it: &WireRecipient<'_>| {
        let kind = SlotKind::from_code(it.kind)
            .ok_or(FormatError::Invalid { field, why: "an unknown kind of slot" })?;
        Ok(Recipient {
            slot: SlotId(*it.slot),
            public: *it.public,
            label: it.label.into(),
            kind,
            created_ns: it.created_ns,
            secrets: it.secrets,
        })
    };
    wire.iter().map(recipient).collect()
}

fn wire_author(it: &EnrolledAuthor) -> WireAuthor<'_> {
    WireAuthor { host: it.host.0.into(), name: &it.name, public: it.public.into() }
}

fn author(it: &WireAuthor<'_>) -> EnrolledAuthor {
    EnrolledAuthor { host: HostId(*it.host), name: it.name.into(), public: *it.public }
}
