//! The databases that a snapshot holds, to restore one of them by itself.

use super::sources::{readable, sealed_away};
use crate::error::{Error, Kind, Result};
use crate::model::{Entry, Snapshot, Source};
use crate::observe::Observer;
use crate::repo::{Repository, sources_of};

/// Databases that a search names at most.
const NAMED_COUNT_MAX: usize = 10;

/// A database in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDatabase {
    /// The name of the first source that has it.
    pub source: String,
    pub path: Vec<u8>,
}

/// What a part of a snapshot has of databases.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabaseSearch {
    /// The first ten, in the order of their paths.
    pub databases: Vec<StoredDatabase>,
    pub has_more: bool,
    /// There is something at the path that was looked at, whatever it is.
    pub has_path: bool,
}

/// Looks for the database at `path`, and for those below it, in the sources of `snapshot` or in the
/// one that `only` names; an empty path is everything. Notes which sources cannot be looked through.
///
/// # Errors
/// `NotFound` if there is no source `only`; `Refused` if there is no database and the key in use may
/// not read all sources; `Interrupted`; those of reading the manifests.
pub fn find_databases(
    repo: &Repository,
    snapshot: &Snapshot,
    only: Option<&str>,
    path: &[u8],
    observer: &dyn Observer,
) -> Result<DatabaseSearch> {
    let (held, sealed) = readable(repo, sources_of(snapshot, only)?, observer);
    let sources: Vec<&Source> = held.iter().map(|held| held.source).collect();
    let mut search = DatabaseSearch::default();
    repo.reader(observer)?.entries(&sources, path, &mut |source, entry| {
        if observer.is_interrupted() {
            return Err(Error::new(Kind::Interrupted, "interrupted"));
        }
        Ok(search.add(source, &entry, path))
    })?;
    if search.databases.is_empty() && !search.has_path && sealed > 0 {
        return Err(sealed_away());
    }
    Ok(search)
}

impl DatabaseSearch {
    /// Takes an entry at or below `path`; false once nothing more is to be known.
    fn add(&mut self, source: &Source, entry: &Entry, path: &[u8]) -> bool {
        self.has_path = !path.is_empty();
        if entry.database {
            if self.databases.len() == NAMED_COUNT_MAX {
                self.has_more = true;
                return false;
            }
            let (source, path) = (source.name.clone(), entry.path.as_bytes().to_vec());
            self.databases.push(StoredDatabase { source, path });
        }
        entry.is_directory() || entry.path.as_bytes() != path
    }
}
