//! The index as it is by now, for a reader that finds packs gone: a prune deletes packs beside readers, after it has stored
//! what is needed of them elsewhere.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::{ChunkReader, FrameCache};
use crate::error::Result;
use crate::index::Index;
use crate::model::{PackId, SegmentId};
use crate::observe::Silent;

/// What the readers of one another's renewals share.
#[derive(Default)]
pub(super) struct Renewal(Mutex<State>);

#[derive(Default)]
struct State {
    /// What the store listed just before `newest` was loaded.
    segments: Option<Vec<(SegmentId, u64)>>,
    newest: Option<Newer>,
    /// Packs that are gone and that the index names none the less: lost, not pruned.
    lost: HashSet<PackId>,
}

/// An index, and the frames opened by its numbers of packs.
#[derive(Clone)]
pub(super) struct Newer {
    pub(super) index: Arc<Index>,
    pub(super) cache: Arc<Mutex<FrameCache>>,
}

impl Renewal {
    /// The index that knows more than those in which `gone` were found; none if there is no more to know. It is
    /// loaded at most once for each change of the store's segments.
    ///
    /// # Errors
    /// Those of loading the index.
    pub(super) fn beyond(&self, old: &ChunkReader<'_>, gone: &[PackId]) -> Result<Option<Newer>> {
        // Others that find packs gone meanwhile wait: one loads for all.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newer) = &state.newest
            && gone.iter().any(|pack| newer.index.find_pack(pack).is_none())
        {
            return Ok(Some(newer.clone()));
        }
        if gone.iter().all(|pack| state.lost.contains(pack)) {
            return Ok(None);
        }
        let segments = old.repo.segments()?;
        if state.segments.as_ref() == Some(&segments) {
            state.lost.extend(gone);
            return Ok(None);
        }
        let index = Arc::new(old.repo.load_index(&Silent)?);
        let cache = match &state.newest {
            Some(newer) => FrameCache::of(lock(&newer.cache).len_max),
            // The two share the room.
            None => lock(&old.cache).halve(),
        };
        let newer = Newer { index, cache: Arc::new(Mutex::new(cache)) };
        state.segments = Some(segments);
        state.newest = Some(newer.clone());
        Ok(Some(newer))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
