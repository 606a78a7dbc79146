//! Which snapshot objects are forgotten.

use std::collections::{HashMap, HashSet};

use crate::model::{Forget, SnapshotId, SnapshotRef};

/// The snapshot objects that forgets in force name.
#[derive(Debug, Default)]
pub struct Forgotten(HashSet<SnapshotRef>);

impl Forgotten {
    /// Of each snapshot the forget with the highest number is in force; an undoing forgets nothing.
    pub fn new(forgets: impl IntoIterator<Item = Forget>) -> Self {
        let mut in_force: HashMap<SnapshotId, Forget> = HashMap::new();
        for forget in forgets {
            match in_force.get(&forget.sid) {
                Some(known) if known.k >= forget.k => {}
                _ => {
                    in_force.insert(forget.sid, forget);
                }
            }
        }
        let named = in_force.into_values().filter(|forget| !forget.undo);
        Self(
            named
                .flat_map(|forget| {
                    forget.objects.into_iter().map(move |object| SnapshotRef {
                        generation: object.generation,
                        sid: forget.sid,
                        hash: object.hash,
                    })
                })
                .collect(),
        )
    }

    /// True if `object` is forgotten.
    #[must_use]
    pub fn contains(&self, object: &SnapshotRef) -> bool {
        self.0.contains(object)
    }
}
