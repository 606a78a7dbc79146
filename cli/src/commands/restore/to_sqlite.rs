//! One database of a snapshot to one file.

use std::ffi::OsStr;
use std::fs::symlink_metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use coffer_engine::error::{Error, Kind};
use coffer_engine::model::Snapshot;
use coffer_engine::observe::{Event, Observer};
use coffer_engine::repo::Repository;
use coffer_engine::restore::{DatabaseSearch, RestoreSummary, StoredDatabase, find_databases};
use coffer_engine::source::sqlite::files_of;

use super::super::{Context, ls, unusable};
use crate::exit::{Code, Failure, Result};
use crate::output::{escape, json};
use crate::settings::absolute;

/// Where the database goes.
pub struct Place {
    pub folder: PathBuf,
    pub name: Vec<u8>,
    /// A file is there already.
    pub is_taken: bool,
    /// What SQLite left there of a database that is gone, if it is not empty.
    pub remains: Vec<PathBuf>,
}

impl Place {
    /// The place that `file` names.
    ///
    /// # Errors
    /// A usage failure if nothing but a file could be there, or something else is.
    pub fn new(file: &Path) -> Result<Self> {
        let path = absolute(file)?;
        let names = path.parent().zip(path.file_name());
        let Some((folder, name)) = names.filter(|_| !path.as_os_str().as_bytes().ends_with(b"/"))
        else {
            return Err(no_file(&path, "a folder"));
        };
        let is_taken = match symlink_metadata(&path) {
            Ok(found) if found.is_file() => true,
            Ok(found) if found.is_dir() => return Err(no_file(&path, "a folder")),
            Ok(found) if found.is_symlink() => return Err(no_file(&path, "a symbolic link")),
            Ok(_) => return Err(no_file(&path, "no file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(unusable(&path, &error)),
        };
        let is_held = |path: &PathBuf| symlink_metadata(path).is_ok_and(|found| found.len() > 0);
        let sidecars = files_of(&path).into_iter().skip(1);
        let remains = sidecars.filter(|path| !is_taken && is_held(path)).collect();
        Ok(Self { folder: folder.to_owned(), name: name.as_bytes().to_vec(), is_taken, remains })
    }

    /// Fails if something there may hold the last commits of a database that is gone.
    ///
    /// # Errors
    /// `Refused`, with its name.
    pub fn refuse_remains(&self) -> Result<()> {
        let shown: Vec<_> =
            self.remains.iter().map(|path| escape::name(path.as_os_str().as_bytes())).collect();
        if shown.is_empty() {
            return Ok(());
        }
        let what = format!(
            "{} may hold commits of a database that was {}, and would be removed; nothing was done",
            shown.join(" and "),
            self.shown()
        );
        let hint = "move it away, give the database another name, or remove it with --force";
        Err(Failure::new(Code::Refused, what).hint(hint))
    }

    /// The path for people.
    pub fn shown(&self) -> String {
        let path = self.folder.join(OsStr::from_bytes(&self.name));
        escape::name(path.as_os_str().as_bytes())
    }
}

fn no_file(path: &Path, what: &str) -> Failure {
    let shown = escape::name(path.as_os_str().as_bytes());
    Failure::usage(format!("{shown} is {what}: a database is restored to a file of its own"))
        .hint("give --to-sqlite the path of a file; --target DIR restores into a folder")
}

/// The database at `path` of the snapshot, or of an empty path the only one that there is.
///
/// # Errors
/// A failure that names what there is instead.
pub fn choose(
    context: &Context,
    repository: &Repository,
    snapshot: &Snapshot,
    source: Option<&str>,
    path: &[u8],
) -> Result<StoredDatabase> {
    let watcher = context.watcher();
    let found = find_databases(repository, snapshot, source, path, &watcher);
    let found = found.map_err(|error| unsearched(error, path))?;
    let is_asked = |database: &StoredDatabase| path.is_empty() || database.path == path;
    match &found.databases[..] {
        [database] if is_asked(database) => {
            if path.is_empty() {
                let what = format!("the only SQLite database is {}", escape::path(&database.path));
                watcher.event(Event::Note(&what));
            }
            Ok(database.clone())
        }
        [] if path.is_empty() => Err(none(snapshot, source)),
        several if path.is_empty() => {
            let what = format!("{}: {}", count(&found), listed(several));
            Err(Failure::usage(what).hint("say which one as SNAP:PATH"))
        }
        _ if !found.has_path => Err(ls::not_there(snapshot, path)),
        below => Err(no_database(path, below)),
    }
}

/// Damage need not be on the way to the database.
fn unsearched(error: Error, path: &[u8]) -> Failure {
    let is_passable = error.kind().is_damage() && error.kind() != Kind::NotFound && path.is_empty();
    let failure = Failure::from(error);
    if is_passable {
        failure.hint("name the database as SNAP:PATH: what is damaged may be elsewhere")
    } else {
        failure
    }
}

fn none(snapshot: &Snapshot, source: Option<&str>) -> Failure {
    let id = snapshot.sid.to_string();
    let place = match source {
        Some(name) => format!("source {} of snapshot {}", escape::text(name), json::short(&id)),
        None => format!("snapshot {}", json::short(&id)),
    };
    Failure::new(Code::Failed, format!("{place} holds no SQLite database"))
        .hint("`coffer ls SNAP` lists what is in it; --target DIR restores any of that")
}

fn count(found: &DatabaseSearch) -> String {
    let number = found.databases.len();
    if found.has_more {
        format!("there are more than {number} SQLite databases, the first")
    } else {
        format!("there are {number} SQLite databases")
    }
}

fn no_database(path: &[u8], below: &[StoredDatabase]) -> Failure {
    let what = format!("{} is not stored as a SQLite database", escape::path(path));
    let failure = Failure::usage(what);
    if below.is_empty() {
        failure.hint("--target DIR restores files of any kind")
    } else {
        failure.hint(format!("name one of those in it: {}", listed(below)))
    }
}

fn listed(databases: &[StoredDatabase]) -> String {
    let paths: Vec<_> = databases.iter().map(|database| escape::path(&database.path)).collect();
    paths.join(", ")
}

/// What came of the one database.
///
/// # Errors
/// Fails with code 1 when it was not restored, 3 when SQLite finds it damaged, 4 when the repository
/// is damaged there or it reads back otherwise.
pub fn outcome(summary: &RestoreSummary) -> Result<()> {
    let is_there = summary.files + summary.skipped > 0;
    let failure = match (summary.damaged_count > 0, summary.problem_count + summary.lost > 0) {
        (true, _) if !is_there => Failure::new(Code::Damage, "the database is not restored").hint(
            "it is damaged in the repository: `coffer verify` tells more; try an older snapshot",
        ),
        (false, true) if !is_there => Failure::new(Code::Failed, "the database is not restored")
            .hint("what was there is as it was; see above what prevented it"),
        (false, true) => Failure::new(Code::Partial, "the database is restored, and is not sound")
            .hint("it is as it was stored; try an older snapshot"),
        _ => return super::outcome(summary),
    };
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_not_there_is_no_part_of_a_success() {
        let code = |files, problem_count, damaged_count| {
            let counts = RestoreSummary::default();
            let summary = RestoreSummary { files, problem_count, damaged_count, ..counts };
            outcome(&summary).map_or_else(|failure| failure.code.number(), |()| 0)
        };
        assert_eq!([code(1, 0, 0), code(0, 1, 0), code(1, 1, 0), code(0, 1, 1)], [0, 1, 3, 4]);
        assert_eq!(code(1, 1, 1), 4);
    }
}
