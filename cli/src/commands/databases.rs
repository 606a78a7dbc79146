//! Databases named on the command line.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffer_engine::backup::DatabaseSource;
use coffer_engine::error::SourceError;
use coffer_engine::source::sqlite::{Clients, SIDECARS, SqliteOptions, begins_as_database};

use crate::args::{BackupArgs, SqliteArgs};
use crate::exit::{Code, Failure, Result};
use crate::output::escape;
use crate::settings::absolute;

/// This very program, even if another version has taken its place meanwhile.
const PROGRAM: &str = "/proc/self/exe";

/// A file, or what is wrong.
type Found = std::result::Result<PathBuf, SourceError>;

/// The databases that the paths and patterns name: absolute, without symbolic links, each once. What
/// names none is one that fails, so that the rest is stored.
///
/// # Errors
/// A pattern that is no pattern.
pub(super) fn find(asked: &[PathBuf]) -> Result<Vec<DatabaseSource>> {
    let mut found: Vec<DatabaseSource> = Vec::new();
    for asked in asked {
        let asked = absolute(asked)?;
        for path in matches(&asked)? {
            let path = path.and_then(|path| match std::fs::canonicalize(&path) {
                Ok(path) => Ok(path),
                Err(error) => Err(problem(&path, &error)),
            });
            match found.iter_mut().find(|known| is_same(&known.found, &path)) {
                Some(known) => known.asked.push(asked.clone()),
                None => found.push(DatabaseSource { asked: vec![asked.clone()], found: path }),
            }
        }
    }
    Ok(found)
}

/// Refuses what leads to no database right now.
///
/// # Errors
/// A failure that tells why, of the first of them.
pub(super) fn refuse_none(databases: &[DatabaseSource]) -> Result<()> {
    let problem = |database: &DatabaseSource| match &database.found {
        Err(problem) => Some(problem.clone()),
        Ok(path) if begins_as_database(path) || is_empty(path) => None,
        Ok(path) => {
            let what = "is not a SQLite database, or cannot be read";
            Some(SourceError::new(path.as_os_str().as_bytes(), what))
        }
    };
    let problems: Vec<_> = databases.iter().map_while(problem).collect();
    let Some(first) = problems.first().filter(|_| problems.len() == databases.len()) else {
        return Ok(());
    };
    let others = match problems.len() - 1 {
        0 => String::new(),
        count => format!(", and {count} more"),
    };
    let what = format!("there is no database to watch: {first}{others}");
    let hint = "is the path right, and its disk mounted? once one of the databases is there, \
                the others may come later";
    Err(Failure::new(Code::Failed, what).hint(hint))
}

/// SQLite takes a file without a byte for a database into which nothing was written yet.
fn is_empty(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0)
}

fn is_same(one: &Found, other: &Found) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one == other,
        (Err(one), Err(other)) => one.path == other.path,
        _ => false,
    }
}

/// A path that exists is itself, whatever characters are in it.
fn matches(asked: &Path) -> Result<Vec<Found>> {
    let raw = asked.as_os_str().as_bytes();
    let is_pattern = raw.iter().any(|byte| b"*?[".contains(byte));
    if asked.exists() || !is_pattern {
        return Ok(vec![Ok(asked.to_owned())]);
    }
    let shown = || escape::name(raw);
    let pattern = asked
        .to_str()
        .ok_or_else(|| Failure::usage(format!("--sqlite {}: a pattern must be UTF-8", shown())))?;
    let paths = glob::glob(pattern)
        .map_err(|error| Failure::usage(format!("--sqlite {}: {error}", shown())))?;
    let is_wanted = |path: &PathBuf| path.is_file() && !is_sidecar(path);
    let found = paths.filter_map(|path| match path {
        Ok(path) => is_wanted(&path).then_some(Ok(path)),
        Err(error) => Some(Err(problem(error.path(), error.error()))),
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return Ok(vec![Err(SourceError::new(raw, "no file matches the pattern"))]);
    }
    Ok(found)
}

fn problem(path: &Path, error: &std::io::Error) -> SourceError {
    let what = match error.kind() {
        ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    SourceError::new(path.as_os_str().as_bytes(), what)
}

fn is_sidecar(path: &Path) -> bool {
    SIDECARS.iter().any(|end| path.as_os_str().as_bytes().ends_with(end.as_bytes()))
}

/// How databases are read; none if they are plain files.
pub(super) fn options(args: &BackupArgs) -> Option<SqliteOptions> {
    let recognise = !args.no_sqlite;
    let has_secrets = !args.secrets.is_empty() || !args.secret_env.is_empty();
    let are_read = recognise || has_secrets || !args.sqlite.is_empty();
    are_read.then(|| SqliteOptions { recognise, ..reading(&args.reading, Arc::default()) })
}

/// How databases that are named are read.
pub(super) fn reading(args: &SqliteArgs, clients: Arc<Clients>) -> SqliteOptions {
    SqliteOptions {
        program: PathBuf::from(PROGRAM),
        lock_max: args.lock_max,
        recognise: false,
        check: args.sqlite_check.into(),
        tables: !args.no_table_facts,
        zero_free_pages: args.zero_free_pages,
        clients,
    }
}
