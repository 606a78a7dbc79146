//! Which copies of chunks are good.

use std::collections::HashSet;

use crate::index::Index;
use crate::model::{ChunkId, FrameKind, PackNumber, Place};

/// What is known of the packs: present with their length, and which frames are bad.
pub(super) struct Health {
    present: Vec<bool>,
    bad_packs: HashSet<PackNumber>,
    bad_frames: HashSet<(PackNumber, u32)>,
}

impl Health {
    pub(super) fn new(present: Vec<bool>) -> Self {
        Self { present, bad_packs: HashSet::new(), bad_frames: HashSet::new() }
    }

    pub(super) fn set_bad_pack(&mut self, pack: PackNumber) {
        self.bad_packs.insert(pack);
    }

    pub(super) fn set_bad_frame(&mut self, pack: PackNumber, position: u32) {
        self.bad_frames.insert((pack, position));
    }

    pub(super) fn is_present(&self, pack: PackNumber) -> bool {
        self.present.get(pack.0 as usize).copied().unwrap_or(false)
    }

    /// True if some copy of the chunk, and a full copy of every base of its frame, is good.
    pub(super) fn resolves(&self, index: &Index, id: &ChunkId) -> bool {
        index.find(id).iter().any(|place| {
            self.is_good(place)
                && (place.frame.kind == FrameKind::Full
                    || index.bases(place).iter().all(|base| self.has_full(index, &base.id)))
        })
    }

    fn has_full(&self, index: &Index, id: &ChunkId) -> bool {
        let copies = index.find(id);
        copies.iter().any(|copy| copy.frame.kind == FrameKind::Full && self.is_good(copy))
    }

    /// True if this copy's pack and frame are good; the bases of its frame are not looked at.
    pub(super) fn is_good(&self, place: &Place) -> bool {
        self.is_present(place.pack)
            && !self.bad_packs.contains(&place.pack)
            && !self.bad_frames.contains(&(place.pack, place.frame.position))
    }
}
