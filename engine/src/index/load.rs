//! Where the runs of an index come from: the cache, segments that it lacks, other runs merged.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use super::batch::{Batch, Recent};
use super::loaded::Loaded;
use super::merging::Merging;
use super::run::Run;
use super::write::{self, Part, Scratch};
use super::{Index, LoadSegment};
use crate::cache::{Cache, Draft, Mapped, Shelf};
use crate::error::Result;
use crate::model::SegmentId;

/// Entries gathered in memory before they become a run: about 10 MB, of one's own packs 25 MB.
const BATCH_LEN_MAX: usize = 200_000;
/// More runs than this are merged: each look-up asks them all.
pub(super) const RUN_COUNT_MAX: usize = 10;
/// Runs that wait for a command long enough to merge them beside it; more are merged at once.
const WAITING_COUNT_MAX: usize = 10;
/// Entries that are merged in about a second.
const MERGED_NOW_MAX: u64 = 2_000_000;

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
        let empty = Self::empty(cache.map(Cache::folder));
        empty.with(cache, segments, load)
    }

    /// Makes the index over `segments` from nothing but them, in files without a name in `folder`, or in the
    /// system's temporary folder.
    ///
    /// # Errors
    /// What `load` returns.
    pub fn rebuild(
        folder: Option<&Path>,
        segments: &[(SegmentId, u64)],
        load: &LoadSegment<'_>,
    ) -> Result<Self> {
        Self::empty(folder).with(None, segments, load)
    }

    /// An index of nothing, for packs to be added; many of them go to files in `folder`, or in the system's
    /// temporary folder.
    #[must_use]
    pub fn empty(folder: Option<&Path>) -> Self {
        Self {
            runs: Vec::new(),
            run_pack_count: 0,
            recent: Recent::default(),
            batch_len_max: BATCH_LEN_MAX,
            merged_now_max: MERGED_NOW_MAX,
            merging: None,
            folder: folder.map(Path::to_owned),
        }
    }

    /// The same, which keeps at most about `entry_count` entries in memory.
    #[must_use]
    pub fn spilling_after(self, entry_count: usize) -> Self {
        Self { batch_len_max: entry_count, ..self }
    }

    pub(super) fn with(
        mut self,
        cache: Option<&Cache>,
        segments: &[(SegmentId, u64)],
        load: &LoadSegment<'_>,
    ) -> Result<Self> {
        let listed: HashSet<SegmentId> = segments.iter().map(|segment| segment.0).collect();
        let mut wanted = listed.clone();
        if let Some(cache) = cache {
            self.map_runs(cache, &listed, &mut wanted);
        }
        let missing: Vec<SegmentId> =
            segments.iter().map(|segment| segment.0).filter(|id| wanted.remove(id)).collect();
        self.load_missing(cache, &missing, load)?;
        let later = self.merge_runs(cache, &|id| listed.contains(id));
        self.merging = cache.and_then(|cache| Merging::start(cache, later, listed));
        self.set_numbers();
        Ok(self)
    }

    /// Takes the runs of the cache that have something of the wanted segments, the largest first, and
    /// removes the others. What they cover is no longer wanted.
    fn map_runs(
        &mut self,
        cache: &Cache,
        listed: &HashSet<SegmentId>,
        wanted: &mut HashSet<SegmentId>,
    ) {
        let is_listed = |id: &SegmentId| listed.contains(id);
        let mut found = Vec::new();
        for name in cache.names(Shelf::Index) {
            let run = cache.map(Shelf::Index, &name).and_then(Run::open);
            match run.and_then(|run| Loaded::new(run, Some(name.clone()), &is_listed)) {
                Some(loaded) => found.push(loaded),
                None => cache.remove(Shelf::Index, &name),
            }
        }
        found.sort_by_key(|loaded| std::cmp::Reverse(loaded.run.counts().segments));
        for loaded in found {
            let known = wanted.len();
            loaded.run.segments().for_each(|id| {
                wanted.remove(&id);
            });
            if wanted.len() < known {
                self.runs.push(loaded);
            } else if let Some(name) = loaded.name {
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
        let mut batch = Batch::default();
        for (id, left) in missing.iter().zip((0..missing.len()).rev()) {
            if let Some(packs) = load(*id)? {
                batch.add_segment(*id, packs);
            }
            if !batch.segments().is_empty() && (left == 0 || batch.len() >= self.batch_len_max) {
                batch.sort();
                let write = |scratch: &Scratch<'_>, out: &mut dyn Write| batch.write(scratch, out);
                let saved = self.save_anywhere(cache, batch.segments(), &write);
                let loaded = saved.and_then(|(run, name)| Loaded::new(run, name, &|_| true));
                self.runs.extend(loaded);
                batch = Batch::default();
            }
        }
        Ok(())
    }

    /// Merges the smallest runs, so that look-ups ask few and each entry is seldom rewritten; and
    /// rewrites those that are mostly void. Gives the names of those that are to be merged beside the
    /// command, because it would have to wait.
    fn merge_runs(
        &mut self,
        cache: Option<&Cache>,
        is_listed: &dyn Fn(&SegmentId) -> bool,
    ) -> Vec<String> {
        self.runs.sort_by_key(|loaded| std::cmp::Reverse(loaded.run.counts().entries));
        let waiting = self.merging.as_ref().map_or(0, Merging::run_count);
        let is_enough = self.runs.len() <= RUN_COUNT_MAX + waiting;
        let kept = if is_enough { self.runs.len() } else { self.kept(waiting) };
        let mut merged = self.runs.split_off(kept);
        merged.extend(self.runs.extract_if(.., |loaded| loaded.is_mostly_void()));
        if merged.is_empty() {
            return Vec::new();
        }
        // Runs of this process alone have no segment and never get a name.
        let names: Option<Vec<String>> = merged.iter().map(|loaded| loaded.name.clone()).collect();
        let entries: u64 = merged.iter().map(|it| u64::from(it.run.counts().entries)).sum();
        let is_long = entries > self.merged_now_max;
        let can_wait = self.runs.len() + merged.len() <= RUN_COUNT_MAX + WAITING_COUNT_MAX;
        if let Some(names) = names.as_ref().filter(|_| cache.is_some() && is_long && can_wait) {
            self.runs.extend(merged);
            return names.clone();
        }
        let named = cache.filter(|_| names.is_some());
        let segments = segments_of(&merged, is_listed);
        let made = merged_into(&merged, &segments, &mut |write| self.save(named, &segments, write));
        let Some(new) = made.and_then(|(run, name)| Loaded::new(run, name, &|_| true)) else {
            // Without room on a disk the runs stay as they are.
            self.runs.extend(merged);
            return Vec::new();
        };
        if let Some(cache) = named {
            remove_merged(cache, merged, new.name.as_deref());
        }
        self.runs.push(new);
        Vec::new()
    }

    /// How many of the runs, the largest first, are not worth merging; `waiting` of them are being
    /// merged.
    fn kept(&self, waiting: usize) -> usize {
        let entries = |loaded: &Loaded| u64::from(loaded.run.counts().entries);
        let mut kept = RUN_COUNT_MAX / 2 + waiting;
        let mut sum: u64 = self.runs[kept..].iter().map(entries).sum();
        while kept > 0 && entries(&self.runs[kept - 1]) <= sum {
            kept -= 1;
            sum += entries(&self.runs[kept]);
        }
        kept
    }

    /// Turns the packs of this process into a run without a name.
    pub(super) fn spill(&mut self) {
        let mut batch = self.recent.batch().clone();
        batch.sort();
        let write = |scratch: &Scratch<'_>, out: &mut dyn Write| batch.write(scratch, out);
        // Without room on a disk they stay in memory.
        let saved = self.save(None, &[], &write);
        if let Some(loaded) = saved.and_then(|(run, name)| Loaded::new(run, name, &|_| true)) {
            self.runs.push(loaded);
            self.recent = Recent::default();
            self.merge_runs(None, &|_| true);
            self.set_numbers();
        }
    }

    /// Numbers the packs anew, the largest run first: what it has need not be looked for elsewhere.
    pub(super) fn set_numbers(&mut self) {
        self.runs.sort_by_key(|loaded| std::cmp::Reverse(loaded.run.counts().packs));
        let mut next = 0;
        for at in 0..self.runs.len() {
            let (before, rest) = self.runs.split_at_mut(at);
            next = rest[0].set_numbers(next, before);
        }
        self.run_pack_count = next;
    }

    /// Writes a run into the cache, else into a file without a name; with the name it got.
    fn save(
        &self,
        cache: Option<&Cache>,
        segments: &[SegmentId],
        write: &WriteRun<'_>,
    ) -> Option<(Run, Option<String>)> {
        if let Some(cache) = cache {
            match save_named(cache, segments, write) {
                Some(Ok((run, name))) => return Some((run, Some(name))),
                Some(Err(error)) => cache.note("writing the index to", error),
                None => {}
            }
        }
        // The folder may be what has no room.
        [self.folder.as_deref(), None].into_iter().find_map(|folder| {
            let unnamed = || Draft::unnamed(folder).ok();
            let mut draft = unnamed()?;
            write(&unnamed, &mut draft).ok()?;
            Some((Run::open(draft.map().ok()?)?, None))
        })
    }

    /// As [`Self::save`], and into memory if there is no disk to write to.
    fn save_anywhere(
        &self,
        cache: Option<&Cache>,
        segments: &[SegmentId],
        write: &WriteRun<'_>,
    ) -> Option<(Run, Option<String>)> {
        self.save(cache, segments, write).or_else(|| {
            let mut bytes = Vec::new();
            write(&|| None, &mut bytes).ok()?;
            Some((Run::open(Mapped::memory(bytes))?, None))
        })
    }
}

/// The segments of some runs that still count, ascending.
pub(super) fn segments_of(
    merged: &[Loaded],
    is_listed: &dyn Fn(&SegmentId) -> bool,
) -> Vec<SegmentId> {
    let mut segments: Vec<SegmentId> =
        merged.iter().flat_map(|it| it.run.segments()).filter(is_listed).collect();
    segments.sort_unstable();
    segments.dedup();
    segments
}

/// Has `save` save the run that some runs are merged to.
pub(super) fn merged_into<T>(
    merged: &[Loaded],
    segments: &[SegmentId],
    save: &mut dyn FnMut(&WriteRun<'_>) -> T,
) -> T {
    let is_void: Vec<_> =
        merged.iter().map(|loaded| |number: u32| loaded.is_void(number)).collect();
    let parts = merged.iter().zip(&is_void);
    let parts: Vec<Part<'_>> =
        parts.map(|(loaded, is_void)| Part { run: &loaded.run, is_void }).collect();
    save(&|scratch: &Scratch<'_>, out: &mut dyn Write| write::merge(&parts, segments, scratch, out))
}

/// Removes from the cache what was merged to the run `new`.
pub(super) fn remove_merged(cache: &Cache, merged: Vec<Loaded>, new: Option<&str>) {
    for old in merged.into_iter().filter_map(|loaded| loaded.name) {
        if new != Some(old.as_str()) {
            cache.remove(Shelf::Index, &old);
        }
    }
}

/// Writes a run into the cache; none if that cannot keep a file, which is noted.
pub(super) fn save_named(
    cache: &Cache,
    segments: &[SegmentId],
    write: &WriteRun<'_>,
) -> Option<io::Result<(Run, String)>> {
    let mut draft = cache.draft()?;
    let written = write(&|| cache.draft(), &mut draft).and_then(|()| {
        let run = Run::open(draft.map()?).ok_or(io::ErrorKind::InvalidData)?;
        // What is not proven when it is opened must not have holes after a power failure.
        if !run.is_checked() {
            draft.sync()?;
        }
        Ok(run)
    });
    let name = run_name(segments);
    match written {
        Ok(run) => cache.keep(draft, Shelf::Index, &name).then_some(Ok((run, name))),
        Err(error) => Some(Err(error)),
    }
}

/// Writes the rows of a run.
pub(super) type WriteRun<'a> = dyn Fn(&Scratch<'_>, &mut dyn Write) -> io::Result<()> + 'a;

/// Names a run by the set of its segments, which ascend.
fn run_name(segments: &[SegmentId]) -> String {
    let mut hasher = blake3::Hasher::new();
    segments.iter().for_each(|segment| {
        hasher.update(segment.as_bytes());
    });
    hasher.finalize().to_hex().to_string()
}
