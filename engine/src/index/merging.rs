//! Merging runs of the cache beside a command, which goes on with those it has opened. The next command
//! finds the merged one.

use std::collections::HashSet;
use std::io::Write;

use super::load::{merged_into, remove_merged, save_named, segments_of};
use super::loaded::Loaded;
use super::run::Run;
use super::write::Scratch;
use crate::cache::{Background, Cache, Shelf, Stop};
use crate::model::SegmentId;

/// Runs that are being merged.
#[derive(Debug)]
pub(super) struct Merging {
    run_count: usize,
    /// Stopped when this is dropped.
    _work: Background,
}

impl Merging {
    /// Begins to merge the runs of these names, of which only the `listed` segments count; none without
    /// any.
    pub fn start(cache: &Cache, names: Vec<String>, listed: HashSet<SegmentId>) -> Option<Self> {
        if names.is_empty() {
            return None;
        }
        let (cache, run_count) = (cache.again(), names.len());
        let work = Background::start(move |stop| {
            // Nothing depends on it: what could not be merged now is merged another time.
            let _ = merge(&cache, names, &listed, stop);
        })?;
        Some(Self { run_count, _work: work })
    }

    pub fn run_count(&self) -> usize {
        self.run_count
    }

    /// Waits until they are merged.
    #[cfg(test)]
    pub fn finish(self) {
        self._work.finish();
    }
}

/// None if a run is gone by now or damaged, there is no room, or it is asked to stop.
fn merge(
    cache: &Cache,
    names: Vec<String>,
    listed: &HashSet<SegmentId>,
    stop: &Stop,
) -> Option<()> {
    let is_listed = |id: &SegmentId| listed.contains(id);
    let mut merged = Vec::new();
    for name in names {
        if stop.is_asked() {
            return None;
        }
        // Mapped once more: they are read from beginning to end here, and here and there elsewhere.
        let run = cache.map(Shelf::Index, &name).and_then(Run::open)?;
        merged.push(Loaded::new(run, Some(name), &is_listed)?);
    }
    let segments = segments_of(&merged, &is_listed);
    let saved = merged_into(&merged, &segments, &mut |write| {
        let write =
            |scratch: &Scratch<'_>, out: &mut dyn Write| write(scratch, &mut stop.guard(out));
        save_named(cache, &segments, &write)
    });
    let (_, name) = saved?.ok()?;
    remove_merged(cache, merged, Some(&name));
    Some(())
}
