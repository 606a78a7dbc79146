//! What a run keeps of what it reads and stores, for later runs to find old bytes in.

use std::sync::Arc;
use std::thread::Scope;

use crossbeam_channel::{Sender, bounded};

use super::{ChunkWriter, JobKind, Writing, base_frame_len};
use crate::error::Result;
use crate::limits;
use crate::model::{Chunk, ChunkId, Class, Entropy, Purpose};
use crate::pack::NewFrame;
use crate::repo::Repository;
use crate::repo::bases::{CachedBases, Older};

/// Chunks remembered as kept in this run, about 3 MiB; beyond, one that a source repeats may be kept twice.
const KEPT_COUNT_MAX: usize = 65_536;

/// The cache of old bytes of a run that needs one.
pub(super) fn open(repo: &Repository, writing: Writing) -> Option<Arc<CachedBases<'_>>> {
    let cached = CachedBases::new(repo, writing.old_bytes);
    cached.filter(|_| writing.has_deltas() && !writing.dry_run).map(Arc::new)
}

impl Writing {
    /// True if differences are asked for, and the old bytes for them are to come from a cache that there is not.
    #[must_use]
    pub fn lacks_old_bytes(&self, repo: &Repository) -> bool {
        repo.cache.is_none() && open(repo, *self).is_some()
    }
}

/// Starts the thread that keeps frames until their queue ends, one at a time.
pub(super) fn keep<'scope, 'r: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    cached: Arc<CachedBases<'r>>,
    entropy: Entropy,
) -> Sender<NewFrame> {
    let (kept, queue) = bounded(0);
    scope.spawn(move || cached.keep(&entropy, &queue));
    kept
}

impl ChunkWriter<'_> {
    /// Keeps a chunk that is stored full already and not in the cache, if nothing has to go for it: it was lost
    /// there, or another host has stored it.
    pub(super) fn keep_known(&mut self, id: ChunkId, plain: &[u8]) -> Result<()> {
        let Some(cached) = self.cached.as_ref().filter(|cached| cached.has_room()) else {
            return Ok(());
        };
        let len = u32::try_from(plain.len()).unwrap_or(u32::MAX);
        let is_short = (1..=limits::PREFIX_LEN_MAX).contains(&len);
        if !is_short || cached.contains(&id) || self.known.full_copy(&id).is_none() {
            return Ok(());
        }
        if self.kept.len() == KEPT_COUNT_MAX {
            self.kept.clear();
        }
        if !self.kept.insert(id) {
            return Ok(());
        }
        let kind = (Class::Ordinary, Purpose::Data, JobKind::Cached);
        let target = base_frame_len(self.frame_len);
        self.add(kind, target, (Chunk { id, len }, plain), &Older::default())
    }
}
