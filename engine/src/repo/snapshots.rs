//! Putting, loading and listing snapshots.

use std::collections::{BTreeSet, HashSet};

use super::{Repository, generations::parse_number, records};
use crate::crypto::{Place, object_hash};
use crate::error::{Error, Kind, Result};
use crate::fence::{Forgotten, View, newest_of_each_run};
use crate::format;
use crate::limits;
use crate::model::{ObjectHash, ObjectKind, Snapshot, SnapshotId, SnapshotRef, SnapshotState};
use crate::observe::{Event, Observer};

/// The name of a snapshot object in the store.
#[must_use]
pub fn snapshot_name(object: &SnapshotRef) -> String {
    format!("snapshots/{}/{}-{}", object.generation, object.sid, object.hash)
}

impl Repository {
    /// Seals and puts a snapshot in its generation.
    ///
    /// # Errors
    /// `Input` if it is longer than a reader takes; those of the store. Nothing is listed then.
    pub fn put_snapshot(&self, snapshot: &Snapshot) -> Result<SnapshotRef> {
        let cbor = format::snapshot::encode(snapshot)?;
        let place = Place::snapshot(snapshot.generation, &snapshot.sid);
        let keyring = self.keyring();
        let kind = ObjectKind::Snapshot;
        let bytes = keyring.seal_signed(&self.entropy, &self.author, kind, &place, &cbor)?;
        if bytes.len() as u64 > limits::SNAPSHOT_LEN_MAX {
            let what = format!(
                "the snapshot itself has {} bytes, more than {}: name fewer sources in one backup",
                bytes.len(),
                limits::SNAPSHOT_LEN_MAX
            );
            return Err(Error::new(Kind::Input, what));
        }
        if keyring.open_signed(kind, &place, &bytes)?.cbor != cbor {
            return Err(records::memory_fault("snapshot"));
        }
        let hash = ObjectHash(object_hash(&bytes));
        let object = SnapshotRef { generation: snapshot.generation, sid: snapshot.sid, hash };
        records::put_new(self, &snapshot_name(&object), &bytes)?;
        Ok(object)
    }

    /// Loads one snapshot object.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unavailable`, each naming the object.
    pub fn load_snapshot(&self, object: &SnapshotRef) -> Result<Snapshot> {
        let name = snapshot_name(object);
        let load = || -> Result<Snapshot> {
            let bytes = self.store.get(&name, limits::SNAPSHOT_LEN_MAX)?;
            if object_hash(&bytes) != object.hash.0 {
                return Err(Error::new(Kind::Corrupt, "its bytes do not hash to its name"));
            }
            let place = Place::snapshot(object.generation, &object.sid);
            let decode = |cbor: &[u8]| Ok(format::snapshot::decode(cbor)?);
            let author = |snapshot: &Snapshot| snapshot.author;
            let kind = ObjectKind::Snapshot;
            let snapshot = self.open_by_author((kind, &place), &bytes, decode, author)?;
            if snapshot.sid != object.sid || snapshot.generation != object.generation {
                return Err(Error::new(Kind::Corrupt, "its body names another snapshot"));
            }
            Ok(snapshot)
        };
        load().map_err(|error| error.context(name.as_str()))
    }

    /// The valid snapshots, oldest first. A damaged one is told to `observer` and left out.
    ///
    /// # Errors
    /// Those of the store, and of the generations.
    pub fn snapshots(
        &self,
        with_checkpoints: bool,
        observer: &dyn Observer,
    ) -> Result<Vec<(SnapshotRef, Snapshot)>> {
        let view = self.view()?;
        let mut found = self.valid_snapshots(&view, observer)?;
        found.retain(|(_, snapshot)| {
            with_checkpoints || snapshot.state != SnapshotState::Incomplete
        });
        Ok(found)
    }

    /// The valid snapshots under `view`, checkpoints included, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn valid_snapshots(
        &self,
        view: &View,
        observer: &dyn Observer,
    ) -> Result<Vec<(SnapshotRef, Snapshot)>> {
        let mut failed = None;
        // One after the other: a long run leaves many checkpoints.
        let load = |object| match self.load_snapshot(&object) {
            Ok(snapshot) => Some(Some((object, snapshot.seq, snapshot))),
            Err(error) if error.kind().is_damage() => {
                observer.event(Event::Finding(&error.to_string()));
                Some(None)
            }
            Err(error) => {
                failed = Some(error);
                None
            }
        };
        let loaded = self.valid_objects(view)?.into_iter().map_while(load).flatten();
        let mut found: Vec<_> = newest_of_each_run(loaded).into_values().collect();
        if let Some(error) = failed {
            return Err(error);
        }
        found.sort_by_key(|(object, snapshot)| (snapshot.started_ns, object.sid));
        Ok(found)
    }

    /// The valid snapshot objects under `view`, several of one run included.
    ///
    /// # Errors
    /// Those of the store.
    pub fn valid_objects(&self, view: &View) -> Result<BTreeSet<SnapshotRef>> {
        let mut listed = Vec::new();
        for generation in view.folders() {
            let prefix = format!("snapshots/{generation}/");
            self.store.list(&prefix, &mut |name, _| {
                listed.extend(parse_snapshot_name(name));
                Ok(())
            })?;
        }
        let valid = view.valid(&listed, &Forgotten::default());
        let sids: HashSet<SnapshotId> = valid.iter().map(|object| object.sid).collect();
        let forgotten = self.forgotten(&|sid| sids.contains(sid))?;
        Ok(valid.into_iter().filter(|object| !forgotten.contains(object)).collect())
    }
}

/// Reads a snapshot object's name.
#[must_use]
pub fn parse_snapshot_name(name: &str) -> Option<SnapshotRef> {
    let (generation, rest) = name.strip_prefix("snapshots/")?.split_once('/')?;
    let (sid, hash) = rest.split_once('-')?;
    Some(SnapshotRef {
        generation: parse_number(generation)?,
        sid: sid.parse().ok()?,
        hash: hash.parse().ok()?,
    })
}
