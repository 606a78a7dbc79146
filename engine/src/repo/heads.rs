//! What lists and rules need of snapshots, without their bodies: a long run looks at thousands of them again
//! and again.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Repository, is_ahead};
use crate::error::Result;
use crate::fence::{View, newest_of_each_run};
use crate::model::{
    Forget, Snapshot, SnapshotId, SnapshotRef, SnapshotState, Source, SourceStatus,
};
use crate::observe::{Event, Observer};

/// Forgets kept in memory at most: 10 MB.
const FORGETS_MAX: usize = 65_536;

/// A snapshot without its sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    pub state: SnapshotState,
    pub host: String,
    pub job: String,
    pub tags: Vec<String>,
    /// Nanoseconds since 1970-01-01T00:00:00 UTC.
    pub started_ns: i64,
    /// Marks of the sources that are complete, ascending.
    complete: Vec<u64>,
    /// Marks of what a watch was told that made it, ascending; none if it was made otherwise.
    watched: Vec<u64>,
}

impl Head {
    fn new(snapshot: &Snapshot) -> Self {
        let complete = snapshot.sources.iter().filter(|it| it.status == SourceStatus::Complete);
        let mut complete: Vec<u64> = complete.map(|it| mark(&it.kind, &it.name)).collect();
        complete.sort_unstable();
        Self {
            seq: snapshot.seq,
            state: snapshot.state,
            host: snapshot.host.clone(),
            job: snapshot.job.clone(),
            tags: snapshot.tags.clone(),
            started_ns: snapshot.started_ns,
            complete,
            watched: watched(snapshot),
        }
    }

    /// True if a watch made it, and found all that is in it by what is `asked` here too.
    #[must_use]
    pub fn is_watched(&self, asked: &BTreeSet<String>) -> bool {
        let asked: Vec<u64> = asked.iter().map(|it| mark(Source::WATCHED, it)).collect();
        !self.watched.is_empty() && self.watched.iter().all(|it| asked.contains(it))
    }

    fn has(&self, source: u64) -> bool {
        self.complete.binary_search(&source).is_ok()
    }
}

/// By what a watch found the databases that are all the sources of a snapshot.
fn watched(snapshot: &Snapshot) -> Vec<u64> {
    let found_by = |source: &Source| {
        let fact = source.facts.get(Source::WATCHED).filter(|_| source.kind == "sqlite")?;
        Some(mark(Source::WATCHED, fact))
    };
    let all: Option<BTreeSet<u64>> = snapshot.sources.iter().map(found_by).collect();
    all.map(|all| all.into_iter().collect()).unwrap_or_default()
}

/// Stands for a source in memory, 64 bits: no host has names enough for two of one mark.
fn mark(kind: &str, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind, name).hash(&mut hasher);
    hasher.finish()
}

/// Heads of snapshots that were loaded: objects never change.
#[derive(Default)]
pub(super) struct Heads(Mutex<HashMap<SnapshotRef, Arc<Head>>>);

impl Heads {
    fn get(&self, object: &SnapshotRef) -> Option<Arc<Head>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(object).cloned()
    }

    fn replace(&self, heads: HashMap<SnapshotRef, Arc<Head>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = heads;
    }
}

/// Forgets that were loaded: objects never change.
#[derive(Default)]
pub(super) struct Forgets(Mutex<HashMap<(SnapshotId, u64), Forget>>);

impl Forgets {
    pub(super) fn get(&self, name: &(SnapshotId, u64)) -> Option<Forget> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(super) fn insert(&self, name: (SnapshotId, u64), forget: &Forget) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= FORGETS_MAX {
            known.clear();
        }
        known.insert(name, forget.clone());
    }
}

impl Repository {
    /// The heads of the valid snapshots under `view`, checkpoints included, oldest first; those loaded before are
    /// not loaded again. A damaged one is told to `observer` and left out.
    ///
    /// # Errors
    /// Those of the store.
    pub fn heads(
        &self,
        view: &View,
        observer: &dyn Observer,
    ) -> Result<Vec<(SnapshotRef, Arc<Head>)>> {
        let mut loaded: HashMap<SnapshotRef, Arc<Head>> = HashMap::new();
        for object in self.valid_objects(view)? {
            let head = match self.heads.get(&object) {
                Some(head) => head,
                None => match self.load_snapshot(&object) {
                    Ok(snapshot) => Arc::new(Head::new(&snapshot)),
                    Err(error) if error.kind().is_damage() => {
                        observer.event(Event::Finding(&error.to_string()));
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            loaded.insert(object, head);
        }
        let all = loaded.iter().map(|(object, head)| (*object, head.seq, Arc::clone(head)));
        let mut heads: Vec<_> = newest_of_each_run(all).into_values().collect();
        heads.sort_by_key(|(object, head)| (head.started_ns, object.sid));
        self.heads.replace(loaded);
        Ok(heads)
    }

    /// The valid snapshots of `host` and `job` that `sources`, each a kind and a name, are compared with, oldest first: for
    /// each back to the newest that has it complete and is no checkpoint.
    ///
    /// # Errors
    /// As [`Repository::heads`].
    pub fn recent_snapshots(
        &self,
        view: &View,
        (host, job): (&str, &str),
        sources: &[(&str, &str)],
        observer: &dyn Observer,
    ) -> Result<Vec<(SnapshotRef, Snapshot)>> {
        let mut wanted: Vec<u64> = sources.iter().map(|(kind, name)| mark(kind, name)).collect();
        let mut recent = Vec::new();
        // What is later than it is now comes last: by a wrong clock it would be the newest for years.
        let now_ns = self.clock().now_ns();
        let mut heads = self.heads(view, observer)?;
        heads.sort_by_key(|(_, head)| !is_ahead(head.started_ns, now_ns));
        for (object, head) in heads.into_iter().rev() {
            let has_any = head.host == host
                && head.job == job
                && wanted.iter().any(|source| head.has(*source));
            if !has_any {
                continue;
            }
            match self.load_snapshot(&object) {
                Ok(snapshot) => recent.push((object, snapshot)),
                Err(error) if error.kind().is_damage() => {
                    observer.event(Event::Finding(&error.to_string()));
                    continue;
                }
                Err(error) => return Err(error),
            }
            if head.state != SnapshotState::Incomplete {
                wanted.retain(|source| !head.has(*source));
            }
        }
        recent.reverse();
        Ok(recent)
    }
}
