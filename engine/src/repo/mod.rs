//! An unlocked repository: typed load and save, reading and writing of chunks, choice of snapshots.

mod bases;
mod cut;
mod entries;
mod fencing;
mod generations;
mod heads;
mod init;
pub mod keys;
mod names;
mod open;
mod reader;
mod records;
mod select;
mod slots;
mod snapshots;
#[cfg(test)]
pub(crate) mod testing;
mod tuning;
mod usable;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

pub use bases::{OldBytes, OldBytesFrom, Older, OlderContent};
pub use cut::{cut, reader_count};
pub use fencing::forget_name;
pub use heads::Head;
pub use init::InitOptions;
pub use names::{is_object_name, pack_name, parse_pack_name};
pub use open::OpenOptions;
pub use reader::ChunkReader;
pub use select::{Filter, is_ahead, sources_of};
pub use slots::KeyInfo;
pub use snapshots::{parse_snapshot_name, snapshot_name};
pub use tuning::Tuning;
pub use usable::{Damage, Relied, Usable};
pub use writer::{ChunkWriter, Kept, Known, Writing, Written, write};

use crate::cache::{Cache, StateDir};
use crate::chunk::standard_profiles;
use crate::crypto::{Author, Keyring};
use crate::error::{Error, Kind, Result};
use crate::index::Index;
use crate::model::{
    Clock, ConfigBody, Entropy, MemoryBound, PackInfo, Profile, RepositoryId, SegmentId,
};
use crate::observe::{Event, Observer};
use crate::store::Store;

/// How often segments are listed again because some vanished.
const LISTINGS_MAX: u64 = 3;

/// A repository that one credential has unlocked.
pub struct Repository {
    store: Arc<dyn Store>,
    unlocked: keys::Unlocked,
    entropy: Entropy,
    clock: Clock,
    memory: MemoryBound,
    author: Author,
    cache: Option<Cache>,
    state: StateDir,
    folders: Vec<PathBuf>,
    heads: heads::Heads,
    forgets: heads::Forgets,
}

impl Repository {
    /// The store the repository lives in.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The repository's random name.
    #[must_use]
    pub fn id(&self) -> RepositoryId {
        self.keyring().repository()
    }

    /// The keys.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.unlocked.keyring
    }

    /// What the credential opened: slot, ring and config.
    #[must_use]
    pub fn unlocked(&self) -> &keys::Unlocked {
        &self.unlocked
    }

    /// The sealed settings.
    #[must_use]
    pub fn config(&self) -> &ConfigBody {
        &self.unlocked.config
    }

    /// Where randomness comes from.
    #[must_use]
    pub fn entropy(&self) -> &Entropy {
        &self.entropy
    }

    /// Where time comes from.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The bound on memory.
    #[must_use]
    pub fn memory(&self) -> MemoryBound {
        self.memory
    }

    /// This host, as it signs.
    #[must_use]
    pub fn author(&self) -> &Author {
        &self.author
    }

    /// Folders of this machine that belong to the repository: a backup leaves them out.
    #[must_use]
    pub fn own_folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Where nameless files of a run go; without a cache the system's temporary folder does.
    #[must_use]
    pub fn cache_folder(&self) -> Option<PathBuf> {
        self.cache.as_ref().map(|cache| cache.folder().to_owned())
    }

    /// The profile called `name`, or the built-in one when an older config lacks it.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<Profile> {
        let configured = self.config().profiles.iter().find(|profile| profile.name == name);
        configured.cloned().or_else(|| standard_profiles().into_iter().find(|p| p.name == name))
    }

    /// Prepares for writing: refuses a repository that needs more of a writer than this program
    /// knows, and completes the second copies of config and ring, which a crash may have left out.
    ///
    /// # Errors
    /// `Unsupported` for unknown features, `NewRing` if the keys were changed since it was opened: what a removed key was
    /// given must seal nothing new; and those of the store.
    pub fn begin_writing(&self) -> Result<()> {
        self.refuse_unknown_features()?;
        if keys::is_superseded(self.store.as_ref(), &self.unlocked)? {
            let what = "the repository's keys were changed since it was opened: run this again";
            return Err(Error::new(Kind::NewRing, what));
        }
        keys::complete_copies(self.store.as_ref(), &self.unlocked)
    }

    /// Refuses to write when the config needs a feature this program does not know.
    fn refuse_unknown_features(&self) -> Result<()> {
        open::refuse_features(self.unlocked.head.features.write, "config", "write")
    }

    /// Loads the index: every segment the store lists, through the local cache.
    ///
    /// # Errors
    /// `Corrupt` for a damaged segment, `Unavailable` when the store does not answer.
    pub fn load_index(&self, observer: &dyn Observer) -> Result<Index> {
        // A prune merges segments beside a command: what vanished since the listing stands in another by now.
        for _ in 0..LISTINGS_MAX {
            let segments = self.segments()?;
            match self.load_index_of(&segments, &|id| self.is_absent(id), observer) {
                Err(error) if error.kind() == Kind::Conflict && self.segments()? != segments => {}
                outcome => return outcome,
            }
        }
        self.load_index_of(&self.segments()?, &|_| Ok(false), observer)
    }

    fn is_absent(&self, id: SegmentId) -> Result<bool> {
        Ok(self.store.len(&format!("index/{id}"))?.is_none())
    }

    /// Makes the index that `segments`, ascending, tell of from nothing but them. A damaged one is told to `observer`
    /// and passed over.
    ///
    /// # Errors
    /// `Unavailable` if one has vanished since it was listed; those of the store.
    pub fn rebuild_index(
        &self,
        segments: &[(SegmentId, u64)],
        observer: &dyn Observer,
    ) -> Result<Index> {
        let load = |id| match self.load_segment(id) {
            Ok(packs) => Ok(Some(packs)),
            Err(error) if error.kind() == Kind::NotFound => {
                Err(Error::new(Kind::Unavailable, error.to_string()))
            }
            Err(error) if error.kind().is_damage() => {
                observer.event(Event::Finding(&error.to_string()));
                Ok(None)
            }
            Err(error) => Err(error),
        };
        Index::rebuild(self.cache_folder().as_deref(), segments, &load)
    }

    /// The index segments in the store, each with its length in bytes, ascending.
    ///
    /// # Errors
    /// Those of the store.
    pub fn segments(&self) -> Result<Vec<(SegmentId, u64)>> {
        let mut segments: Vec<(SegmentId, u64)> = Vec::new();
        self.store.list("index/", &mut |name, len| {
            if let Some(id) = name.strip_prefix("index/").and_then(|hash| hash.parse().ok()) {
                segments.push((id, len));
            }
            Ok(())
        })?;
        segments.sort_unstable();
        Ok(segments)
    }

    /// Loads the index that `segments`, ascending, tell of; `Conflict` if `is_gone` says so of one that cannot be loaded.
    fn load_index_of(
        &self,
        segments: &[(SegmentId, u64)],
        is_gone: &dyn Fn(SegmentId) -> Result<bool>,
        observer: &dyn Observer,
    ) -> Result<Index> {
        let load = |id| match self.load_segment(id) {
            Ok(packs) => Ok(Some(packs)),
            Err(error) if error.kind() == Kind::NotFound && is_gone(id)? => {
                Err(Error::new(Kind::Conflict, error.to_string()))
            }
            // What the segment told of is stored again by the next backup; what needs it fails by name.
            Err(error) if error.kind().is_damage() => {
                observer.event(Event::Finding(&error.to_string()));
                Ok(None)
            }
            Err(error) => Err(error),
        };
        let index = Index::open(self.cache.as_ref(), segments, &load)?;
        self.tell_cache_notes(observer);
        Ok(index)
    }

    /// Tells what could not be done in the cache since it was last told.
    pub fn tell_cache_notes(&self, observer: &dyn Observer) {
        for note in self.cache.iter().flat_map(Cache::take_notes) {
            observer.event(Event::Note(&note));
        }
    }

    /// Loads one index segment.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unavailable`, each naming the segment.
    pub fn load_segment(&self, id: SegmentId) -> Result<Vec<PackInfo>> {
        records::load_segment(self, id)
    }

    /// Creates an index segment that tells of `packs`.
    ///
    /// # Errors
    /// Those of the store.
    pub fn save_segment(&self, packs: &[PackInfo]) -> Result<SegmentId> {
        records::save_segment(self, &self.entropy, packs)
    }
}
