//! Connections that stay open to see whether somebody wrote.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::capture::Failure;
use super::{files_of, open};

/// How long a lock is waited for: who writes now is asked again soon.
const LOCK_WAIT: Duration = Duration::from_millis(50);
/// Pages that such a connection keeps.
const CACHE_PAGES: i64 = 1;
/// How a state begins that cannot be told now, before the reason.
pub(super) const UNKNOWN: &str = "unknown: ";
const BUSY: &str = "unknown: database is locked";
/// How long a state cannot be told before that is worth a word: whoever writes locks for a moment.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// One connection for each database, as long as its file is the same.
#[derive(Default)]
pub(super) struct Monitors {
    open: HashMap<PathBuf, Monitor>,
    /// Connections so far: versions of two have nothing in common.
    count: u64,
}

struct Monitor {
    connection: Connection,
    /// Device and number of the file it was opened at.
    file: (u64, u64),
    number: u64,
}

impl Monitors {
    /// For each database a text that is another one once somebody has written to it, or put another in
    /// its place; [`UNKNOWN`] and why if that cannot be told now.
    ///
    /// What is not asked for any more is closed: it may be deleted, and its room is in use until then.
    pub(super) fn states(&mut self, paths: &[&Path]) -> Vec<String> {
        let asked: HashSet<&Path> = paths.iter().copied().collect();
        self.open.retain(|path, _| asked.contains(path.as_path()));
        paths.iter().map(|path| self.state(path)).collect()
    }

    fn state(&mut self, path: &Path) -> String {
        self.version(path).unwrap_or_else(|failure| {
            self.open.remove(path);
            format!("{UNKNOWN}{}", failure.what().replace(['\n', '\r'], " "))
        })
    }

    fn version(&mut self, path: &Path) -> Result<String, Failure> {
        let found = fs::metadata(path).map_err(|error| Failure::Database(error.to_string()))?;
        let file = (found.dev(), found.ino());
        if self.open.get(path).is_none_or(|known| known.file != file) {
            self.open.remove(path);
            let (connection, still) = open::open(path, LOCK_WAIT)?;
            if still.is_some() {
                // Without locks it does not see what others write: their files do.
                return Ok(files(path));
            }
            connection.pragma_update(None, "cache_size", CACHE_PAGES)?;
            self.count += 1;
            let monitor = Monitor { connection, file, number: self.count };
            self.open.insert(path.to_owned(), monitor);
        }
        let Some(monitor) = self.open.get(path) else { return Ok(BUSY.to_owned()) };
        let version =
            monitor.connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
        match version {
            Ok(version) => {
                let process = std::process::id();
                Ok(format!("{process}:{}:{version}", monitor.number))
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                Ok(BUSY.to_owned())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Numbers, lengths and times of change of the database's files.
fn files(path: &Path) -> String {
    let state = |path: PathBuf| {
        fs::metadata(path).map_or_else(
            |_| "none".to_owned(),
            |it| {
                let (secs, nanos) = (it.ctime(), it.ctime_nsec());
                format!("{}:{}:{}:{secs}.{nanos}", it.dev(), it.ino(), it.len())
            },
        )
    };
    let states: Vec<_> = files_of(path).into_iter().map(state).collect();
    states.join(" ")
}

/// Databases whose states cannot be told, as the client hears it.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Since when, and whether that was told.
    since: HashMap<PathBuf, (Instant, bool)>,
    untold: Vec<(PathBuf, String)>,
}

impl Lost {
    /// Takes the states of all that were asked for; those that are known.
    pub(super) fn sift(
        &mut self,
        states: Vec<(PathBuf, String)>,
        now: Instant,
    ) -> Vec<Option<String>> {
        let mut before = std::mem::take(&mut self.since);
        let mut known = Vec::new();
        for (path, state) in states {
            let Some(why) = state.strip_prefix(UNKNOWN) else {
                known.push(Some(state));
                continue;
            };
            let (since, mut is_told) = before.remove(&path).unwrap_or((now, false));
            if !is_told && now.duration_since(since) >= LOST_AFTER {
                self.untold.push((path.clone(), why.to_owned()));
                is_told = true;
            }
            self.since.insert(path, (since, is_told));
            known.push(None);
        }
        known
    }

    /// Those that are worth a word, and why, each once.
    pub(super) fn take(&mut self) -> Vec<(PathBuf, String)> {
        std::mem::take(&mut self.untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_cannot_be_told_for_long_is_worth_one_word() {
        let (start, mut lost) = (Instant::now(), Lost::default());
        let mut sift = |secs, states: &[&str]| {
            let states = states.iter().enumerate();
            let states = states.map(|(at, it)| (at.to_string().into(), (*it).to_owned()));
            let known = lost.sift(states.collect(), start + Duration::from_secs(secs));
            let told = lost.take().into_iter();
            let told: Vec<_> =
                told.map(|(path, why)| format!("{}: {why}", path.display())).collect();
            (known.iter().flatten().count(), told)
        };
        assert_eq!(sift(0, &["1", "unknown: why", BUSY]), (1, vec![]));
        assert_eq!(sift(3, &["1", "unknown: why", "2"]), (2, vec![]));
        assert_eq!(sift(5, &["1", "unknown: why", BUSY]), (1, vec!["1: why".to_owned()]));
        assert_eq!(sift(9, &["1", "unknown: why", BUSY]), (1, vec![]));
        assert_eq!(sift(10, &["1", "2", BUSY]), (2, vec!["2: database is locked".to_owned()]));
    }

    #[test]
    fn what_is_not_asked_for_any_more_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a", "b"] {
            Connection::open(path(name)).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        }
        let mut monitors = Monitors::default();
        let (a, b) = (path("a"), path("b"));
        let first = monitors.states(&[&a, &b]);
        fs::remove_file(&b).unwrap();
        assert_eq!(monitors.states(&[&a]), first[..1]);
        let handles = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let open = handles.filter_map(|it| fs::read_link(it.path()).ok());
        assert_eq!(open.filter(|open| open.starts_with(&b)).count(), 0);
        assert!(monitors.states(&[&b])[0].starts_with(UNKNOWN));
    }
}
