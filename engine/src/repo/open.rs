//! Opening a repository, and remembering how far it had come.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Repository, keys};
use crate::cache::{Cache, StateDir};
use crate::crypto::{Author, Credential, object_hash};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::{
    Clock, Entropy, HashedNumber, MemoryBound, ObjectHash, RepositoryId, SnapshotRef,
};
use crate::observe::{Event, Observer};
use crate::store::Store;

/// The state file of the signing key: host id and secret seed.
const AUTHOR: &str = "author";
/// The state file of what was seen last.
const SEEN: &str = "seen";
/// The state file of a hold: a generation, and until when.
const HELD: &str = "held";
/// What was seen is read, changed and written by one thread at a time.
static SEEING: Mutex<()> = Mutex::new(());

/// How a repository is opened.
pub struct OpenOptions {
    /// Tried in order.
    pub credentials: Vec<Credential>,
    /// Where caches live; none works without.
    pub cache_dir: Option<PathBuf>,
    /// Where the state of this host lives.
    pub state_dir: PathBuf,
    pub entropy: Entropy,
    pub clock: Clock,
    pub memory: MemoryBound,
}

/// What this host saw last of a repository.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Seen {
    ring: Option<HashedNumber>,
    generation: Option<HashedNumber>,
    snapshot: Option<SnapshotRef>,
}

impl OpenOptions {
    /// This host's signing key for `repository`; made if there is none yet.
    pub(super) fn author(&self, state: &StateDir) -> Result<Author> {
        if let Some(bytes) = state.get(AUTHOR)? {
            let known = <[u8; 48]>::try_from(bytes.as_slice()).ok();
            return known.map(|bytes| Author::from_bytes(&bytes)).ok_or_else(|| {
                let path = state.folder().join(AUTHOR);
                let what =
                    format!("{} is not a signing key: remove it to make a new one", path.display());
                Error::new(Kind::Corrupt, what)
            });
        }
        let author = Author::generate(&self.entropy);
        state.put(AUTHOR, author.to_bytes().as_ref())?;
        Ok(author)
    }
}

impl Repository {
    /// Opens the repository in `store`.
    ///
    /// # Errors
    /// `NotFound` without a repository, `WrongKey` when no slot opens, `RolledBack` when it is older
    /// than what this host has seen, `Unsupported` for features this program does not know.
    pub fn open(
        store: Arc<dyn Store>,
        options: OpenOptions,
        observer: &dyn Observer,
    ) -> Result<Self> {
        let mut id = clear_id(store.as_ref())?;
        let (mut state, mut seen, mut unlocked) = unlock(store.as_ref(), &options, id)?;
        if unlocked.keyring.repository() != id {
            // The config's clear head is damaged: its copy was opened, under another id.
            id = unlocked.keyring.repository();
            (state, seen, unlocked) = unlock(store.as_ref(), &options, id)?;
        }
        let author = options.author(&state)?;
        let cache = options.cache_dir.as_ref().and_then(|dir| {
            let told = |error: Error| observer.event(Event::Note(&format!("no cache: {error}")));
            Cache::open(dir, id).map_err(told).ok()
        });
        let folders =
            options.cache_dir.iter().cloned().chain([options.state_dir.clone()]).collect();
        let repo = Self {
            store,
            unlocked,
            entropy: options.entropy,
            clock: options.clock,
            memory: options.memory,
            author,
            cache,
            state,
            folders,
            heads: super::heads::Heads::default(),
            forgets: super::heads::Forgets::default(),
        };
        repo.refuse_rollback(&seen)?;
        Ok(repo)
    }

    /// Refuses a repository that is older than what this host saw.
    fn refuse_rollback(&self, seen: &Seen) -> Result<()> {
        let older = |what: String| {
            let error = Error::new(
                Kind::RolledBack,
                format!("the repository is older than this host has seen: {what}"),
            );
            Err(way_out(error, &self.state))
        };
        if let Some(seen) = seen.generation.filter(|seen| seen.number > 0) {
            let name = format!("gen/{}", seen.number);
            match self.store.get(&name, limits::GENERATION_LEN_MAX) {
                Ok(bytes) if object_hash(&bytes) == seen.hash.0 => {}
                Ok(_) => return older(format!("{name} is another than it was")),
                Err(error) if error.kind() == Kind::NotFound => {
                    return older(format!("{name} is gone"));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(object) = seen.snapshot
            && self.store.len(&super::snapshots::snapshot_name(&object))?.is_none()
            && !self.forgotten(&|sid| *sid == object.sid)?.contains(&object)
            && self.view()?.highest() == object.generation
        {
            return older(format!("its own snapshot {} is gone and was not forgotten", object.sid));
        }
        Ok(())
    }

    /// Remembers that `object` was acknowledged, and the highest generation it saw.
    ///
    /// # Errors
    /// Those of the state folder.
    pub fn remember(&self, object: &SnapshotRef, head: HashedNumber) -> Result<()> {
        let _one = SEEING.lock().unwrap_or_else(PoisonError::into_inner);
        let known = load_seen(&self.state)?;
        let generation = known.generation.filter(|seen| seen.number > head.number);
        // Another process may have opened it since.
        let ring = known.ring.filter(|seen| seen.number > self.ring().number);
        let seen = Seen {
            ring: Some(ring.unwrap_or(self.ring())),
            generation: Some(generation.unwrap_or(head)),
            snapshot: Some(*object),
        };
        self.state.put(SEEN, encode_seen(&seen).as_bytes())
    }

    /// Remembers the highest generation, after this host has made it.
    ///
    /// # Errors
    /// Those of the state folder.
    pub fn remember_generation(&self, head: HashedNumber) -> Result<()> {
        let _one = SEEING.lock().unwrap_or_else(PoisonError::into_inner);
        let known = load_seen(&self.state)?;
        let later = known.generation.filter(|seen| seen.number > head.number);
        let seen = Seen { generation: Some(later.unwrap_or(head)), ..known };
        self.state.put(SEEN, encode_seen(&seen).as_bytes())
    }

    /// Until when what a generation gave up is held, as this host was told; nanoseconds since
    /// 1970-01-01T00:00:00 UTC.
    ///
    /// # Errors
    /// Those of the state folder.
    pub fn held_until(&self, generation: u64) -> Result<Option<i64>> {
        let Some(bytes) = self.state.get(HELD)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let held = text.trim_end().split_once(' ').and_then(|(number, until)| {
            Some((number.parse::<u64>().ok()?, until.parse::<i64>().ok()?))
        });
        Ok(held.filter(|(number, _)| *number == generation).map(|(_, until)| until))
    }

    /// Remembers until when what a generation gave up is held.
    ///
    /// # Errors
    /// Those of the state folder.
    pub fn remember_hold(&self, generation: u64, until_ns: i64) -> Result<()> {
        self.state.put(HELD, format!("{generation} {until_ns}\n").as_bytes())
    }

    /// Remembers the ring, after it has changed.
    pub(super) fn remember_ring(&self) -> Result<()> {
        let seen = Seen { ring: Some(self.ring()), ..load_seen(&self.state)? };
        self.state.put(SEEN, encode_seen(&seen).as_bytes())
    }
}

/// Opens the state of `id` and unlocks the repository by what it remembers.
fn unlock(
    store: &dyn Store,
    options: &OpenOptions,
    id: RepositoryId,
) -> Result<(StateDir, Seen, keys::Unlocked)> {
    let state = StateDir::open(&options.state_dir, id)?;
    let seen = load_seen(&state)?;
    match keys::unlock(store, &options.credentials, seen.ring) {
        Ok(unlocked) => Ok((state, seen, unlocked)),
        Err(error) if error.kind() == Kind::RolledBack => Err(way_out(error, &state)),
        Err(error) => Err(error),
    }
}

fn way_out(error: Error, state: &StateDir) -> Error {
    let path = state.folder().join(SEEN);
    let what = format!(
        "{error}; if you put an older copy of the repository back yourself, remove {} and go on",
        path.display()
    );
    Error::new(Kind::RolledBack, what)
}

fn load_seen(state: &StateDir) -> Result<Seen> {
    let Some(bytes) = state.get(SEEN)? else { return Ok(Seen::default()) };
    let text = String::from_utf8_lossy(&bytes);
    decode_seen(&text).ok_or_else(|| {
        let path = state.folder().join(SEEN);
        let what = format!(
            "{} is damaged: remove it to go on without memory of the repository",
            path.display()
        );
        Error::new(Kind::Corrupt, what)
    })
}

/// One line each: `ring <number> <hash>`, `generation <number> <hash>`, `snapshot <generation> <sid> <hash>`.
fn encode_seen(seen: &Seen) -> String {
    let numbered = |word: &str, it: Option<HashedNumber>| {
        it.map(|it| format!("{word} {} {}\n", it.number, it.hash)).unwrap_or_default()
    };
    let snapshot =
        seen.snapshot.map(|it| format!("snapshot {} {} {}\n", it.generation, it.sid, it.hash));
    numbered("ring", seen.ring)
        + &numbered("generation", seen.generation)
        + &snapshot.unwrap_or_default()
}

fn decode_seen(text: &str) -> Option<Seen> {
    let mut seen = Seen::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let numbered = |number: &str, hash: &str| {
            Some(HashedNumber {
                number: number.parse().ok()?,
                hash: hash.parse::<ObjectHash>().ok()?,
            })
        };
        match words.as_slice() {
            ["ring", number, hash] => seen.ring = Some(numbered(number, hash)?),
            ["generation", number, hash] => seen.generation = Some(numbered(number, hash)?),
            ["snapshot", generation, sid, hash] => {
                seen.snapshot = Some(SnapshotRef {
                    generation: generation.parse().ok()?,
                    sid: sid.parse().ok()?,
                    hash: hash.parse().ok()?,
                });
            }
            _ => return None,
        }
    }
    Some(seen)
}

/// The repository's id from the clear head of its config; proven only when the config is opened.
fn clear_id(store: &dyn Store) -> Result<RepositoryId> {
    let mut damage = None;
    for name in ["config", "config.copy"] {
        match store.get_range(name, 16, RepositoryId::LEN) {
            Ok(bytes) => {
                if let Ok(id) = bytes.try_into() {
                    return Ok(RepositoryId(id));
                }
            }
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) if error.kind().is_damage() => damage = Some(error),
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = damage {
        return Err(error);
    }
    let what = format!("there is no repository in {}", store.location());
    Err(Error::new(Kind::NotFound, what))
}

/// Refuses what an object says a program must know for an act, since this one knows no feature.
pub(super) fn refuse_features(needed: u64, name: &str, act: &str) -> Result<()> {
    if needed == 0 {
        return Ok(());
    }
    let what = format!(
        "{name}: to {act} this repository a program must know feature {}: use a newer one",
        needed.trailing_zeros()
    );
    Err(Error::new(Kind::Unsupported, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SnapshotId;

    #[test]
    fn what_was_seen_survives_writing_and_reading() {
        let number = HashedNumber { number: 3, hash: ObjectHash([9; 32]) };
        let snapshot =
            SnapshotRef { generation: 1, sid: SnapshotId([1; 16]), hash: ObjectHash([2; 32]) };
        let seen = Seen { ring: Some(number), generation: None, snapshot: Some(snapshot) };
        assert_eq!(decode_seen(&encode_seen(&seen)), Some(seen));
        assert_eq!(decode_seen(""), Some(Seen::default()));
        assert_eq!(decode_seen("ring x"), None);
    }
}
