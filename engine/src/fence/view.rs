//! What the generations say, as one reader or writer saw them at one moment.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Forgotten;
use crate::error::{Error, Kind, Result};
use crate::model::{Close, Features, Generation, HashedNumber, PackId, SnapshotId, SnapshotRef};

/// The generations at one moment.
#[derive(Debug, Default)]
pub struct View {
    closed: u64,
    open: Option<u64>,
    head: Option<HashedNumber>,
    valid: BTreeSet<SnapshotRef>,
    deleted: HashSet<PackId>,
    condemned: HashSet<PackId>,
    features: Features,
}

/// What a backup does after its last look.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// The snapshot stays listed: it may be acknowledged.
    Acknowledge,
    /// A prune has begun since: look every reference up again and put the snapshot once more.
    Again,
}

impl View {
    /// Folds closes into the state of the highest closed generation.
    ///
    /// `closes` ascend without gaps from generation 1 or from a full close; `open` is the generation
    /// after the last close, if it exists. `head` is the highest generation object.
    ///
    /// # Errors
    /// `Corrupt` when the closes have gaps or do not begin with generation 1 or a full close.
    pub fn fold(
        closes: &[Close],
        open: Option<&Generation>,
        head: Option<HashedNumber>,
        features: Features,
    ) -> Result<Self> {
        let mut view = Self { head, features, ..Self::default() };
        for close in closes {
            let begins = view.closed == 0 && (close.number == 1 || close.full);
            if !begins && view.closed.checked_add(1) != Some(close.number) {
                let what = format!("gen/{}.close: the close before it is missing", close.number);
                return Err(Error::new(Kind::Corrupt, what));
            }
            if close.full {
                view.valid.clear();
                view.deleted.clear();
            }
            close.valid_drop.iter().for_each(|object| {
                view.valid.remove(object);
            });
            view.valid.extend(close.valid_add.iter().copied());
            close.deleted_drop.iter().for_each(|pack| {
                view.deleted.remove(pack);
            });
            view.deleted.extend(close.deleted_add.iter().copied());
            view.closed = close.number;
        }
        if let Some(generation) = open {
            if view.closed.checked_add(1) != Some(generation.number) {
                let what =
                    format!("gen/{}: the generation before it is not closed", generation.number);
                return Err(Error::new(Kind::Corrupt, what));
            }
            view.open = Some(generation.number);
            view.condemned = generation.condemned.iter().copied().collect();
        }
        Ok(view)
    }

    /// The highest generation: where a new snapshot is put.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.open.unwrap_or(self.closed)
    }

    /// The highest generation object, for the head that snapshots carry.
    #[must_use]
    pub fn head(&self) -> HashedNumber {
        self.head.unwrap_or(HashedNumber::NONE)
    }

    /// The highest closed generation; 0 before the first.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.closed
    }

    /// The generation that is made and not closed, if there is one.
    #[must_use]
    pub fn open(&self) -> Option<u64> {
        self.open
    }

    /// What the highest close says is valid; later objects are not in it.
    #[must_use]
    pub fn settled_valid(&self) -> &BTreeSet<SnapshotRef> {
        &self.valid
    }

    /// The packs that were given up, and that anything may still name.
    #[must_use]
    pub fn deleted(&self) -> &HashSet<PackId> {
        &self.deleted
    }

    /// The packs that the open generation condemns.
    #[must_use]
    pub fn condemned(&self) -> &HashSet<PackId> {
        &self.condemned
    }

    /// What the highest close settled, with `deleted` for the deleted packs: what is known when the next
    /// generation is closed.
    #[must_use]
    pub fn with_deleted(&self, deleted: HashSet<PackId>) -> Self {
        Self {
            closed: self.closed,
            open: None,
            head: self.head,
            valid: self.valid.clone(),
            deleted,
            condemned: HashSet::new(),
            features: self.features,
        }
    }

    /// True if a writer must not rely on `pack`: condemned or deleted.
    #[must_use]
    pub fn excludes(&self, pack: &PackId) -> bool {
        self.deleted.contains(pack) || self.condemned.contains(pack)
    }

    /// True if `pack` was given up by a close: nothing may need it any more.
    #[must_use]
    pub fn is_deleted(&self, pack: &PackId) -> bool {
        self.deleted.contains(pack)
    }

    /// Refuses writing when a generation carries a feature bit that a writer must know: this program
    /// knows none.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn refuse_writing(&self) -> Result<()> {
        refuse("write", self.features.write)
    }

    /// Refuses pruning as [`View::refuse_writing`] does writing.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn refuse_pruning(&self) -> Result<()> {
        self.refuse_writing()?;
        refuse("prune", self.features.prune)
    }

    /// The generations whose `snapshots/<g>/` a reader lists.
    pub fn folders(&self) -> impl Iterator<Item = u64> {
        [Some(self.closed), self.open].into_iter().flatten()
    }

    /// The valid snapshot objects, given those listed in [`View::folders`]; several of one run included.
    #[must_use]
    pub fn valid(&self, listed: &[SnapshotRef], forgotten: &Forgotten) -> BTreeSet<SnapshotRef> {
        let in_folders = |object: &&SnapshotRef| self.folders().any(|g| g == object.generation);
        self.valid
            .iter()
            .chain(listed.iter().filter(in_folders))
            .filter(|object| !forgotten.contains(object))
            .copied()
            .collect()
    }

    /// Decides after the last look, with `self` the view read after the snapshot `object` was put.
    #[must_use]
    pub fn look(&self, object: &SnapshotRef) -> Look {
        if self.highest() == object.generation || self.valid.contains(object) {
            Look::Acknowledge
        } else {
            Look::Again
        }
    }
}

fn refuse(act: &str, bits: u64) -> Result<()> {
    if bits == 0 {
        return Ok(());
    }
    let bit = bits.trailing_zeros();
    let what =
        format!("gen: to {act} this repository a program must know feature {bit}: use a newer one");
    Err(Error::new(Kind::Unsupported, what))
}

/// Of several objects of one run the valid one: the highest (generation, sequence).
pub fn newest_of_each_run<T>(
    objects: impl IntoIterator<Item = (SnapshotRef, u64, T)>,
) -> BTreeMap<SnapshotId, (SnapshotRef, T)> {
    let mut newest: BTreeMap<SnapshotId, (u64, SnapshotRef, T)> = BTreeMap::new();
    for (object, sequence, body) in objects {
        let beaten = newest.get(&object.sid).is_some_and(|(known, reference, _)| {
            (reference.generation, *known, reference.hash)
                >= (object.generation, sequence, object.hash)
        });
        if !beaten {
            newest.insert(object.sid, (sequence, object, body));
        }
    }
    newest.into_iter().map(|(sid, (_, object, body))| (sid, (object, body))).collect()
}

#[cfg(test)]
mod tests;
