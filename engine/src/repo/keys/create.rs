//! Making a repository: slot first, config last.

use std::collections::BTreeMap;

use super::copies::{put, put_twice};
use super::{Opened, Unlocked, corrupt, hash_of, slot_name};
use crate::chunk::standard_profiles;
use crate::crypto::config::seal_config;
use crate::crypto::ring::{RingPlan, RingRecipient, seal_ring, slot_public};
use crate::crypto::slot::{open_slot, seal_slot};
use crate::crypto::{Author, Credential, KdfStrength, Secret32, signing_public};
use crate::error::{Error, Kind, Result};
use crate::format;
use crate::limits;
use crate::model::{
    ConfigBody, ConfigHead, EnrolledAuthor, Entropy, Epoch, Features, ObjectHash, Purpose,
    Recipient, RepositoryId, RingBody, RingSecrets, SecretBytes, SlotBody, SlotId,
};
use crate::repo::Tuning;
use crate::store::Store;

pub(super) const PURPOSES: [Purpose; 4] =
    [Purpose::Data, Purpose::Metadata, Purpose::Index, Purpose::Control];
pub(super) const PURPOSES_S: [Purpose; 2] = [Purpose::Data, Purpose::Metadata];

/// A config with a fresh repository id and chunker secret and the profiles of the format's page 7.
#[must_use]
pub fn default_config(entropy: &Entropy, now_ns: i64) -> ConfigBody {
    let tuning = Tuning::default();
    ConfigBody {
        repository: RepositoryId(entropy.bytes()),
        created_ns: now_ns,
        chunker: 1,
        chunker_secret: Secret32::random(entropy),
        profiles: standard_profiles(),
        zstd_level: tuning.zstd_level,
        frame_len: tuning.frame_len,
        pack_len: tuning.pack_len,
    }
}

/// A new slot, sealed and opened again, not yet stored.
pub(super) struct NewSlot {
    pub(super) id: SlotId,
    pub(super) secret: Secret32,
    pub(super) recipient: Recipient,
    pub(super) bytes: Vec<u8>,
}

/// What a slot is made for.
#[derive(Clone, Copy)]
pub(super) struct SlotPlan<'a> {
    pub(super) repository: RepositoryId,
    pub(super) credential: &'a Credential,
    pub(super) strength: KdfStrength,
    pub(super) label: &'a str,
    pub(super) secrets: bool,
    pub(super) now_ns: i64,
    /// Number and signing public key of the ring that will list it.
    pub(super) ring: (u32, [u8; 32]),
}

impl NewSlot {
    pub(super) fn seal(entropy: &Entropy, plan: &SlotPlan<'_>) -> Result<Self> {
        let (id, secret) = (SlotId(entropy.bytes()), Secret32::random(entropy));
        let body = format::slot::encode(&SlotBody {
            x25519: secret.clone(),
            ring: plan.ring.0,
            ring_public: plan.ring.1,
            label: plan.label.to_owned(),
            created_ns: plan.now_ns,
        })?;
        let home = (plan.repository, id);
        let bytes = seal_slot(entropy, home, plan.credential, plan.strength, &body)?;
        if open_slot(&bytes, home, plan.credential)? != body {
            return Err(corrupt("a new slot opens to other bytes: a memory or processor fault"));
        }
        let recipient = Recipient {
            slot: id,
            public: slot_public(&secret)?,
            label: plan.label.to_owned(),
            kind: plan.credential.kind(),
            created_ns: plan.now_ns,
            secrets: plan.secrets,
        };
        Ok(Self { id, secret, recipient, bytes })
    }

    pub(super) fn put(&self, store: &dyn Store) -> Result<()> {
        put(store, &slot_name(&self.id), &self.bytes, limits::SLOT_LEN_MAX)
    }
}

/// Random keys for an epoch.
pub(super) fn draw_epoch(entropy: &Entropy, number: u32, purposes: &[Purpose]) -> Epoch {
    let keys: BTreeMap<_, _> =
        purposes.iter().map(|purpose| (*purpose, Secret32::random(entropy))).collect();
    Epoch { number, keys }
}

/// Seals a ring from its two bodies; `signer` is the pair of the ring before.
pub(super) fn seal_bodies(
    entropy: &Entropy,
    repository: RepositoryId,
    previous: ObjectHash,
    (body, secrets): (&RingBody, &RingSecrets),
    signer: &Secret32,
) -> Result<Vec<u8>> {
    let recipient =
        |it: &Recipient| RingRecipient { slot: it.slot, public: it.public, secrets: it.secrets };
    let recipients: Vec<RingRecipient> = body.recipients.iter().map(recipient).collect();
    Ok(seal_ring(
        entropy,
        &RingPlan {
            repository,
            number: body.number,
            previous,
            recipients: &recipients,
            part0: &format::ring::encode(body)?,
            part1: &format::ring::encode_secrets(secrets)?,
            signer,
        },
    )?)
}

/// What a new repository is made of.
#[derive(Debug, Clone, Copy)]
pub struct NewRepository<'a> {
    pub credential: &'a Credential,
    pub strength: KdfStrength,
    /// Label of the first slot; may be empty.
    pub label: &'a str,
    pub config: &'a ConfigBody,
    /// The first enrolled author, and its host's name.
    pub author: (&'a Author, &'a str),
    pub now_ns: i64,
}

/// Makes a repository in an empty store and opens it.
///
/// # Errors
/// `Conflict` if there is a repository, or another one came into being at the same time.
pub fn create(store: &dyn Store, entropy: &Entropy, plan: &NewRepository<'_>) -> Result<Unlocked> {
    for name in ["config", "config.copy"] {
        if store.len(name)?.is_some() {
            return Err(taken(store));
        }
    }
    let repository = plan.config.repository;
    let signing_secret = Secret32::random(entropy);
    let slot = NewSlot::seal(
        entropy,
        &SlotPlan {
            repository,
            credential: plan.credential,
            strength: plan.strength,
            label: plan.label,
            secrets: true,
            now_ns: plan.now_ns,
            ring: (0, signing_public(&signing_secret)),
        },
    )?;
    let (ring, secrets) = first_ring(entropy, plan, &slot, signing_secret);
    let signer = &ring.signing_secret;
    let none = ObjectHash([0; 32]);
    let ring_bytes = seal_bodies(entropy, repository, none, (&ring, &secrets), signer)?;
    let (head, config_plain, config) = seal_object(entropy, plan.config, &ring, &ring_bytes)?;

    slot.put(store)?;
    if let Err(error) = put_twice(store, "config", &config, limits::CONFIG_LEN_MAX) {
        if error.kind() != Kind::Conflict {
            return Err(error);
        }
        // Another init was first: our slot belongs to nobody.
        let _ = store.delete(&slot_name(&slot.id));
        return Err(taken(store));
    }
    let opened = Opened {
        head,
        config: plan.config.clone(),
        config_plain,
        config_hash: hash_of(&config),
        ring_hash: hash_of(&ring_bytes),
        ring,
        secrets: Some(secrets),
        slot: slot.id,
        slot_secret: slot.secret,
    };
    Ok(opened.unlocked())
}

fn taken(store: &dyn Store) -> Error {
    let location = store.location();
    Error::new(Kind::Conflict, format!("there is a repository in {location} already"))
}

fn first_ring(
    entropy: &Entropy,
    plan: &NewRepository<'_>,
    slot: &NewSlot,
    signing_secret: Secret32,
) -> (RingBody, RingSecrets) {
    let (author, name) = plan.author;
    let enrolled =
        EnrolledAuthor { host: author.host(), name: name.to_owned(), public: author.public() };
    let body = RingBody {
        number: 0,
        created_ns: plan.now_ns,
        epoch: 0,
        epochs: vec![draw_epoch(entropy, 0, &PURPOSES)],
        data_id_key: Secret32::random(entropy),
        metadata_id_key: Secret32::random(entropy),
        recipients: vec![slot.recipient.clone()],
        authors: vec![enrolled],
        signing_public: signing_public(&signing_secret),
        signing_secret,
        config: None,
    };
    let secrets = RingSecrets {
        number: 0,
        epochs: vec![draw_epoch(entropy, 0, &PURPOSES_S)],
        data_id_key: Secret32::random(entropy),
        metadata_id_key: Secret32::random(entropy),
    };
    (body, secrets)
}

/// The head, the body's plaintext, and the whole config object.
fn seal_object(
    entropy: &Entropy,
    body: &ConfigBody,
    ring: &RingBody,
    ring_bytes: &[u8],
) -> Result<(ConfigHead, SecretBytes, Vec<u8>)> {
    let ring_len = u32::try_from(ring_bytes.len())
        .map_err(|_| Error::new(Kind::Input, "ring 0 is too long"))?;
    let repository = body.repository;
    let head = ConfigHead { repository, ring_len, features: Features::default() };
    let head_bytes = format::config::encode_head(&head);
    let plain = format::config::encode(body)?;
    // What is written must be readable.
    format::config::decode(&plain)?;
    let key = control_key(ring)?;
    let sealed = seal_config(entropy, repository, key, &head_bytes, &plain)?;
    let object = [&head_bytes[..], ring_bytes, &sealed].concat();
    Ok((head, SecretBytes::new(plain.to_vec()), object))
}

/// The control key of epoch 0, which seals the config body.
pub(super) fn control_key(ring: &RingBody) -> Result<&Secret32> {
    ring.epochs
        .iter()
        .find(|epoch| epoch.number == 0)
        .and_then(|epoch| epoch.keys.get(&Purpose::Control))
        .ok_or_else(|| corrupt("the ring has no control key of epoch 0"))
}
