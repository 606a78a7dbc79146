//! What a close settles, and how it says so.

use std::collections::{BTreeSet, HashSet};

use super::View;
use crate::model::{Close, HashedNumber, HostId, ObjectHash, PackId, SnapshotId, SnapshotRef};

/// Every close with a number that this divides repeats everything: it bounds how many are read.
pub const FULL_EVERY: u64 = 64;

/// What is valid and what is deleted once a generation is closed.
#[derive(Debug, Clone, Default)]
pub struct Settled {
    pub valid: BTreeSet<SnapshotRef>,
    /// All deleted packs that anything may still name.
    pub deleted: HashSet<PackId>,
    /// The forgets that took effect: sid and k.
    pub forgets: Vec<(SnapshotId, u64)>,
}

/// Who closes, and what the close names.
#[derive(Debug, Clone, Copy)]
pub struct Closing {
    /// The generation to be closed.
    pub generation: HashedNumber,
    /// Hash of the close before; zeros for none.
    pub previous: ObjectHash,
    pub author: HostId,
    /// Nanoseconds since 1970-01-01T00:00:00 UTC.
    pub created_ns: i64,
    pub ring: HashedNumber,
}

impl Settled {
    /// The close that brings `before`, the view of the generation before, to this: its differences, or the
    /// whole when the number says so.
    #[must_use]
    pub fn close(&self, before: &View, closing: Closing) -> Close {
        let number = closing.generation.number;
        let full = number.is_multiple_of(FULL_EVERY);
        let (was_valid, was_deleted) = (before.settled_valid(), before.deleted());
        let is_new = |object: &&SnapshotRef| full || !was_valid.contains(object);
        let is_given_up = |pack: &&PackId| full || !was_deleted.contains(pack);
        let mut deleted_add: Vec<_> = self.deleted.iter().filter(is_given_up).copied().collect();
        deleted_add.sort_unstable();
        let (mut valid_drop, mut deleted_drop) = (Vec::new(), Vec::new());
        if !full {
            valid_drop.extend(was_valid.difference(&self.valid));
            deleted_drop.extend(was_deleted.difference(&self.deleted));
            deleted_drop.sort_unstable();
        }
        Close {
            number,
            generation: closing.generation.hash,
            full,
            previous: closing.previous,
            valid_add: self.valid.iter().filter(is_new).copied().collect(),
            valid_drop,
            deleted_add,
            deleted_drop,
            forgets: self.forgets.clone(),
            author: closing.author,
            created_ns: closing.created_ns,
            ring: closing.ring,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Features;

    fn object(generation: u64, sid: u8) -> SnapshotRef {
        SnapshotRef { generation, sid: SnapshotId([sid; 16]), hash: ObjectHash([sid; 32]) }
    }

    fn settled(valid: &[SnapshotRef], deleted: &[u8]) -> Settled {
        Settled {
            valid: valid.iter().copied().collect(),
            deleted: deleted.iter().map(|name| PackId([*name; 32])).collect(),
            forgets: Vec::new(),
        }
    }

    fn closing(number: u64) -> Closing {
        Closing {
            generation: HashedNumber { number, hash: ObjectHash([9; 32]) },
            previous: ObjectHash([0; 32]),
            author: HostId([0; 16]),
            created_ns: 0,
            ring: HashedNumber::NONE,
        }
    }

    #[test]
    fn closes_fold_to_what_they_were_made_from() {
        let states = [
            settled(&[object(0, 1), object(0, 2)], &[]),
            settled(&[object(0, 2), object(1, 3)], &[7]),
            settled(&[object(1, 3)], &[8]),
        ];
        let (mut closes, mut view) = (Vec::new(), View::default());
        for (number, state) in (1..).zip(&states) {
            closes.push(state.close(&view, closing(number)));
            view = View::fold(&closes, None, None, Features::default()).unwrap();
            assert_eq!(*view.settled_valid(), state.valid);
            assert_eq!(*view.deleted(), state.deleted);
        }
        assert_eq!(closes[2].valid_drop, [object(0, 2)]);
        assert_eq!(closes[2].deleted_drop, [PackId([7; 32])]);
    }

    #[test]
    fn a_full_close_repeats_everything_and_needs_none_before_it() {
        let before = settled(&[object(0, 1)], &[7]);
        let one = before.close(&View::default(), closing(1));
        let view = View::fold(&[one], None, None, Features::default()).unwrap();
        let full = before.close(&view, closing(FULL_EVERY));
        assert!(full.full && full.valid_drop.is_empty());
        let view = View::fold(&[full], None, None, Features::default()).unwrap();
        assert_eq!((view.settled_valid(), view.deleted()), (&before.valid, &before.deleted));
    }
}
