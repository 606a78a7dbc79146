//! Opening a repository: credential → slot → chain of rings → config body → keyring.

use super::copies::with_either;
use super::create::control_key;
use super::{Opened, Unlocked, corrupt, hash_of, ring_name, slot_name};
use crate::crypto::config::open_config;
use crate::crypto::ring::{check_ring_signature, decode_ring_head, open_ring, slot_public};
use crate::crypto::slot::{SlotHeader, open_slot};
use crate::crypto::{Credential, CryptoError, signing_public};
use crate::error::{Error, Kind, Result};
use crate::format::{self, config::ConfigParts};
use crate::limits;
use crate::model::{
    ConfigBody, HashedNumber, ObjectHash, RepositoryId, RingBody, RingSecrets, SecretBytes,
    SlotBody, SlotId,
};
use crate::store::Store;

/// Opens the repository in `store` with the first of `credentials` that fits a slot.
///
/// `memory` is the ring this host saw last, if it did.
///
/// # Errors
/// `NotFound` if there is no repository; `WrongKey` if no slot opens; `RolledBack` if the rings
/// are older than, or another branch of, `memory`; `Corrupt` for damage, named.
pub fn unlock(
    store: &dyn Store,
    credentials: &[Credential],
    memory: Option<HashedNumber>,
) -> Result<Unlocked> {
    let opened = with_either(store, "config", limits::CONFIG_LEN_MAX, |bytes| {
        Attempt::new(store, &bytes, memory)?.run(credentials, hash_of(&bytes))
    });
    match opened {
        Err(error) if error.kind() == Kind::NotFound && is_absent(store)? => {
            let location = store.location();
            Err(Error::new(Kind::NotFound, format!("there is no repository in {location}")))
        }
        other => other.map(Opened::unlocked),
    }
}

fn is_absent(store: &dyn Store) -> Result<bool> {
    Ok(store.len("config")?.is_none() && store.len("config.copy")?.is_none())
}

/// One try with one copy of the config.
struct Attempt<'a> {
    store: &'a dyn Store,
    config: ConfigParts<'a>,
    memory: Option<HashedNumber>,
    /// Number of the highest ring.
    highest: u32,
}

/// A ring that was opened and checked against the one before it.
struct Link {
    hash: ObjectHash,
    previous: ObjectHash,
    body: RingBody,
    secrets: Option<RingSecrets>,
}

/// A slot that was opened.
struct OpenedSlot {
    id: SlotId,
    body: SlotBody,
}

/// What trying slots came to so far.
#[derive(Default)]
struct Tries {
    /// For each credential: KiB of memory times passes that may still be spent.
    budgets: Vec<u64>,
    /// The first slot's that could not be tried.
    problem: Option<Error>,
    /// Whether a slot told that it is another credential's.
    refused: bool,
}

impl<'a> Attempt<'a> {
    fn new(store: &'a dyn Store, config: &'a [u8], memory: Option<HashedNumber>) -> Result<Self> {
        let config = format::config::split_object(config)
            .map_err(|error| Error::from(error).context("config"))?;
        let unknown = config.head.features.read;
        if unknown != 0 {
            let bit = unknown.trailing_zeros();
            let what = format!("the repository needs feature {bit} to be read, unknown here");
            return Err(Error::new(Kind::Unsupported, what));
        }
        let highest = highest_ring(store)?;
        if let Some(seen) = memory.filter(|seen| seen.number > highest.into()) {
            return Err(rolled_back(format!(
                "its highest ring is {highest}, and this host saw ring {}",
                seen.number
            )));
        }
        Ok(Self { store, config, memory, highest })
    }

    fn repository(&self) -> RepositoryId {
        self.config.head.repository
    }

    fn run(&self, credentials: &[Credential], config_hash: ObjectHash) -> Result<Opened> {
        let slot = self.open_slot(credentials)?;
        let link = self.follow(&slot)?;
        let (config, config_plain) = self.open_body(&link.body)?;
        Ok(Opened {
            head: self.config.head,
            config,
            config_plain,
            config_hash,
            ring: link.body,
            ring_hash: link.hash,
            secrets: link.secrets,
            slot: slot.id,
            slot_secret: slot.body.x25519,
        })
    }

    /// Gives the bytes of a ring to `use_it`, or of its copy if that finds fault.
    fn with_ring<T>(&self, number: u32, mut use_it: impl FnMut(&[u8]) -> Result<T>) -> Result<T> {
        if number == 0 {
            return use_it(self.config.ring).map_err(|error| error.context("ring 0"));
        }
        let name = ring_name(number);
        with_either(self.store, &name, limits::RING_LEN_MAX, |bytes| use_it(&bytes)).map_err(
            |error| match error.kind() {
                // The chain has no gaps: a missing ring is damage.
                Kind::NotFound => corrupt(error.to_string()),
                _ => error.context(&name),
            },
        )
    }

    /// Tries the credentials on the slots that the highest ring lists, in its order.
    fn open_slot(&self, credentials: &[Credential]) -> Result<OpenedSlot> {
        self.with_ring(self.highest, |bytes| {
            self.try_slots(decode_ring_head(bytes)?.slots, credentials)
        })
    }

    fn try_slots(&self, table: Vec<SlotId>, credentials: &[Credential]) -> Result<OpenedSlot> {
        let mut tries = Tries {
            budgets: vec![limits::ARGON2_KIB_PASSES_MAX; credentials.len()],
            ..Tries::default()
        };
        for id in table.into_iter().take(limits::SLOT_COUNT_MAX) {
            let (header, bytes) = match self.load_slot(&id) {
                Ok(slot) => slot,
                Err(error) => {
                    tries.problem.get_or_insert(error);
                    continue;
                }
            };
            for (credential, budget) in credentials.iter().zip(&mut tries.budgets) {
                if header.kind != credential.kind() {
                    continue;
                }
                let Some(left) = budget.checked_sub(header.cost()) else {
                    let what = "the slots ask for more key derivation than the limit";
                    tries.problem.get_or_insert_with(|| corrupt(what));
                    continue;
                };
                *budget = left;
                match open_slot(&bytes, (self.repository(), id), credential) {
                    Ok(body) => return Ok(OpenedSlot { id, body: format::slot::decode(&body)? }),
                    Err(CryptoError::WrongCredential) => tries.refused = true,
                    Err(error) => {
                        let error = Error::from(error).context(slot_name(&id));
                        tries.problem.get_or_insert(error);
                    }
                }
            }
        }
        Err(self.locked(tries.problem, tries.refused))
    }

    fn locked(&self, problem: Option<Error>, refused: bool) -> Error {
        let location = self.store.location();
        let what = format!("no key slot of {location} opens with the given credential");
        match problem {
            None => Error::new(Kind::WrongKey, what),
            Some(problem) if refused => Error::new(Kind::WrongKey, format!("{what} ({problem})")),
            Some(problem) => problem.context(what),
        }
    }

    fn load_slot(&self, id: &SlotId) -> Result<(SlotHeader, Vec<u8>)> {
        let name = slot_name(id);
        let bytes = self.store.get(&name, limits::SLOT_LEN_MAX).map_err(|error| {
            match error.kind() {
                // The ring lists it: that it is gone is damage.
                Kind::NotFound => corrupt(error.to_string()),
                _ => error,
            }
        })?;
        let header =
            SlotHeader::decode(&bytes).map_err(|error| Error::from(error).context(name))?;
        Ok((header, bytes))
    }

    /// Verifies the rings from the one the slot was made for up to the highest.
    fn follow(&self, slot: &OpenedSlot) -> Result<Link> {
        let start = slot.body.ring;
        if start > self.highest {
            return Err(rolled_back(format!(
                "its highest ring is {}, and the slot was made for ring {start}",
                self.highest
            )));
        }
        let mut link = self.with_ring(start, |bytes| self.first_link(slot, bytes))?;
        self.look_back(start, &link)?;
        for number in start.saturating_add(1)..=self.highest {
            link = self.with_ring(number, |bytes| self.next_link(slot, number, &link, bytes))?;
            self.recall(number, &link)?;
        }
        Ok(link)
    }

    fn first_link(&self, slot: &OpenedSlot, bytes: &[u8]) -> Result<Link> {
        if slot.body.ring == 0 {
            check_ring_signature(bytes, &slot.body.ring_public)?;
        }
        let link = self.open_link(slot, slot.body.ring, bytes)?;
        if link.body.signing_public != slot.body.ring_public {
            return Err(corrupt("the ring's signing key is not the one the slot was made for"));
        }
        Ok(link)
    }

    fn next_link(
        &self,
        slot: &OpenedSlot,
        number: u32,
        before: &Link,
        bytes: &[u8],
    ) -> Result<Link> {
        check_ring_signature(bytes, &before.body.signing_public)?;
        let link = self.open_link(slot, number, bytes)?;
        if link.previous != before.hash {
            return Err(corrupt("the ring does not follow the one before it"));
        }
        let ids = |body: &RingBody| (body.data_id_key.clone(), body.metadata_id_key.clone());
        if ids(&link.body) != ids(&before.body) {
            return Err(corrupt("the ring has other id keys than the one before it"));
        }
        Ok(link)
    }

    /// Opens one ring and checks what its parts say of themselves.
    fn open_link(&self, slot: &OpenedSlot, number: u32, bytes: &[u8]) -> Result<Link> {
        let secret = &slot.body.x25519;
        let opened = open_ring(bytes, (self.repository(), number), &slot.id, secret)?;
        let body = format::ring::decode(&opened.part0)?;
        let secrets = opened.part1.map(|part| format::ring::decode_secrets(&part)).transpose()?;
        check_body(slot, number, &body)?;
        if !body.recipients.iter().map(|it| it.slot).eq(opened.head.slots) {
            return Err(corrupt("the ring's two tables of slots differ"));
        }
        if let Some(secrets) = &secrets {
            let numbers = |epochs: &[crate::model::Epoch]| -> Vec<u32> {
                epochs.iter().map(|epoch| epoch.number).collect()
            };
            if secrets.number != number || numbers(&secrets.epochs) != numbers(&body.epochs) {
                return Err(corrupt("the ring's two parts differ"));
            }
        }
        Ok(Link { hash: hash_of(bytes), previous: opened.head.previous, body, secrets })
    }

    /// Compares a ring of the chain with the one this host saw.
    fn recall(&self, number: u32, link: &Link) -> Result<()> {
        self.recall_hash(number, link.hash)
    }

    fn recall_hash(&self, number: u32, hash: ObjectHash) -> Result<()> {
        match self.memory {
            Some(seen) if seen.number == number.into() && seen.hash != hash => {
                Err(rolled_back(format!("its ring {number} is not the one this host saw")))
            }
            _ => Ok(()),
        }
    }

    /// Follows hashes back from the slot's first ring to one this host saw before that.
    fn look_back(&self, start: u32, link: &Link) -> Result<()> {
        self.recall(start, link)?;
        let Some(seen) = self.memory else { return Ok(()) };
        let mut hash = link.previous;
        for number in (0..start).rev() {
            if seen.number > number.into() {
                break;
            }
            self.recall_hash(number, hash)?;
            if seen.number == number.into() {
                break;
            }
            hash = self.with_ring(number, |bytes| {
                if hash_of(bytes) != hash {
                    return Err(corrupt("the ring is not the one that the next names"));
                }
                Ok(decode_ring_head(bytes)?.previous)
            })?;
        }
        Ok(())
    }

    /// Opens the config body, which proves the head, and compares it with the ring's.
    fn open_body(&self, ring: &RingBody) -> Result<(ConfigBody, SecretBytes)> {
        let parts = &self.config;
        let (key, repository) = (control_key(ring)?, self.repository());
        let plain = open_config(repository, key, parts.head_bytes, parts.sealed_body)
            .map_err(|error| Error::from(error).context("config: its body"))?;
        let plain = SecretBytes::new(plain);
        if ring.number > 0 && ring.config.as_ref() != Some(&plain) {
            return Err(corrupt("the config and the ring's copy of its body differ"));
        }
        let body = format::config::decode(plain.as_bytes())?;
        if body.repository != repository {
            return Err(corrupt("the config's head and body name two repositories"));
        }
        Ok((body, plain))
    }
}

fn check_body(slot: &OpenedSlot, number: u32, body: &RingBody) -> Result<()> {
    if body.number != number {
        return Err(corrupt("the ring's parts are of another ring"));
    }
    if body.signing_public != signing_public(&body.signing_secret) {
        return Err(corrupt("the ring's signing keys are no pair"));
    }
    let public = slot_public(&slot.body.x25519)?;
    if !body.recipients.iter().any(|it| it.slot == slot.id && it.public == public) {
        return Err(corrupt("the ring lists the opened slot with another public key"));
    }
    Ok(())
}

fn rolled_back(what: String) -> Error {
    Error::new(Kind::RolledBack, format!("the repository was rolled back or replaced: {what}"))
}

/// The number of the highest ring; 0 stands in the config.
fn highest_ring(store: &dyn Store) -> Result<u32> {
    let mut highest = 0;
    store.list("rings/", &mut |name, _| {
        highest = highest.max(ring_number(name).unwrap_or(0));
        Ok(())
    })?;
    if u64::from(highest) > limits::RING_COUNT_MAX {
        let count_max = limits::RING_COUNT_MAX;
        return Err(corrupt(format!("rings/{highest} is above the limit of {count_max} rings")));
    }
    Ok(highest)
}

fn ring_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("rings/")?;
    let digits = digits.strip_suffix(".copy").unwrap_or(digits);
    let number: u32 = digits.parse().ok()?;
    // One spelling: no signs, no leading zeros.
    (number > 0 && number.to_string() == digits).then_some(number)
}
