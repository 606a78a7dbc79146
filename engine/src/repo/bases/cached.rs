//! Old bytes kept by this host, for repositories that are dear to read.
//!
//! They stand in the cache as packs that are never put into the store: full frames of chunks from which later ones may
//! be differences, sealed with the repository's keys. Whatever is wrong with one of these packs costs room and
//! nothing else: what would need it is stored full.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::Receiver;

use crate::cache::{Cache, Shelf};
use crate::error::{Error, Kind, Result};
use crate::index::Index;
use crate::model::{ChunkId, Class, Entropy, FrameKind, PackInfo, Place, Purpose};
use crate::pack::{self, NewFrame};
use crate::repo::Repository;
use crate::repo::bases::kept::Keeper;

/// Entries of the table of cached chunks in memory, about 1.5 MB; more are mapped from a file.
const TABLE_ENTRY_COUNT: usize = 10_000;
/// Files of the cache at most: the end of each is read by every run that stores differences.
pub(super) const FILE_COUNT_MAX: usize = 4096;

/// Where the bytes come from that changed chunks are stored as differences from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OldBytesFrom {
    /// The repository if its store is local, the cache otherwise.
    #[default]
    Auto,
    /// The repository.
    Repository,
    /// The cache of this host; what it lacks is stored full.
    Cache,
}

/// How a run comes to old bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldBytes {
    pub from: OldBytesFrom,
    /// Bytes of them in the cache at most.
    pub cached_bytes_max: u64,
}

impl OldBytes {
    /// The smallest bound on the cache that is of use, bytes.
    pub const CACHED_BYTES_MIN: u64 = 16 << 20;
}

impl Default for OldBytes {
    fn default() -> Self {
        Self { from: OldBytesFrom::Auto, cached_bytes_max: 2 << 30 }
    }
}

struct Table {
    index: Index,
    /// Bytes that the cache may have: the bound, or what the disk has room for.
    bytes_max: u64,
}

/// The old bytes in this host's cache; callable from several threads.
pub(in crate::repo) struct CachedBases<'r> {
    repo: &'r Repository,
    /// Without one nothing is had and nothing kept.
    cache: Option<&'r Cache>,
    bytes_max: u64,
    table: OnceLock<Table>,
    /// Bytes that may be added before something must go.
    room: AtomicU64,
}

impl<'r> CachedBases<'r> {
    /// None if old bytes come from the repository. Nothing is read before it is needed.
    pub(in crate::repo) fn new(repo: &'r Repository, old_bytes: OldBytes) -> Option<Self> {
        let is_wanted = match old_bytes.from {
            OldBytesFrom::Auto => !repo.store().is_local(),
            OldBytesFrom::Repository => false,
            OldBytesFrom::Cache => true,
        };
        is_wanted.then(|| Self {
            repo,
            cache: repo.cache.as_ref(),
            bytes_max: old_bytes.cached_bytes_max,
            table: OnceLock::new(),
            room: AtomicU64::new(0),
        })
    }

    /// True if the chunk was here when it was first asked for one.
    pub(in crate::repo) fn contains(&self, id: &ChunkId) -> bool {
        self.index().contains(id, &|_| true)
    }

    /// Where a chunk stands in the cache.
    pub(super) fn place(&self, id: &ChunkId) -> Option<Place> {
        self.index().find(id).into_iter().next()
    }

    /// Reads, opens and expands the frame at a place of the cache. Its chunks are still to be named.
    pub(super) fn open_frame(&self, place: &Place) -> Option<Vec<u8>> {
        let cache = self.cache?;
        let pack = self.index().pack(place.pack);
        let name = pack.id.to_string();
        let (position, len) = (u64::from(place.frame.position), place.frame.sealed_len as usize);
        let sealed = cache.get_range(Shelf::Bases, &name, position, len)?;
        let opened = pack::open_frame(self.repo.keyring(), &pack, &place.frame, &sealed, None);
        if opened.is_ok() {
            cache.touch(Shelf::Bases, &name);
        } else {
            // What else stands in it is put into another one.
            cache.remove(Shelf::Bases, &name);
        }
        opened.ok()
    }

    /// True if something may be added without anything having to go.
    pub(in crate::repo) fn has_room(&self) -> bool {
        let pack_len = self.pack_len();
        self.room.load(Ordering::Relaxed) >= 2 * pack_len
    }

    /// Keeps frames until their queue ends, or what may be kept in one run is reached. What goes wrong is
    /// noted in the cache, and ends it early.
    pub(in crate::repo) fn keep(&self, entropy: &Entropy, frames: &Receiver<NewFrame>) {
        let Some(cache) = self.cache else { return };
        // Nothing is looked at before there is something to keep.
        let Ok(first) = frames.recv() else { return };
        let lens = (self.table().bytes_max, self.pack_len());
        let mut keeper = Keeper::new(self.repo, cache, lens, entropy);
        let kept = std::iter::once(first).chain(frames).try_for_each(|frame| {
            let added = keeper.add(frame)?;
            self.spend(added);
            Ok(())
        });
        if let Err(error) = kept.and_then(|()| keeper.finish()) {
            cache.note("keeping old bytes in", error);
        }
    }

    fn spend(&self, bytes: u64) {
        let less = |room: u64| Some(room.saturating_sub(bytes));
        let _ = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Bytes of a new file of the cache, about: what is evicted at once.
    fn pack_len(&self) -> u64 {
        (self.table().bytes_max / 256).clamp(1 << 20, 32 << 20)
    }

    fn index(&self) -> &Index {
        &self.table().index
    }

    fn table(&self) -> &Table {
        self.table.get_or_init(|| self.load())
    }

    /// The chunks of all sound files; the others are removed.
    fn load(&self) -> Table {
        let folder = self.cache.map(Cache::folder);
        let mut index = Index::empty(folder).spilling_after(TABLE_ENTRY_COUNT);
        let Some(cache) = self.cache else { return Table { index, bytes_max: 0 } };
        let bytes_max = self.bytes_max.min(bytes_possible(cache));
        cache.trim(Shelf::Bases, bytes_max, FILE_COUNT_MAX);
        let mut room = bytes_max;
        for name in cache.names(Shelf::Bases) {
            match self.load_pack(cache, &name) {
                Ok(info) => {
                    room = room.saturating_sub(info.pack_len);
                    index.add(&info);
                }
                Err(_) => cache.remove(Shelf::Bases, &name),
            }
        }
        self.room.store(room, Ordering::Relaxed);
        Table { index, bytes_max }
    }

    fn load_pack(&self, cache: &Cache, name: &str) -> Result<PackInfo> {
        let gone = || Error::new(Kind::NotFound, "not in the cache");
        let id = name.parse().map_err(|()| gone())?;
        let len = cache.len(Shelf::Bases, name).ok_or_else(gone)?;
        let read = |offset, len| cache.get_range(Shelf::Bases, name, offset, len).ok_or_else(gone);
        let info = pack::read_footer(self.repo.keyring(), id, len, &read)?;
        let footer = &info.footer;
        let is_sound = (footer.class, footer.purpose) == (Class::Ordinary, Purpose::Data)
            && footer.frames.iter().all(|frame| frame.kind == FrameKind::Full);
        if is_sound { Ok(info) } else { Err(Error::new(Kind::Corrupt, "no pack of old bytes")) }
    }
}

/// Bytes that the cache can have so that others find room on its disk still. What cannot be told is no bound.
fn bytes_possible(cache: &Cache) -> u64 {
    let Some(room) = cache.room() else { return u64::MAX };
    let lens = cache.names(Shelf::Bases).into_iter();
    let used: u64 = lens.filter_map(|name| cache.len(Shelf::Bases, &name)).sum();
    let possible = u64::try_from((i128::from(used) + room).max(0)).unwrap_or(u64::MAX);
    if possible < OldBytes::CACHED_BYTES_MIN {
        cache.note("keeping old bytes in", "its disk is full but for a reserve");
    }
    possible
}
