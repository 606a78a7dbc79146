//! Which packs a run may rely on, and which it did rely on.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Repository, names::parse_pack_name};
use crate::error::Result;
use crate::fence::View;
use crate::index::Index;
use crate::model::{ObjectHash, PackId, PackNumber, Record, RecordBody};
use crate::observe::{Event, Observer};

/// Packs of the index that a run may rely on: in the store with their indexed length, not condemned,
/// not deleted, not recorded as bad.
#[derive(Debug)]
pub struct Usable(Vec<bool>);

/// Damage that a run takes into account.
#[derive(Debug, Default)]
pub struct Damage {
    /// Packs the index names and the store does not have.
    pub missing: Vec<PackId>,
    /// Bad-pack records.
    pub bad: Vec<ObjectHash>,
}

impl Usable {
    /// Compares the index with a listing of the packs, the generations and the bad-pack records.
    /// A damaged record is told to `observer` and passed over.
    ///
    /// # Errors
    /// Those of the store.
    pub fn new(
        repo: &Repository,
        index: &Index,
        view: &View,
        observer: &dyn Observer,
    ) -> Result<(Self, Damage)> {
        let mut usable = present(repo, index)?;
        let mut damage = Damage::default();
        let mut bad: HashSet<PackId> = HashSet::new();
        for (hash, record) in repo.records("bad-pack")? {
            match record {
                Ok(Record { body: RecordBody::BadPack { pack, .. }, .. }) => {
                    damage.bad.push(hash);
                    bad.insert(pack);
                }
                Ok(_) => {}
                Err(error) => {
                    observer.event(Event::Finding(&error.to_string()));
                }
            }
        }
        for (number, pack) in index.packs() {
            let Some(slot) = usable.get_mut(number.0 as usize) else { continue };
            let excluded = view.excludes(&pack.id);
            if !*slot && !excluded && !bad.contains(&pack.id) {
                damage.missing.push(pack.id);
            }
            *slot = *slot && !excluded && !bad.contains(&pack.id);
        }
        Ok((Self(usable), damage))
    }

    /// The same without the packs that `left_out` names.
    #[must_use]
    pub fn without(&self, left_out: &dyn Fn(PackNumber) -> bool) -> Self {
        let kept = (0_u32..).zip(&self.0).map(|(number, is)| *is && !left_out(PackNumber(number)));
        Self(kept.collect())
    }

    /// True if the pack may be relied on.
    #[must_use]
    pub fn contains(&self, pack: PackNumber) -> bool {
        self.0.get(pack.0 as usize).copied().unwrap_or(false)
    }
}

/// Packs that look-ups of this run resolved to.
#[derive(Debug)]
pub struct Relied(Vec<AtomicBool>);

impl Relied {
    /// Nothing relied on yet.
    #[must_use]
    pub fn new(index: &Index) -> Self {
        Self((0..index.pack_number_end()).map(|_| AtomicBool::new(false)).collect())
    }

    /// Notes that a look-up resolved to `pack`.
    pub fn mark(&self, pack: PackNumber) {
        if let Some(slot) = self.0.get(pack.0 as usize) {
            slot.store(true, Ordering::Relaxed);
        }
    }

    /// Lists the packs once more and gives those relied on that are gone or have another length.
    ///
    /// # Errors
    /// Those of the store.
    pub fn lost(&self, repo: &Repository, index: &Index) -> Result<Vec<PackId>> {
        if !self.0.iter().any(|slot| slot.load(Ordering::Relaxed)) {
            return Ok(Vec::new());
        }
        let present = present(repo, index)?;
        let relied = |number: PackNumber| {
            self.0.get(number.0 as usize).is_some_and(|slot| slot.load(Ordering::Relaxed))
        };
        let gone = |number: PackNumber| !present.get(number.0 as usize).copied().unwrap_or(false);
        let lost = index.packs().filter(|(number, _)| relied(*number) && gone(*number));
        Ok(lost.map(|(_, pack)| pack.id).collect())
    }
}

/// For each pack of the index, whether the store has it with its indexed length.
fn present(repo: &Repository, index: &Index) -> Result<Vec<bool>> {
    let mut present = vec![false; index.pack_number_end()];
    repo.store.list("packs/", &mut |name, len| {
        if let Some(number) = parse_pack_name(name).and_then(|id| index.find_pack(&id))
            && index.pack(number).pack_len == len
            && let Some(slot) = present.get_mut(number.0 as usize)
        {
            *slot = true;
        }
        Ok(())
    })?;
    Ok(present)
}
