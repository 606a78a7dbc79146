//! Reads what frames that are being made are compressed against.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::crypto::Keyring;
use crate::error::{Error, Kind, Result};
use crate::model::{Base, ChunkId, Class, PackNumber, Place, Purpose};
use crate::pack;
use crate::repo::bases::CachedBases;
use crate::repo::{Known, Repository, reader};

/// Bytes of base chunks of one frame in memory at most; with more it is stored full.
const LOADED_LEN_MAX: usize = 4 << 20;

/// A frame that one thread opens and others wait for; none if it cannot be had.
type Opened = Arc<OnceLock<Option<Vec<u8>>>>;

struct Kept {
    key: (PackNumber, u32),
    /// Bytes of its plaintext, opened or not yet.
    len: usize,
    opened: Opened,
}

/// Reads base chunks; callable from several threads.
pub(in crate::repo) struct BaseLoader<'r> {
    repo: &'r Repository,
    known: Known<'r>,
    /// What is read instead of the repository.
    cached: Option<Arc<CachedBases<'r>>>,
    /// Plaintext of frames kept, bytes: chunks that follow each other have their bases in frames of all the
    /// rounds in which one of them was stored full.
    len_max: usize,
    /// Newest last.
    opened: Mutex<Vec<Kept>>,
}

impl<'r> BaseLoader<'r> {
    pub(in crate::repo) fn new(
        repo: &'r Repository,
        known: Known<'r>,
        cached: Option<Arc<CachedBases<'r>>>,
    ) -> Self {
        let memory = repo.memory();
        let len_max =
            cached.as_ref().map_or_else(|| memory.bases_len(), |_| memory.cached_bases_len());
        Self { repo, known, cached, len_max, opened: Mutex::default() }
    }

    /// The chunks that `bases` are ranges of, each once.
    ///
    /// # Errors
    /// When a base cannot be had, or all of them are too long to be held.
    pub(in crate::repo) fn load(&self, class: Class, bases: &[Base]) -> Result<Loaded> {
        let mut loaded = Loaded { class, chunks: Vec::new() };
        let mut sum = 0;
        for base in bases {
            if loaded.chunk(&base.id).is_none() {
                let chunk = self.chunk(&base.id)?;
                sum += chunk.len();
                if sum > LOADED_LEN_MAX {
                    return Err(Error::new(Kind::Input, "the bases are too long to be held"));
                }
                loaded.chunks.push((base.id, chunk));
            }
        }
        Ok(loaded)
    }

    fn chunk(&self, id: &ChunkId) -> Result<Vec<u8>> {
        let absent = || Error::new(Kind::Corrupt, format!("base {id} has no full copy"));
        let stored = self.known.full_place(id).ok_or_else(absent)?;
        let place = match &self.cached {
            Some(cached) => cached.place(id).ok_or_else(absent)?,
            None => stored,
        };
        let opened = self.opened(&place);
        let frame = opened.get_or_init(|| match &self.cached {
            Some(cached) => cached.open_frame(&place),
            None => reader::open_frame(self.repo, self.known.index, &place, None).ok(),
        });
        if frame.is_none() {
            // It may be had the next time.
            self.lock().retain(|kept| kept.key != key_of(&place));
        }
        let start = place.offset as usize;
        let end = start.saturating_add(place.len as usize);
        let bytes = frame.as_ref().and_then(|frame| frame.get(start..end)).ok_or_else(absent)?;
        Ok(bytes.to_vec())
    }

    fn opened(&self, place: &Place) -> Opened {
        let key = key_of(place);
        let mut all = self.lock();
        let kept = match all.iter().position(|kept| kept.key == key) {
            Some(number) => all.remove(number),
            None => Kept { key, len: place.frame.plain_len as usize, opened: Opened::default() },
        };
        let opened = Arc::clone(&kept.opened);
        all.push(kept);
        let mut sum: usize = all.iter().map(|kept| kept.len).sum();
        while sum > self.len_max && all.len() > 1 {
            sum -= all.remove(0).len;
        }
        opened
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(place: &Place) -> (PackNumber, u32) {
    (place.pack, place.frame.position)
}

/// Base chunks in memory.
pub(in crate::repo) struct Loaded {
    class: Class,
    chunks: Vec<(ChunkId, Vec<u8>)>,
}

impl Loaded {
    /// The prefix that `bases` make, copied anew, after every chunk was named. So of two prefixes, made before and
    /// after a frame was compressed against the first, no fault of memory is in both.
    ///
    /// # Errors
    /// `Corrupt` when a chunk is not what its name says, or a range is not within it.
    pub(in crate::repo) fn prefix(&self, keyring: &Keyring, bases: &[Base]) -> Result<Vec<u8>> {
        for (id, bytes) in &self.chunks {
            if keyring.chunk_id(self.class, Purpose::Data, bytes)? != *id {
                let what = format!("base {id} is not what its name says");
                return Err(Error::new(Kind::Corrupt, what));
            }
        }
        pack::join_prefix(bases, &mut |id| {
            let absent = || Error::new(Kind::Corrupt, format!("base {id} is not loaded"));
            self.chunk(id).ok_or_else(absent)
        })
    }

    fn chunk(&self, id: &ChunkId) -> Option<&Vec<u8>> {
        self.chunks.iter().find(|(known, _)| known == id).map(|(_, bytes)| bytes)
    }
}
