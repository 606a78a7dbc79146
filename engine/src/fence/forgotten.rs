//! Which snapshot objects are forgotten.

use std::collections::{BTreeMap, HashSet};

use crate::model::{Forget, SnapshotId, SnapshotRef};

/// The snapshot objects that forgets in force name.
#[derive(Debug, Default)]
pub struct Forgotten {
    objects: HashSet<SnapshotRef>,
    /// Of each snapshot the forget with the highest number.
    in_force: BTreeMap<SnapshotId, Forget>,
}

impl Forgotten {
    /// Of each snapshot the forget with the highest number is in force; an undoing forgets nothing.
    pub fn new(forgets: impl IntoIterator<Item = Forget>) -> Self {
        let mut in_force: BTreeMap<SnapshotId, Forget> = BTreeMap::new();
        for forget in forgets {
            match in_force.get(&forget.sid) {
                Some(known) if known.k >= forget.k => {}
                _ => {
                    in_force.insert(forget.sid, forget);
                }
            }
        }
        let objects = in_force.values().filter(|forget| !forget.undo).flat_map(objects).collect();
        Self { objects, in_force }
    }

    /// True if `object` is forgotten.
    #[must_use]
    pub fn contains(&self, object: &SnapshotRef) -> bool {
        self.objects.contains(object)
    }

    /// The forget of a snapshot with the highest number, which may be an undoing.
    #[must_use]
    pub fn last(&self, sid: &SnapshotId) -> Option<&Forget> {
        self.in_force.get(sid)
    }

    /// The forgets in force that take one of `objects` away: sid and k, ascending.
    #[must_use]
    pub fn applied_to(&self, named: &HashSet<SnapshotRef>) -> Vec<(SnapshotId, u64)> {
        let forgets = self.in_force.values().filter(|forget| !forget.undo);
        let applied = forgets.filter(|it| objects(it).any(|object| named.contains(&object)));
        applied.map(|forget| (forget.sid, forget.k)).collect()
    }

    /// All forgets in force that are no undoings: sid and k, ascending.
    #[must_use]
    pub fn all(&self) -> Vec<(SnapshotId, u64)> {
        let forgets = self.in_force.values().filter(|forget| !forget.undo);
        forgets.map(|forget| (forget.sid, forget.k)).collect()
    }
}

fn objects(forget: &Forget) -> impl Iterator<Item = SnapshotRef> {
    forget.objects.iter().map(|object| SnapshotRef {
        generation: object.generation,
        sid: forget.sid,
        hash: object.hash,
    })
}
