//! Reads what frames that are being made are compressed against.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::crypto::Keyring;
use crate::error::{Error, Kind, Result};
use crate::index::Index;
use crate::model::{Base, ChunkId, Class, FrameKind, PackNumber, Place, Purpose};
use crate::pack;
use crate::repo::{Known, Repository, reader};

/// A frame that one thread opens and others wait for; none if it cannot be had.
type Opened = Arc<OnceLock<Option<Vec<u8>>>>;

/// Reads base chunks; callable from several threads.
pub(in crate::repo) struct BaseLoader<'r> {
    repo: &'r Repository,
    known: Known<'r>,
    /// Plaintext of frames kept, bytes: chunks that follow each other have their bases in frames of all the
    /// rounds in which one of them was stored full.
    len_max: usize,
    /// Newest last.
    opened: Mutex<Vec<((PackNumber, u32), Opened)>>,
}

impl<'r> BaseLoader<'r> {
    pub(in crate::repo) fn new(repo: &'r Repository, known: Known<'r>) -> Self {
        Self { repo, known, len_max: repo.memory().bases_len(), opened: Mutex::default() }
    }

    /// The chunks that `bases` are ranges of.
    ///
    /// # Errors
    /// When a base cannot be had, or is damaged.
    pub(in crate::repo) fn load(&self, class: Class, bases: &[Base]) -> Result<Loaded> {
        let mut chunks: Vec<(ChunkId, Vec<u8>)> = Vec::new();
        for base in bases {
            if chunks.last().is_none_or(|(id, _)| *id != base.id) {
                chunks.push((base.id, self.chunk(&base.id)?));
            }
        }
        Ok(Loaded { class, chunks })
    }

    fn chunk(&self, id: &ChunkId) -> Result<Vec<u8>> {
        let absent = || Error::new(Kind::Corrupt, format!("base {id} has no full copy"));
        let place = self.known.full_place(id).ok_or_else(absent)?;
        let opened = self.opened(&place);
        let frame = opened.get_or_init(|| self.open(&place).ok());
        let start = place.offset as usize;
        let end = start.saturating_add(place.len as usize);
        let bytes = frame.as_ref().and_then(|frame| frame.get(start..end)).ok_or_else(absent)?;
        Ok(bytes.to_vec())
    }

    fn open(&self, place: &Place) -> Result<Vec<u8>> {
        let index: &Index = self.known.index;
        debug_assert_eq!(place.frame.kind, FrameKind::Full);
        reader::open_frame(self.repo, index, place, None)
    }

    fn opened(&self, place: &Place) -> Opened {
        let key = (place.pack, place.frame.position);
        let mut all = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().position(|(known, _)| *known == key);
        let entry = found.map_or_else(|| (key, Opened::default()), |found| all.remove(found));
        let opened = Arc::clone(&entry.1);
        all.push(entry);
        // As long as their plaintext is when they are opened.
        let len = |(_, opened): &(_, Opened)| match opened.get() {
            Some(frame) => frame.as_ref().map_or(0, Vec::len),
            None => place.frame.plain_len as usize,
        };
        let mut sum: usize = all.iter().map(len).sum();
        while sum > self.len_max && all.len() > 1 {
            sum -= len(&all.remove(0));
        }
        opened
    }
}

/// Base chunks in memory, in the order of the bases.
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
        let mut chunks = self.chunks.iter().peekable();
        pack::join_prefix(bases, &mut |wanted| {
            while chunks.next_if(|(id, _)| id != wanted).is_some() {}
            let found = chunks.peek().map(|(_, bytes)| bytes);
            found.ok_or_else(|| Error::new(Kind::Corrupt, format!("base {wanted} is not loaded")))
        })
    }
}
