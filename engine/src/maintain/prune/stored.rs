//! What the segments tell and the store has, at one moment.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::fence::View;
use crate::index::Index;
use crate::model::{
    Base, ChunkId, FrameKind, FrameView, PackId, PackInfo, PackNumber, Place, SegmentId,
};
use crate::observe::Observer;
use crate::repo::{Damage, Repository, Usable, parse_pack_name};

/// The index, and which of its packs may be relied on.
pub(super) struct Stored {
    pub index: Arc<Index>,
    /// The segments the index was made from, with the length of each.
    pub segments: Vec<(SegmentId, u64)>,
    /// In the store with their indexed length, not deleted, not recorded as bad. Condemned ones are.
    usable: Usable,
    /// Every pack in the store with its length, ascending.
    pub listed: Vec<(PackId, u64)>,
}

impl Stored {
    /// Loads the segments, without belief in any cache, and then lists the packs: a pack that is deleted in between does not count. `view` is
    /// of a generation that is closed.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn load(repo: &Repository, view: &View, observer: &dyn Observer) -> Result<Self> {
        let segments = repo.segments()?;
        let index = Arc::new(repo.rebuild_index(&segments, observer)?);
        let (usable, _): (Usable, Damage) = Usable::new(repo, &index, view, observer)?;
        let mut listed = Vec::new();
        repo.store().list("packs/", &mut |name, len| {
            listed.extend(parse_pack_name(name).map(|id| (id, len)));
            Ok(())
        })?;
        listed.sort_unstable();
        Ok(Self { index, segments, usable, listed })
    }

    /// What may be relied on, without the packs `left_out` names.
    pub(super) fn without(&self, left_out: &dyn Fn(PackNumber) -> bool) -> Usable {
        self.usable.without(left_out)
    }

    /// True if copies in this pack count.
    pub(super) fn counts(&self, pack: PackNumber) -> bool {
        self.usable.contains(pack)
    }

    /// The numbers of `packs`, as far as the index knows them.
    pub(super) fn numbers(&self, packs: &HashSet<PackId>) -> HashSet<PackNumber> {
        packs.iter().filter_map(|pack| self.index.find_pack(pack)).collect()
    }

    /// The copy of a chunk that is to be kept: a full one if there is any, in a pack that `may` accepts, with a full
    /// copy of every base of its frame in such a pack. The same for every call.
    pub(super) fn copy(&self, id: &ChunkId, may: &dyn Fn(PackNumber) -> bool) -> Option<Place> {
        let counts = |place: &Place| self.counts(place.pack) && may(place.pack);
        let mut copies = self.index.find(id);
        copies.retain(|place| counts(place));
        copies.sort_unstable_by_key(|place| {
            (place.frame.kind != FrameKind::Full, place.pack, place.frame.position, place.offset)
        });
        copies.into_iter().find(|place| {
            place.frame.kind == FrameKind::Full
                || self.index.bases(place).iter().all(|base| self.full(base, may).is_some())
        })
    }

    /// The full copy that is to be kept of a base.
    pub(super) fn full(&self, base: &Base, may: &dyn Fn(PackNumber) -> bool) -> Option<Place> {
        let end = u64::from(base.offset) + u64::from(base.len);
        let copies = self.index.find(&base.id).into_iter().filter(|place| {
            place.frame.kind == FrameKind::Full
                && self.counts(place.pack)
                && may(place.pack)
                && end <= u64::from(place.len)
        });
        copies.min_by_key(|place| (place.pack, place.frame.position, place.offset))
    }

    /// Calls `each` for every pack the segments tell of that counts, each once, segment by segment.
    ///
    /// # Errors
    /// Those of the store and of `each`.
    pub(super) fn each_pack(
        &self,
        repo: &Repository,
        each: &mut dyn FnMut(PackNumber, &PackInfo) -> Result<()>,
    ) -> Result<()> {
        let mut seen = vec![false; self.index.pack_number_end()];
        for (segment, _) in &self.segments {
            let packs = match repo.load_segment(*segment) {
                Ok(packs) => packs,
                Err(error) if error.kind() == Kind::NotFound => return Err(vanished()),
                // What it told of is not in the index either: if anything needs it, that does not resolve.
                Err(error) if error.kind().is_damage() => continue,
                Err(error) => return Err(error),
            };
            for pack in packs {
                let Some(number) = self.index.find_pack(&pack.id) else { continue };
                let Some(seen) = seen.get_mut(number.0 as usize) else { continue };
                if self.counts(number) && !std::mem::replace(seen, true) {
                    each(number, &pack)?;
                }
            }
        }
        Ok(())
    }
}

/// The error for segments that another prune has merged since they were listed.
pub(super) fn vanished() -> Error {
    let what = "index segments vanished meanwhile: another prune merges them; run it again";
    Error::new(Kind::Unavailable, what)
}

/// The chunks of a frame, each with its place.
pub(super) fn places<'f>(
    pack: PackNumber,
    frame: &FrameView<'f>,
) -> impl Iterator<Item = (ChunkId, Place)> + use<'f> {
    let (place, mut offset) = (frame.place, 0_u32);
    frame.chunks.iter().map(move |chunk| {
        let at = Place { pack, frame: place, offset, len: chunk.len };
        offset = offset.saturating_add(chunk.len);
        (chunk.id, at)
    })
}
