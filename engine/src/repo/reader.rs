//! Reading chunks: place, range, open, expand, name.

mod renew;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use self::renew::{Newer, Renewal};
use super::{Repository, pack_name};
use crate::error::{Error, Kind, Result};
use crate::index::Index;
use crate::limits;
use crate::model::{
    Base, ChunkId, Class, FrameKind, MemoryBound, NodeRef, PackId, PackNumber, Place, Purpose,
};
use crate::pack;

/// Plaintext of frames kept for the next look, bytes.
const CACHE_LEN: usize = 8 << 20;

/// How often a read that finds packs gone loads the index again: a prune deletes after each of its generations.
const RENEWALS_MAX: u32 = 3;

/// Reads chunks of one repository; callable from several threads. Beside prunes: where a pack is gone, what [`chunk`],
/// [`node`] and [`prefix_of`] look for is sought in the index as it is by then.
///
/// [`chunk`]: ChunkReader::chunk
/// [`node`]: ChunkReader::node
/// [`prefix_of`]: ChunkReader::prefix_of
pub struct ChunkReader<'r> {
    repo: &'r Repository,
    index: Arc<Index>,
    cache: Arc<Mutex<FrameCache>>,
    fetched_bytes: Arc<AtomicU64>,
    renewal: Arc<Renewal>,
}

impl<'r> ChunkReader<'r> {
    /// A reader over `index`.
    #[must_use]
    pub fn new(repo: &'r Repository, index: Arc<Index>) -> Self {
        let (fetched_bytes, renewal) = (Arc::default(), Arc::default());
        let cache = Arc::new(Mutex::new(FrameCache::of(CACHE_LEN)));
        Self { repo, index, cache, fetched_bytes, renewal }
    }

    /// The same in what is known by now.
    fn with(&self, Newer { index, cache }: Newer) -> Self {
        let (fetched_bytes, renewal) = (self.fetched_bytes.clone(), self.renewal.clone());
        Self { repo: self.repo, index, cache, fetched_bytes, renewal }
    }

    /// The same, which keeps more frames: chunks stored as differences have their bases in frames of all the
    /// rounds in which one of them was stored full.
    #[must_use]
    pub fn for_differences(self) -> Self {
        self.cache().len_max = CACHE_LEN + self.repo.memory().bases_len();
        self
    }

    /// The repository.
    #[must_use]
    pub fn repository(&self) -> &'r Repository {
        self.repo
    }

    /// The bound on memory.
    #[must_use]
    pub fn memory(&self) -> MemoryBound {
        self.repo.memory()
    }

    /// The index.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Every place a chunk stands at, full copies first.
    ///
    /// # Errors
    /// `Corrupt` when the index knows none: something that is listed needs it.
    pub fn places(&self, id: &ChunkId) -> Result<Vec<Place>> {
        let mut places = self.index.find(id);
        places.sort_by_key(|place| place.frame.kind != FrameKind::Full);
        if places.is_empty() {
            return Err(Error::new(Kind::Corrupt, format!("chunk {id} is in no index segment")));
        }
        Ok(places)
    }

    /// Reads a node of a manifest or an id list.
    ///
    /// # Errors
    /// `Corrupt` or `NotFound` naming the pack and the chunk when no copy is intact.
    pub fn node(&self, node: &NodeRef) -> Result<Arc<Vec<u8>>> {
        self.read(node.class, Purpose::Metadata, &node.id).map(Arc::new)
    }

    /// Reads a chunk of data.
    ///
    /// # Errors
    /// `Corrupt` or `NotFound` naming the pack and the chunk when no copy is intact.
    pub fn chunk(&self, node: &NodeRef) -> Result<Vec<u8>> {
        self.read(node.class, Purpose::Data, &node.id)
    }

    /// True if `bytes` are the chunk of data `node`.
    ///
    /// # Errors
    /// When there is no key to name it with.
    pub fn is_chunk(&self, node: &NodeRef, bytes: &[u8]) -> Result<bool> {
        Ok(self.repo.keyring().chunk_id(node.class, Purpose::Data, bytes)? == node.id)
    }

    /// Sealed bytes of packs of data that were read from the store so far.
    #[must_use]
    pub fn fetched_bytes(&self) -> u64 {
        self.fetched_bytes.load(Ordering::Relaxed)
    }

    fn read(&self, class: Class, purpose: Purpose, id: &ChunkId) -> Result<Vec<u8>> {
        let mut take = |bytes: &[u8]| Ok(bytes.to_vec());
        self.first_intact(&|reader| reader.places(id), (class, purpose, id), &mut take)
    }

    /// What `take` makes of the chunk from the first of `places` that gives it, here or, if packs are gone, in the
    /// index as it is by now.
    fn first_intact<T>(
        &self,
        places: &dyn Fn(&Self) -> Result<Vec<Place>>,
        chunk: (Class, Purpose, &ChunkId),
        take: &mut dyn FnMut(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let (mut error, mut gone) = match self.intact_at(places(self)?, chunk, take) {
            Ok(taken) => return Ok(taken),
            Err(failed) => failed,
        };
        for _ in 0..RENEWALS_MAX {
            if gone.is_empty() {
                break;
            }
            let Some(newer) = self.renewal.beyond(self, &gone)? else { break };
            let newer = self.with(newer);
            // In no segment any more: what needed it was forgotten.
            let Ok(places) = places(&newer) else { break };
            (error, gone) = match newer.intact_at(places, chunk, take) {
                Ok(taken) => return Ok(taken),
                Err(failed) => failed,
            };
        }
        Err(error)
    }

    /// What `take` makes of the chunk from the first of `places` that gives it; else the gravest error, and the packs
    /// that are gone.
    fn intact_at<T>(
        &self,
        places: Vec<Place>,
        (class, purpose, id): (Class, Purpose, &ChunkId),
        take: &mut dyn FnMut(&[u8]) -> Result<T>,
    ) -> std::result::Result<T, (Error, Vec<PackId>)> {
        let mut first_error: Option<Error> = None;
        let mut gone = Vec::new();
        for place in places {
            let taken = self
                .cached_frame(&place)
                .and_then(|frame| take(self.checked(class, purpose, id, &place, &frame)?));
            let error = match taken {
                Ok(taken) => return Ok(taken),
                Err(error) => error,
            };
            if error.kind() == Kind::NotFound {
                gone.push(self.index.pack(place.pack).id);
            }
            // What may come back weighs more than what is damaged.
            first_error = match first_error {
                Some(first) if error.kind().is_damage() => Some(first),
                _ => Some(error),
            };
        }
        let error = || Error::new(Kind::Corrupt, format!("chunk {id}"));
        Err((first_error.unwrap_or_else(error), gone))
    }

    /// The bytes of a chunk within its frame's plaintext, named again.
    ///
    /// # Errors
    /// `Corrupt` when they are not the chunk.
    pub fn checked<'f>(
        &self,
        class: Class,
        purpose: Purpose,
        id: &ChunkId,
        place: &Place,
        frame: &'f [u8],
    ) -> Result<&'f [u8]> {
        let start = place.offset as usize;
        let bytes = start.checked_add(place.len as usize).and_then(|end| frame.get(start..end));
        let wrong = || {
            let what = format!(
                "pack {}, frame at byte {}: chunk {id} is not what its name says",
                self.pack_label(place),
                place.frame.position
            );
            Error::new(Kind::Corrupt, what)
        };
        let bytes = bytes.ok_or_else(wrong)?;
        if self.repo.keyring().chunk_id(class, purpose, bytes)? == *id {
            Ok(bytes)
        } else {
            Err(wrong())
        }
    }

    /// The plaintext of the frame at `place`, from the cache if it is there. Of several threads that want it
    /// one opens it, and the others wait.
    ///
    /// # Errors
    /// As [`ChunkReader::frame`].
    pub fn cached_frame(&self, place: &Place) -> Result<Arc<Vec<u8>>> {
        let slot = self.cache().slot(place);
        let mut opened = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frame) = &*opened {
            return Ok(Arc::clone(frame));
        }
        // The bases of a delta are in full frames, which need no other: nobody waits in a circle.
        let frame = Arc::new(self.frame(place)?);
        *opened = Some(Arc::clone(&frame));
        Ok(frame)
    }

    /// Reads, opens and expands the frame at `place`.
    ///
    /// # Errors
    /// `NotFound` when the pack is gone, `Corrupt` when it is damaged, each naming pack and position.
    pub fn frame(&self, place: &Place) -> Result<Vec<u8>> {
        let located = |error: Error| {
            let pack = self.pack_label(place);
            error.context(format!("pack {pack}, frame at byte {}", place.frame.position))
        };
        let prefix = match place.frame.kind {
            FrameKind::Full => None,
            FrameKind::Delta => {
                let class = self.index.pack(place.pack).class;
                self.prefix_of(class, &self.index.bases(place)).map_err(located)?
            }
        };
        if self.index.pack(place.pack).purpose == Purpose::Data {
            self.fetched_bytes.fetch_add(place.frame.sealed_len.into(), Ordering::Relaxed);
        }
        open_frame(self.repo, &self.index, place, prefix.as_deref()).map_err(located)
    }

    /// The prefix of a frame with `bases`: ranges of their full copies; none without bases.
    ///
    /// # Errors
    /// `Corrupt` when a base has no intact full copy or the ranges are wrong.
    pub fn prefix_of(&self, class: Class, bases: &[Base]) -> Result<Option<Vec<u8>>> {
        if bases.is_empty() {
            return Ok(None);
        }
        let mut prefix = Vec::new();
        for base in bases {
            let full = |reader: &Self| reader.full_places(&base.id);
            let mut take = |bytes: &[u8]| add_range(&mut prefix, base, bytes);
            self.first_intact(&full, (class, Purpose::Data, &base.id), &mut take)?;
        }
        Ok(Some(prefix))
    }

    /// The place of the frame that the first of `bases` stands in, if it is known.
    #[must_use]
    pub fn needed_for(&self, bases: &[Base]) -> Option<(PackNumber, u32)> {
        let place = *self.places(&bases.first()?.id).ok()?.first()?;
        Some((place.pack, place.frame.position))
    }

    /// The places of full copies of a base, at least one.
    fn full_places(&self, id: &ChunkId) -> Result<Vec<Place>> {
        let mut copies = self.places(id)?;
        copies.retain(|copy| copy.frame.kind == FrameKind::Full);
        if copies.is_empty() {
            return Err(Error::new(Kind::Corrupt, format!("base {id} has no full copy")));
        }
        Ok(copies)
    }

    /// Where a full copy of a base stands.
    ///
    /// # Errors
    /// `Corrupt` when there is none.
    pub fn full_place(&self, id: &ChunkId) -> Result<Place> {
        let copies = self.full_places(id)?;
        copies.first().copied().ok_or_else(|| Error::new(Kind::Corrupt, format!("base {id}")))
    }

    fn pack_label(&self, place: &Place) -> String {
        self.index.pack(place.pack).id.to_string()
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, FrameCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads, opens and expands the frame at `place`, against its prefix if it is a delta.
///
/// # Errors
/// `NotFound` when the pack is gone, `Corrupt` when it is damaged.
pub(super) fn open_frame(
    repo: &Repository,
    index: &Index,
    place: &Place,
    prefix: Option<&[u8]>,
) -> Result<Vec<u8>> {
    let meta = index.pack(place.pack);
    let (position, len) = (u64::from(place.frame.position), place.frame.sealed_len as usize);
    let sealed = repo.store().get_range(&pack_name(meta.id), position, len)?;
    pack::open_frame(repo.keyring(), &meta, &place.frame, &sealed, prefix)
}

/// Adds the range of a chunk's `bytes` that `base` names.
fn add_range(prefix: &mut Vec<u8>, base: &Base, bytes: &[u8]) -> Result<()> {
    let start = base.offset as usize;
    let range = start.checked_add(base.len as usize).and_then(|end| bytes.get(start..end));
    let range = range.ok_or_else(|| {
        Error::new(Kind::Corrupt, format!("base {}: range beyond its end", base.id))
    })?;
    if prefix.len().saturating_add(range.len()) > limits::PREFIX_LEN_MAX as usize {
        return Err(Error::new(Kind::Corrupt, "the bases are longer than a prefix may be"));
    }
    prefix.extend_from_slice(range);
    Ok(())
}

/// A frame's plaintext; none while it was not opened yet, or could not be.
type Slot = Arc<Mutex<Option<Arc<Vec<u8>>>>>;

struct Kept {
    key: (PackNumber, u32),
    /// Bytes of its plaintext, opened or not yet.
    len: usize,
    slot: Slot,
}

/// The most recently used frames, newest last.
struct FrameCache {
    /// Bytes of their plaintext.
    len_max: usize,
    frames: Vec<Kept>,
}

impl FrameCache {
    fn of(len_max: usize) -> Self {
        Self { len_max, frames: Vec::new() }
    }

    /// Gives half of its room to another.
    fn halve(&mut self) -> Self {
        self.len_max /= 2;
        Self::of(self.len_max)
    }

    fn slot(&mut self, place: &Place) -> Slot {
        let key = (place.pack, place.frame.position);
        let kept = match self.frames.iter().rposition(|kept| kept.key == key) {
            Some(position) => self.frames.remove(position),
            None => Kept { key, len: place.frame.plain_len as usize, slot: Slot::default() },
        };
        let slot = Arc::clone(&kept.slot);
        self.frames.push(kept);
        let mut len: usize = self.frames.iter().map(|kept| kept.len).sum();
        while len > self.len_max && self.frames.len() > 1 {
            len -= self.frames.remove(0).len;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::observe::Silent;
    use crate::repo::testing::Fixture;
    use crate::store::Store;

    #[test]
    fn threads_that_want_the_same_frame_open_it_once() {
        const COUNT: usize = 8;
        let fixture = Fixture::new();
        let bytes: Vec<u8> = (0..2000_u32).flat_map(u32::to_le_bytes).collect();
        fixture.file("a", &bytes);
        fixture.backup("backup");
        let repo = fixture.open("read");
        let reader = repo.reader(&Silent).unwrap();
        let id = repo.keyring().data_id(Class::Ordinary, &bytes).unwrap();
        let place = reader.places(&id).unwrap()[0];
        let begin = Barrier::new(COUNT);
        let open = || {
            begin.wait();
            reader.cached_frame(&place).unwrap()
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..COUNT).map(|_| scope.spawn(open)).collect();
            for thread in threads {
                assert_eq!(*thread.join().unwrap(), bytes);
            }
        });
        assert_eq!(reader.fetched_bytes(), u64::from(place.frame.sealed_len));
    }

    #[test]
    fn a_frame_that_could_not_be_opened_is_tried_again() {
        let fixture = Fixture::new();
        let bytes: Vec<u8> = (0..2000_u32).flat_map(u32::to_le_bytes).collect();
        fixture.file("a", &bytes);
        fixture.backup("backup");
        let repo = fixture.open("read");
        let reader = repo.reader(&Silent).unwrap();
        let id = repo.keyring().data_id(Class::Ordinary, &bytes).unwrap();
        let place = reader.places(&id).unwrap()[0];
        let name = pack_name(reader.index().pack(place.pack).id);
        let pack = fixture.memory.get(&name, 1 << 20).unwrap();
        fixture.memory.delete(&name).unwrap();
        for _ in 0..2 {
            assert_eq!(reader.cached_frame(&place).unwrap_err().kind(), Kind::NotFound);
        }
        fixture.memory.create(&name, &pack).unwrap();
        assert_eq!(*reader.cached_frame(&place).unwrap(), bytes);
    }
}
