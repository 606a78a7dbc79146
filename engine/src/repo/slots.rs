//! Who may open the repository.

use super::{Repository, keys};
use crate::crypto::slot::SlotHeader;
use crate::crypto::{Credential, KdfStrength};
use crate::error::{Error, Kind, Result};
use crate::model::{SlotId, SlotKind};

/// Bytes of a slot: every body that fits is padded to this (page 2 of the format).
const SLOT_LEN: usize = 4096;

/// A key slot, as a user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    pub slot: SlotId,
    pub kind: SlotKind,
    pub label: String,
    /// Nanoseconds since 1970-01-01T00:00:00 UTC.
    pub created_ns: i64,
    /// The repository was opened with it.
    pub current: bool,
    /// It may read secrets.
    pub secrets: bool,
    /// Its object is in the store; without it the key opens nothing.
    pub present: bool,
}

impl Repository {
    /// The slots of the ring, in its order.
    ///
    /// # Errors
    /// Those of the store.
    pub fn keys(&self) -> Result<Vec<KeyInfo>> {
        let listed = keys::list(self.store.as_ref(), &self.unlocked)?;
        let info = |slot: keys::ListedSlot| KeyInfo {
            slot: slot.recipient.slot,
            kind: slot.recipient.kind,
            label: slot.recipient.label,
            created_ns: slot.recipient.created_ns,
            current: slot.in_use,
            secrets: slot.recipient.secrets,
            present: slot.present,
        };
        Ok(listed.slots.into_iter().map(info).collect())
    }

    /// Slot objects that the ring does not list: remains of an interrupted change, or foreign.
    ///
    /// # Errors
    /// Those of the store.
    pub fn stray_slots(&self) -> Result<Vec<SlotId>> {
        Ok(keys::list(self.store.as_ref(), &self.unlocked)?.strays)
    }

    /// Proves what can be proven of a slot without its credential: that it is there, whole, and of this
    /// repository.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, and those of the store.
    pub fn check_slot(&self, slot: &SlotId) -> Result<()> {
        let bytes = self.store.get(&keys::slot_name(slot), crate::limits::SLOT_LEN_MAX)?;
        let header = SlotHeader::decode(&bytes)?;
        let what = if (header.slot, header.repository) != (*slot, self.id()) {
            "it is the slot of another name or repository"
        } else if bytes.len() != SLOT_LEN {
            "it was cut off or has grown"
        } else {
            return Ok(());
        };
        Err(Error::new(Kind::Corrupt, what))
    }

    /// Adds a slot. One without secrets may store and read all else, and change no keys.
    ///
    /// # Errors
    /// `Refused` when there are 64 slots or the one in use may not read secrets, `Conflict` when another
    /// change came first.
    pub fn add_key(&mut self, new: &keys::NewCredential<'_>) -> Result<KeyInfo> {
        let now_ns = self.clock.now_ns();
        let next = keys::add(self.store.as_ref(), &self.entropy, now_ns, &self.unlocked, new)?;
        self.take_ring(next)?;
        let added = self.keys()?.pop();
        added.ok_or_else(|| Error::new(Kind::Corrupt, "the new ring lists no slot"))
    }

    /// Removes a slot. What it could read, its holder may have kept.
    ///
    /// # Errors
    /// `NotFound` for an unknown slot; `Refused` for the one in use, which includes the last.
    pub fn remove_key(&mut self, slot: &SlotId) -> Result<()> {
        let now_ns = self.clock.now_ns();
        let next = keys::remove(self.store.as_ref(), &self.entropy, now_ns, &self.unlocked, slot)?;
        self.take_ring(next)
    }

    /// Replaces the slot in use by one for `credential`, with its label.
    ///
    /// # Errors
    /// `Conflict` when another change came first, and those of the store.
    pub fn replace_key(
        &mut self,
        credential: &Credential,
        strength: KdfStrength,
    ) -> Result<KeyInfo> {
        let current = self.unlocked.slot;
        let recipients = &self.unlocked.ring.recipients;
        let label = recipients.iter().find(|recipient| recipient.slot == current);
        let label = label.map(|recipient| recipient.label.clone()).unwrap_or_default();
        let new = keys::NewCredential { credential, strength, label: &label, secrets: true };
        let now_ns = self.clock.now_ns();
        let next = keys::passwd(self.store.as_ref(), &self.entropy, now_ns, &self.unlocked, &new)?;
        self.take_ring(next)?;
        let replaced = self.keys()?.into_iter().find(|key| key.current);
        replaced.ok_or_else(|| Error::new(Kind::Corrupt, "the new ring does not list its slot"))
    }

    fn take_ring(&mut self, next: keys::Unlocked) -> Result<()> {
        self.unlocked = next;
        self.remember_ring()
    }
}
