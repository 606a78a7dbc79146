//! Putting what the fence decides: forgets, generations, closes and fates.

use super::{Repository, records};
use crate::crypto::{Place, object_hash};
use crate::error::{Error, Kind, Result};
use crate::fence::Closing;
use crate::format;
use crate::limits;
use crate::model::{
    Close, Fate, FateKind, Features, Forget, ForgottenObject, Generation, HashedNumber, ObjectHash,
    ObjectKind, PackId, SnapshotId,
};
use crate::store::Creation;

impl Repository {
    /// Puts a forget of `objects` of a snapshot, or with `undo` takes the one before it back.
    ///
    /// # Errors
    /// `Conflict` if there is one of this number by another; those of the store.
    pub fn put_forget(
        &self,
        (sid, k): (SnapshotId, u64),
        undo: bool,
        objects: Vec<ForgottenObject>,
    ) -> Result<()> {
        let forget = Forget {
            sid,
            k,
            undo,
            objects,
            author: self.author.host(),
            created_ns: self.clock.now_ns(),
            ring: self.ring(),
        };
        let cbor = format::forget::encode(&forget)?;
        let name = forget_name(&sid, k);
        let place = Place::forget(&sid, k);
        let bytes = self.seal_control(ObjectKind::Forget, &place, &cbor, &name)?;
        records::put_new(self, &name, &bytes)
    }

    /// Puts the generation after `head`; none if another was first.
    ///
    /// # Errors
    /// Those of the store: it is there or not then, as after a lost reply.
    pub fn put_generation(
        &self,
        head: HashedNumber,
        condemned: Vec<PackId>,
    ) -> Result<Option<HashedNumber>> {
        let number = head.number.saturating_add(1);
        let generation = Generation {
            number,
            previous: head.hash,
            condemned,
            features: Features::default(),
            author: self.author.host(),
            created_ns: self.clock.now_ns(),
            ring: self.ring(),
        };
        let cbor = format::generation::encode(&generation)?;
        let name = format!("gen/{number}");
        let place = Place::number(number);
        let bytes = self.seal_control(ObjectKind::Generation, &place, &cbor, &name)?;
        let hash = ObjectHash(object_hash(&bytes));
        let is_ours = self.put_first(&name, &bytes)? == bytes;
        Ok(is_ours.then_some(HashedNumber { number, hash }))
    }

    /// Puts a close and its second copy, unless another was first: then the copy of that.
    ///
    /// # Errors
    /// `Corrupt` if the second copy is another; those of the store.
    pub fn put_close(&self, close: &Close) -> Result<()> {
        let cbor = format::generation::encode_close(close)?;
        let name = format!("gen/{}.close", close.number);
        let place = Place::number(close.number);
        let bytes = self.seal_control(ObjectKind::Close, &place, &cbor, &name)?;
        let first = self.put_first(&name, &bytes)?;
        if first == bytes {
            return self.put_copy(&name, &bytes);
        }
        self.complete_close(close.number)
    }

    /// Completes the second copy of the close of a generation, which a crash may have left out, if the first is intact.
    ///
    /// # Errors
    /// Those of the store.
    pub fn complete_close(&self, number: u64) -> Result<()> {
        let name = format!("gen/{number}.close");
        if self.store.len(&format!("{name}.copy"))?.is_some() {
            return Ok(());
        }
        let bytes = self.store.get(&name, limits::GENERATION_LEN_MAX)?;
        match self.keyring().open_signed(ObjectKind::Close, &Place::number(number), &bytes) {
            Ok(_) => self.put_copy(&name, &bytes),
            // Only this one is left, and it is for `check` to tell.
            Err(_) => Ok(()),
        }
    }

    fn put_copy(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let copy = format!("{name}.copy");
        if self.put_first(&copy, bytes)? == bytes {
            return Ok(());
        }
        Err(Error::new(Kind::Corrupt, format!("{copy} differs from {name}")))
    }

    /// Says what becomes of a closed generation, unless that is said already; gives what holds.
    ///
    /// # Errors
    /// `Corrupt` for a damaged fate, and those of the store.
    pub fn put_fate(&self, number: u64, close: ObjectHash, fate: FateKind) -> Result<FateKind> {
        let made = Fate {
            number,
            close,
            fate,
            author: self.author.host(),
            created_ns: self.clock.now_ns(),
            ring: self.ring(),
        };
        let cbor = format::generation::encode_fate(&made)?;
        let name = format!("gen/{number}.fate");
        let place = Place::number(number);
        let bytes = self.seal_control(ObjectKind::Fate, &place, &cbor, &name)?;
        if self.put_first(&name, &bytes)? == bytes {
            return Ok(fate);
        }
        let known = self.load_fate(number)?.filter(|known| known.close == close);
        let wrong = || Error::new(Kind::Corrupt, format!("{name}: is of another close"));
        known.map(|known| known.fate).ok_or_else(wrong)
    }

    /// What every close by this host says besides what it settles.
    #[must_use]
    pub fn closing(&self, generation: HashedNumber, previous: ObjectHash) -> Closing {
        Closing {
            generation,
            previous,
            author: self.author.host(),
            created_ns: self.clock.now_ns(),
            ring: self.ring(),
        }
    }

    /// Seals a signed body, and opens it again before it is stored.
    fn seal_control(
        &self,
        kind: ObjectKind,
        place: &Place,
        cbor: &[u8],
        name: &str,
    ) -> Result<Vec<u8>> {
        let keyring = self.keyring();
        let bytes = keyring.seal_signed(&self.entropy, &self.author, kind, place, cbor)?;
        let len_max = match kind {
            ObjectKind::Generation | ObjectKind::Close => limits::GENERATION_LEN_MAX,
            _ => limits::CONTROL_LEN_MAX,
        };
        if bytes.len() as u64 > len_max {
            let what = format!("{name} has {} bytes, more than {len_max}", bytes.len());
            return Err(Error::new(Kind::Input, what));
        }
        if keyring.open_signed(kind, place, &bytes)?.cbor != cbor {
            return Err(records::memory_fault(name));
        }
        Ok(bytes)
    }

    /// Creates an object if its name is free; gives the bytes that stand there.
    fn put_first(&self, name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
        match self.store.create(name, bytes).map_err(|error| error.context(name))? {
            Creation::Created => Ok(bytes.to_vec()),
            Creation::Exists => {
                let stored = self.store.get(name, limits::GENERATION_LEN_MAX);
                stored.map_err(|error| error.context(name))
            }
        }
    }
}

/// The name of a forget in the store.
#[must_use]
pub fn forget_name(sid: &SnapshotId, k: u64) -> String {
    format!("forgets/{sid}.{k}")
}
