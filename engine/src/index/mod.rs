//! Chunk id → places: sorted runs of the repository's segments, mapped from the cache, and this
//! run's own packs in memory.
//!
//! Runs are a cache: each says which segments it was made from, and is dropped when one of them is
//! gone, or when its hash is wrong.

mod batch;
mod rows;
mod run;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use crate::cache::{Cache, Draft, Mapped, Shelf};
use crate::error::Result;
use crate::model::{
    Base, ChunkId, FrameKind, PackId, PackInfo, PackMeta, PackNumber, Place, SegmentId,
};

use batch::Batch;
use rows::EntryRow;
use run::Run;

/// Loads a segment's packs; none if it is to be left out (the caller has told why).
pub type LoadSegment<'a> = dyn Fn(SegmentId) -> Result<Option<Vec<PackInfo>>> + 'a;

/// Entries gathered in memory before they become a run: about 25 MB.
const BATCH_LEN_MAX: usize = 200_000;
/// More runs than this are merged: each look-up asks them all.
const RUN_COUNT_MAX: usize = 10;

/// Where every known chunk stands.
#[derive(Debug)]
pub struct Index {
    packs: Vec<PackMeta>,
    numbers: HashMap<PackId, PackNumber>,
    runs: Vec<Loaded>,
    /// Packs added by this process and not yet in a run.
    recent: Batch,
    recent_packs: Vec<PackNumber>,
    batch_len_max: usize,
}

#[derive(Debug)]
struct Loaded {
    run: Run,
    /// For each pack of the run, its number in the index.
    packs: Vec<PackNumber>,
    /// The file in the cache; none if it has no name.
    name: Option<String>,
}

impl Index {
    /// Opens the index over `segments` (each with the length of its object in bytes): what the
    /// cache has of them is mapped, the rest is loaded and added to the cache.
    ///
    /// # Errors
    /// What `load` returns. Nothing the cache does is an error.
    pub fn open(
        cache: Option<&Cache>,
        segments: &[(SegmentId, u64)],
        load: &LoadSegment<'_>,
    ) -> Result<Self> {
        Self::open_with(cache, segments, load, BATCH_LEN_MAX)
    }

    fn open_with(
        cache: Option<&Cache>,
        segments: &[(SegmentId, u64)],
        load: &LoadSegment<'_>,
        batch_len_max: usize,
    ) -> Result<Self> {
        let mut index = Self {
            packs: Vec::new(),
            numbers: HashMap::new(),
            runs: Vec::new(),
            recent: Batch::default(),
            recent_packs: Vec::new(),
            batch_len_max,
        };
        let mut wanted: HashSet<SegmentId> = segments.iter().map(|segment| segment.0).collect();
        if let Some(cache) = cache {
            index.map_runs(cache, &mut wanted);
        }
        let missing: Vec<SegmentId> =
            segments.iter().map(|segment| segment.0).filter(|id| wanted.remove(id)).collect();
        index.load_missing(cache, &missing, load)?;
        index.merge_runs(cache);
        Ok(index)
    }

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
    /// If the number is of another index: our own mistake.
    #[must_use]
    pub fn pack(&self, number: PackNumber) -> &PackMeta {
        &self.packs[number.0 as usize]
    }

    /// All packs with their numbers, which count from 0 without gaps.
    pub fn packs(&self) -> impl ExactSizeIterator<Item = (PackNumber, &PackMeta)> {
        self.packs.iter().enumerate().map(|(number, meta)| (pack_number(number), meta))
    }

    /// The number of a pack.
    #[must_use]
    pub fn find_pack(&self, id: &PackId) -> Option<PackNumber> {
        self.numbers.get(id).copied()
    }

    /// Entries, those of chunks with several copies counted several times.
    #[must_use]
    pub fn entry_count(&self) -> u64 {
        let stored: u64 =
            self.runs.iter().map(|loaded| u64::from(loaded.run.counts().entries)).sum();
        stored + self.recent.len() as u64
    }

    /// The bases of the frame that `place` is in; none for a full frame.
    #[must_use]
    pub fn bases(&self, place: &Place) -> Vec<Base> {
        if place.frame.kind == FrameKind::Full {
            return Vec::new();
        }
        let pack = self.pack(place.pack).id;
        let recent = self.recent.bases(&pack, place.frame.position).map(<[Base]>::to_vec);
        let stored =
            || self.runs.iter().find_map(|loaded| loaded.run.bases(&pack, place.frame.position));
        recent.or_else(stored).unwrap_or_default()
    }

    /// Adds a pack that this process has stored.
    pub fn add(&mut self, info: &PackInfo) -> PackNumber {
        let known = self.numbers.len();
        let number = self.number(&info.meta());
        if self.numbers.len() > known {
            self.recent.add(info);
            self.recent_packs.push(number);
            if self.recent.len() >= self.batch_len_max {
                self.spill();
            }
        }
        number
    }

    /// Calls `each` for every place of a chunk until it returns true; tells whether it did.
    fn each_place(&self, id: &ChunkId, each: &mut dyn FnMut(Place) -> bool) -> bool {
        for entry in self.recent.find(id) {
            let frame = self.recent.frames[entry.frame as usize];
            if each(place(self.recent_packs[frame.pack as usize], &frame, &entry)) {
                return true;
            }
        }
        for loaded in &self.runs {
            for entry in loaded.run.find(id) {
                // Rows that contradict each other are damage of the cache: the chunk is not here.
                let Some(frame) = loaded.run.frame(entry.frame) else { continue };
                let Some(pack) = loaded.packs.get(frame.pack as usize) else { continue };
                if each(place(*pack, &frame, &entry)) {
                    return true;
                }
            }
        }
        false
    }

    /// Takes the runs of the cache that were made only of wanted segments, the largest first, and
    /// removes the others. What they cover is no longer wanted.
    fn map_runs(&mut self, cache: &Cache, wanted: &mut HashSet<SegmentId>) {
        let mut found = Vec::new();
        for name in cache.names(Shelf::Index) {
            match cache.map(Shelf::Index, &name).and_then(Run::open) {
                Some(run) if run.segments().all(|id| wanted.contains(&id)) => {
                    found.push((run, name));
                }
                _ => cache.remove(Shelf::Index, &name),
            }
        }
        found.sort_by_key(|(run, _)| std::cmp::Reverse(run.counts().segments));
        for (run, name) in found {
            let is_new = run.segments().any(|id| wanted.contains(&id));
            let segments: Vec<SegmentId> = run.segments().collect();
            if is_new && self.adopt(run, Some(name.clone())) {
                segments.iter().for_each(|id| {
                    wanted.remove(id);
                });
            } else {
                cache.remove(Shelf::Index, &name);
            }
        }
    }

    fn load_missing(
        &mut self,
        cache: Option<&Cache>,
        missing: &[SegmentId],
        load: &LoadSegment<'_>,
    ) -> Result<()> {
        let (mut batch, mut segments) = (Batch::default(), Vec::new());
        for (id, left) in missing.iter().zip((0..missing.len()).rev()) {
            if let Some(packs) = load(*id)? {
                packs.iter().for_each(|pack| batch.add(pack));
                segments.push(*id);
            }
            if !segments.is_empty() && (left == 0 || batch.len() >= self.batch_len_max) {
                let write = |out: &mut dyn Write| batch.write(&segments, out);
                if let Some((run, name)) = save_anywhere(cache, &segments, &write) {
                    self.adopt(run, name);
                }
                (batch, segments) = (Batch::default(), Vec::new());
            }
        }
        Ok(())
    }

    /// Merges the smallest runs, so that look-ups ask few and each entry is seldom rewritten.
    fn merge_runs(&mut self, cache: Option<&Cache>) {
        if self.runs.len() <= RUN_COUNT_MAX {
            return;
        }
        self.runs.sort_by_key(|loaded| std::cmp::Reverse(loaded.run.counts().entries));
        let entries = |loaded: &Loaded| u64::from(loaded.run.counts().entries);
        let mut kept = RUN_COUNT_MAX / 2;
        let mut sum: u64 = self.runs[kept..].iter().map(entries).sum();
        while kept > 0 && entries(&self.runs[kept - 1]) <= sum {
            kept -= 1;
            sum += entries(&self.runs[kept]);
        }
        let merged: Vec<&Run> = self.runs[kept..].iter().map(|loaded| &loaded.run).collect();
        let segments: Vec<SegmentId> = merged.iter().flat_map(|run| run.segments()).collect();
        // Runs of this process alone have no segment and never get a name.
        let named = cache.filter(|_| self.runs[kept..].iter().all(|loaded| loaded.name.is_some()));
        let write = |out: &mut dyn Write| write::merge(&merged, out);
        // Without room on a disk the runs stay as they are.
        let Some((run, name)) = save(named, &segments, &write) else { return };
        for loaded in self.runs.split_off(kept) {
            if let (Some(cache), Some(old)) = (named, loaded.name)
                && Some(&old) != name.as_ref()
            {
                cache.remove(Shelf::Index, &old);
            }
        }
        self.adopt(run, name);
    }

    /// Turns the packs of this process into a run without a name.
    fn spill(&mut self) {
        let saved = save(None, &[], &|out: &mut dyn Write| self.recent.write(&[], out));
        // Without room on a disk they stay in memory.
        if let Some((run, name)) = saved
            && self.adopt(run, name)
        {
            self.recent = Batch::default();
            self.recent_packs.clear();
            self.merge_runs(None);
        }
    }

    /// Takes a run in; false if its packs cannot be read.
    fn adopt(&mut self, run: Run, name: Option<String>) -> bool {
        let rows: Option<Vec<_>> = (0..run.counts().packs).map(|number| run.pack(number)).collect();
        let Some(rows) = rows else { return false };
        let packs = rows.iter().map(|row| self.number(&row.meta)).collect();
        self.runs.push(Loaded { run, packs, name });
        true
    }

    fn number(&mut self, meta: &PackMeta) -> PackNumber {
        *self.numbers.entry(meta.id).or_insert_with(|| {
            self.packs.push(*meta);
            pack_number(self.packs.len() - 1)
        })
    }
}

fn place(pack: PackNumber, frame: &rows::FrameRow, entry: &EntryRow) -> Place {
    Place { pack, frame: frame.place, offset: entry.offset, len: entry.len }
}

fn pack_number(number: usize) -> PackNumber {
    PackNumber(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Writes the rows of a run.
type WriteRun<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + 'a;

/// Writes a run into the cache, else into a file without a name; with the name it got.
fn save(
    cache: Option<&Cache>,
    segments: &[SegmentId],
    write: &WriteRun<'_>,
) -> Option<(Run, Option<String>)> {
    let into = |mut draft: Draft| -> io::Result<(Run, Draft)> {
        write(&mut draft)?;
        let run = Run::open(draft.map()?).ok_or(io::ErrorKind::InvalidData)?;
        Ok((run, draft))
    };
    if let Some(cache) = cache
        && let Some(draft) = cache.draft()
    {
        match into(draft) {
            Ok((run, draft)) => {
                let name = run_name(segments);
                cache.keep(draft, Shelf::Index, &name);
                return Some((run, Some(name)));
            }
            Err(error) => cache.note("writing the index to", error),
        }
    }
    Draft::unnamed().and_then(into).ok().map(|(run, _)| (run, None))
}

/// As [`save`], and into memory if there is no disk to write to.
fn save_anywhere(
    cache: Option<&Cache>,
    segments: &[SegmentId],
    write: &WriteRun<'_>,
) -> Option<(Run, Option<String>)> {
    save(cache, segments, write).or_else(|| {
        let mut bytes = Vec::new();
        write(&mut bytes).ok()?;
        Some((Run::open(Mapped::memory(bytes))?, None))
    })
}

/// Names a run by the set of its segments.
fn run_name(segments: &[SegmentId]) -> String {
    let mut segments = segments.to_vec();
    segments.sort_unstable();
    segments.dedup();
    let mut hasher = blake3::Hasher::new();
    segments.iter().for_each(|segment| {
        hasher.update(segment.as_bytes());
    });
    hasher.finalize().to_hex().to_string()
}
