//! Changing who may open a repository: every change is a new ring.

use super::copies::{complete_copies, put_twice};
use super::create::{NewSlot, PURPOSES, PURPOSES_S, SlotPlan, draw_epoch, seal_bodies};
use super::{Opened, Unlocked, corrupt, hash_of, ring_name, slot_name};
use crate::crypto::ring::{check_ring_signature, open_ring};
use crate::crypto::{Author, Credential, KdfStrength, Secret32, signing_public};
use crate::error::{Error, Kind, Result};
use crate::format;
use crate::limits;
use crate::model::{EnrolledAuthor, Entropy, RingBody, RingSecrets, SlotId};
use crate::store::Store;

/// A credential to add, and what its slot is like.
#[derive(Debug, Clone, Copy)]
pub struct NewCredential<'a> {
    pub credential: &'a Credential,
    pub strength: KdfStrength,
    /// May be empty.
    pub label: &'a str,
    /// Whether it may read class S.
    pub secrets: bool,
}

/// Adds a slot.
///
/// # Errors
/// `Refused` if there are 64 slots or the one in use may not read class S; `Conflict` if another
/// change came first.
pub fn add(
    store: &dyn Store,
    entropy: &Entropy,
    now_ns: i64,
    current: &Unlocked,
    new: &NewCredential<'_>,
) -> Result<Unlocked> {
    if current.ring.recipients.len() >= limits::RING_RECIPIENT_COUNT_MAX {
        return Err(refused("there are 64 key slots already"));
    }
    let mut draft = Draft::new(current, now_ns)?;
    let slot = draft.new_slot(entropy, new)?;
    draft.body.recipients.push(slot.recipient.clone());
    draft.publish(store, entropy, Some(&slot), (current.slot, &current.slot_secret))
}

/// Removes a slot, draws a new epoch and a new signing pair, and then deletes the slot.
/// What the slot could read until now, its holder may have kept.
///
/// # Errors
/// `NotFound` if the ring does not list it; `Refused` for the slot in use, which includes the last.
pub fn remove(
    store: &dyn Store,
    entropy: &Entropy,
    now_ns: i64,
    current: &Unlocked,
    slot: &SlotId,
) -> Result<Unlocked> {
    if !current.ring.recipients.iter().any(|it| it.slot == *slot) {
        return Err(Error::new(Kind::NotFound, format!("there is no key slot {slot}")));
    }
    if current.ring.recipients.len() == 1 {
        return Err(refused("this is the last key slot: without it the data is lost"));
    }
    if *slot == current.slot {
        return Err(refused("this key slot is in use: open the repository with another one"));
    }
    let mut draft = Draft::new(current, now_ns)?;
    draft.rotate(entropy)?;
    draft.body.recipients.retain(|it| it.slot != *slot);
    let next = draft.publish(store, entropy, None, (current.slot, &current.slot_secret))?;
    delete_slot(store, slot)?;
    Ok(next)
}

/// Replaces the slot in use by one for a new credential, with a new epoch and signing pair.
///
/// # Errors
/// As [`add`].
pub fn passwd(
    store: &dyn Store,
    entropy: &Entropy,
    now_ns: i64,
    current: &Unlocked,
    new: &NewCredential<'_>,
) -> Result<Unlocked> {
    let mut draft = Draft::new(current, now_ns)?;
    draft.rotate(entropy)?;
    // Whoever makes rings must be able to carry class S on.
    let slot = draft.new_slot(entropy, &NewCredential { secrets: true, ..*new })?;
    for recipient in draft.body.recipients.iter_mut().filter(|it| it.slot == current.slot) {
        *recipient = slot.recipient.clone();
    }
    let next = draft.publish(store, entropy, Some(&slot), (slot.id, &slot.secret))?;
    delete_slot(store, &current.slot)?;
    Ok(next)
}

/// Draws a new epoch and a new signing pair for the same slots.
///
/// # Errors
/// `Refused` if the slot in use may not read class S; `Conflict` if another change came first.
pub fn rotate(
    store: &dyn Store,
    entropy: &Entropy,
    now_ns: i64,
    current: &Unlocked,
) -> Result<Unlocked> {
    let mut draft = Draft::new(current, now_ns)?;
    draft.rotate(entropy)?;
    draft.publish(store, entropy, None, (current.slot, &current.slot_secret))
}

/// Enrols an author, unless it is: none then.
///
/// # Errors
/// `Conflict` if the host id is enrolled with another key, or another change came first.
pub fn enrol(
    store: &dyn Store,
    entropy: &Entropy,
    now_ns: i64,
    current: &Unlocked,
    (author, name): (&Author, &str),
) -> Result<Option<Unlocked>> {
    if let Some(known) = current.ring.authors.iter().find(|it| it.host == author.host()) {
        if known.public == author.public() {
            return Ok(None);
        }
        let what = format!("host {} is enrolled with another key", author.host());
        return Err(Error::new(Kind::Conflict, what));
    }
    let mut draft = Draft::new(current, now_ns)?;
    let (host, public) = (author.host(), author.public());
    draft.body.authors.push(EnrolledAuthor { host, name: name.to_owned(), public });
    draft.publish(store, entropy, None, (current.slot, &current.slot_secret)).map(Some)
}

/// Deletes a slot that no ring lists any more.
fn delete_slot(store: &dyn Store, slot: &SlotId) -> Result<()> {
    let name = slot_name(slot);
    store
        .delete(&name)
        .map_err(|error| error.context(format!("{name} opens nothing now, but is still there")))
}

fn refused(what: &str) -> Error {
    Error::new(Kind::Refused, what)
}

/// The next ring, before it is sealed: only ever made from the one that was opened.
struct Draft<'a> {
    current: &'a Unlocked,
    body: RingBody,
    secrets: RingSecrets,
    now_ns: i64,
}

impl<'a> Draft<'a> {
    fn new(current: &'a Unlocked, now_ns: i64) -> Result<Self> {
        let secrets = current.secrets.clone().ok_or_else(|| {
            refused(
                "the key slot in use may not read secrets, so it cannot change the keys: open the \
                     repository with one that may (`coffer key list` tells which)",
            )
        })?;
        let number = current.ring.number.saturating_add(1);
        if u64::from(number) > limits::RING_COUNT_MAX {
            return Err(refused("the keys were changed too often"));
        }
        let body = RingBody {
            number,
            created_ns: now_ns,
            config: Some(current.config_plain.clone()),
            ..current.ring.clone()
        };
        Ok(Self { current, body, secrets: RingSecrets { number, ..secrets }, now_ns })
    }

    fn rotate(&mut self, entropy: &Entropy) -> Result<()> {
        if self.body.epochs.len() >= limits::EPOCH_COUNT_MAX {
            return Err(refused("the keys were rotated too often"));
        }
        let number = self.body.epoch.saturating_add(1);
        self.body.epoch = number;
        self.body.epochs.push(draw_epoch(entropy, number, &PURPOSES));
        self.secrets.epochs.push(draw_epoch(entropy, number, &PURPOSES_S));
        self.body.signing_secret = Secret32::random(entropy);
        self.body.signing_public = signing_public(&self.body.signing_secret);
        Ok(())
    }

    fn new_slot(&self, entropy: &Entropy, new: &NewCredential<'_>) -> Result<NewSlot> {
        NewSlot::seal(
            entropy,
            &SlotPlan {
                repository: self.current.head.repository,
                credential: new.credential,
                strength: new.strength,
                label: new.label,
                secrets: new.secrets,
                now_ns: self.now_ns,
                ring: (self.body.number, self.body.signing_public),
            },
        )
    }

    /// Stores the new slot, then the ring; both of its copies are read back before it is used.
    /// `identity` is a slot of the new ring with its secret key.
    fn publish(
        self,
        store: &dyn Store,
        entropy: &Entropy,
        slot: Option<&NewSlot>,
        identity: (SlotId, &Secret32),
    ) -> Result<Unlocked> {
        let repository = self.current.head.repository;
        let previous = self.current.keyring.ring().hash;
        let signer = &self.current.ring.signing_secret;
        let bodies = (&self.body, &self.secrets);
        let bytes = seal_bodies(entropy, repository, previous, bodies, signer)?;
        self.prove(&bytes, identity)?;

        complete_copies(store, self.current)?;
        if let Some(slot) = slot {
            slot.put(store)?;
        }
        let name = ring_name(self.body.number);
        if let Err(error) = put_twice(store, &name, &bytes, limits::RING_LEN_MAX) {
            if error.kind() != Kind::Conflict {
                return Err(error);
            }
            // Another change was first, and its ring does not list our slot.
            if let Some(slot) = slot {
                let _ = store.delete(&slot_name(&slot.id));
            }
            let what = "the keys were changed by another program at the same time; try again";
            return Err(Error::new(Kind::Conflict, what));
        }
        let opened = Opened {
            head: self.current.head,
            config: self.current.config.clone(),
            config_plain: self.current.config_plain.clone(),
            config_hash: self.current.config_hash,
            ring: self.body,
            ring_hash: hash_of(&bytes),
            secrets: Some(self.secrets),
            slot: identity.0,
            slot_secret: identity.1.clone(),
        };
        Ok(opened.unlocked())
    }

    /// Opens the sealed ring again, before anything is stored.
    fn prove(&self, bytes: &[u8], (slot, secret): (SlotId, &Secret32)) -> Result<()> {
        let fault = || corrupt("a new ring opens to other bytes: a memory or processor fault");
        check_ring_signature(bytes, &self.current.ring.signing_public)?;
        let home = (self.current.head.repository, self.body.number);
        let opened = open_ring(bytes, home, &slot, secret)?;
        let part1 = opened.part1.ok_or_else(fault)?;
        let same = format::ring::decode(&opened.part0)? == self.body
            && format::ring::decode_secrets(&part1)? == self.secrets;
        if same { Ok(()) } else { Err(fault()) }
    }
}
