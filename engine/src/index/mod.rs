//! Chunk id → places: sorted runs of the repository's segments, mapped from the cache, and this
//! run's own packs in memory.
//!
//! Runs are a cache: each says which segments it was made from. What segments that are gone told does
//! not count, and a run whose hash is wrong is dropped. Memory does not grow with the chunks, nor with
//! the packs: their rows are read where they stand.

mod batch;
mod filter;
mod load;
mod loaded;
mod marks;
mod merging;
mod rows;
mod run;
#[cfg(test)]
mod tests;
mod write;

use std::path::PathBuf;

use crate::error::Result;
use crate::model::{
    Base, ChunkId, FrameKind, PackId, PackInfo, PackMeta, PackNumber, Place, SegmentId,
};

use batch::Recent;
use loaded::{Loaded, find_pack};
use merging::Merging;
use rows::{EntryRow, FrameRow};

pub use marks::Marks;

/// Loads a segment's packs; none if it is to be left out (the caller has told why).
pub type LoadSegment<'a> = dyn Fn(SegmentId) -> Result<Option<Vec<PackInfo>>> + 'a;

/// Where every known chunk stands.
#[derive(Debug)]
pub struct Index {
    runs: Vec<Loaded>,
    /// Numbers given to packs of the runs; those of `recent` follow.
    run_pack_count: u32,
    /// Packs added by this process and not yet in a run.
    recent: Recent,
    batch_len_max: usize,
    /// Entries that are merged at once when the index is opened; more are merged beside the command.
    merged_now_max: u64,
    merging: Option<Merging>,
    /// Where runs without a name stand; none for the system's temporary folder.
    folder: Option<PathBuf>,
}

impl Index {
    /// All places of a chunk: usually one, or none.
    #[must_use]
    pub fn find(&self, id: &ChunkId) -> Vec<Place> {
        let mut places = Vec::new();
        self.each_place(id, &mut |place| {
            // A pack that stands in two runs.
            if !places.contains(&place) {
                places.push(place);
            }
            false
        });
        places
    }

    /// True if a copy of the chunk stands in a pack that `usable` accepts.
    #[must_use]
    pub fn contains(&self, id: &ChunkId, usable: &dyn Fn(PackNumber) -> bool) -> bool {
        self.each_place(id, &mut |place| usable(place.pack))
    }

    /// The pack of this number.
    ///
    /// # Panics
    /// If the number is of another index, or older than a pack added since: our own mistake.
    #[must_use]
    pub fn pack(&self, number: PackNumber) -> PackMeta {
        let run = || {
            self.runs
                .iter()
                .find_map(|loaded| loaded.run.pack(loaded.own(number)?))
                .map(|it| it.meta)
        };
        let recent = || self.recent.pack(number.0.checked_sub(self.run_pack_count)?);
        run().or_else(recent).expect("a number of this index")
    }

    /// All packs, each once, with their numbers.
    pub fn packs(&self) -> impl Iterator<Item = (PackNumber, PackMeta)> {
        let recent = (self.run_pack_count..).zip(self.recent.packs());
        let recent = recent.map(|(number, meta)| (PackNumber(number), *meta));
        self.runs.iter().flat_map(Loaded::packs).chain(recent)
    }

    /// All numbers of packs are below this; not each of them is one of a pack.
    #[must_use]
    pub fn pack_number_end(&self) -> usize {
        self.run_pack_count as usize + self.recent.packs().len()
    }

    /// The number of a pack, which holds until a pack is added.
    #[must_use]
    pub fn find_pack(&self, id: &PackId) -> Option<PackNumber> {
        let recent = || self.recent.find_pack(id).map(|it| PackNumber(self.run_pack_count + it));
        find_pack(&self.runs, id).or_else(recent)
    }

    /// Entries, those of chunks with several copies counted several times.
    #[must_use]
    pub fn entry_count(&self) -> u64 {
        let stored: u64 =
            self.runs.iter().map(|loaded| u64::from(loaded.run.counts().entries)).sum();
        stored + self.recent.len() as u64
    }

    /// A number below [`Index::entry_count`] that only this chunk has; none if it is not here. Holds until
    /// a pack is added.
    fn entry_number(&self, id: &ChunkId) -> Option<u64> {
        let mut start = 0;
        for Loaded { run, .. } in &self.runs {
            if let Some(number) = run.entry_number(id) {
                return Some(start + u64::from(number));
            }
            start += u64::from(run.counts().entries);
        }
        self.recent.entry_number(id).map(|number| start + u64::from(number))
    }

    /// The bases of the frame that `place` is in; none for a full frame.
    #[must_use]
    pub fn bases(&self, place: &Place) -> Vec<Base> {
        if place.frame.kind == FrameKind::Full {
            return Vec::new();
        }
        let position = place.frame.position;
        let bases = match place.pack.0.checked_sub(self.run_pack_count) {
            Some(recent) => self.recent.bases(recent, position),
            None => self.runs.iter().find_map(|loaded| {
                Some(loaded.run.bases(loaded.own(place.pack)?, position).unwrap_or_default())
            }),
        };
        bases.unwrap_or_default()
    }

    /// Adds a pack that this process has stored.
    pub fn add(&mut self, info: &PackInfo) {
        if find_pack(&self.runs, &info.id).is_none() {
            self.recent.add(info);
            if self.recent.len() >= self.batch_len_max {
                self.spill();
            }
        }
    }

    /// Calls `each` for every place of a chunk until it returns true; tells whether it did.
    fn each_place(&self, id: &ChunkId, each: &mut dyn FnMut(Place) -> bool) -> bool {
        for (entry, frame) in self.recent.find(id) {
            if each(place(PackNumber(self.run_pack_count + frame.pack), &frame, &entry)) {
                return true;
            }
        }
        for loaded in &self.runs {
            for entry in loaded.run.find(id) {
                let Some((pack, frame)) = loaded.place(&entry) else { continue };
                if each(place(pack, &frame, &entry)) {
                    return true;
                }
            }
        }
        false
    }
}

fn place(pack: PackNumber, frame: &FrameRow, entry: &EntryRow) -> Place {
    Place { pack, frame: frame.place, offset: entry.offset, len: entry.len }
}
