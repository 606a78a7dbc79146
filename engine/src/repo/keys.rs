//! Credentials to keys: making a repository, opening it, and changing who may.

mod change;
mod copies;
mod create;
#[cfg(test)]
mod tests;
mod unlock;

pub use change::{NewCredential, add, enrol, passwd, remove, rotate};
pub use copies::complete_copies;
pub use create::{NewRepository, create, default_config};
pub use unlock::unlock;

use std::collections::BTreeSet;

use crate::crypto::{Keyring, KeyringParts};
use crate::error::{Error, Kind, Result};
use crate::model::{
    ConfigBody, ConfigHead, HashedNumber, ObjectHash, Recipient, RingBody, RingSecrets, Secret32,
    SecretBytes, SlotId,
};
use crate::store::Store;

/// An opened repository: what one credential gave.
#[derive(Debug)]
pub struct Unlocked {
    /// The keys, ready for use. `keyring.ring()` is the ring's number and hash.
    pub keyring: Keyring,
    /// The clear head; its feature bits are authentic, those needed to read are known.
    pub head: ConfigHead,
    pub config: ConfigBody,
    /// Part 0 of the highest ring.
    pub ring: RingBody,
    /// The slot that was opened.
    pub slot: SlotId,
    secrets: Option<RingSecrets>,
    slot_secret: Secret32,
    /// The config body as it was sealed, and the hash of the config object.
    config_plain: SecretBytes,
    config_hash: ObjectHash,
}

/// The parts of an [`Unlocked`] that its keyring is made of.
struct Opened {
    head: ConfigHead,
    config: ConfigBody,
    config_plain: SecretBytes,
    config_hash: ObjectHash,
    ring: RingBody,
    ring_hash: ObjectHash,
    secrets: Option<RingSecrets>,
    slot: SlotId,
    slot_secret: Secret32,
}

impl Opened {
    fn unlocked(self) -> Unlocked {
        let keyring = Keyring::new(&KeyringParts {
            repository: self.head.repository,
            ring: HashedNumber { number: self.ring.number.into(), hash: self.ring_hash },
            body: &self.ring,
            secrets: self.secrets.as_ref(),
            chunker_secret: &self.config.chunker_secret,
        });
        Unlocked {
            keyring,
            head: self.head,
            config: self.config,
            ring: self.ring,
            slot: self.slot,
            secrets: self.secrets,
            slot_secret: self.slot_secret,
            config_plain: self.config_plain,
            config_hash: self.config_hash,
        }
    }
}

/// What [`list`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyList {
    /// The slots of the ring, in its order.
    pub slots: Vec<ListedSlot>,
    /// Slot objects that the ring does not list: remains of an interrupted change, or foreign.
    pub strays: Vec<SlotId>,
}

/// A slot of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSlot {
    pub recipient: Recipient,
    /// Whether the repository was opened with it.
    pub in_use: bool,
    /// Whether its object is in the store.
    pub present: bool,
}

/// Lists the slots by the ring, and tells where the store differs.
///
/// # Errors
/// If the store cannot be listed.
pub fn list(store: &dyn Store, unlocked: &Unlocked) -> Result<KeyList> {
    let mut present = BTreeSet::new();
    store.list("keys/", &mut |name, _| {
        let slot = name.strip_prefix("keys/").and_then(|slot| slot.parse::<SlotId>().ok());
        present.extend(slot);
        Ok(())
    })?;
    let listed = |recipient: &Recipient| ListedSlot {
        recipient: recipient.clone(),
        in_use: recipient.slot == unlocked.slot,
        present: present.remove(&recipient.slot),
    };
    let slots = unlocked.ring.recipients.iter().map(listed).collect();
    Ok(KeyList { slots, strays: present.into_iter().collect() })
}

/// True if the store has a ring after the one that was opened.
///
/// # Errors
/// Those of the store.
pub fn is_superseded(store: &dyn Store, unlocked: &Unlocked) -> Result<bool> {
    let Some(next) = unlocked.ring.number.checked_add(1) else { return Ok(false) };
    Ok(store.len(&ring_name(next))?.is_some())
}

pub(super) fn slot_name(slot: &SlotId) -> String {
    format!("keys/{slot}")
}

fn ring_name(number: u32) -> String {
    format!("rings/{number}")
}

fn hash_of(bytes: &[u8]) -> ObjectHash {
    ObjectHash(crate::crypto::object_hash(bytes))
}

fn corrupt(what: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, what)
}
