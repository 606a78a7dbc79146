//! Connections that stay open to see whether somebody wrote.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::capture::Failure;
use super::{files_of, open};

/// How long a lock is waited for: who writes now is asked again soon.
const LOCK_WAIT: Duration = Duration::from_millis(50);
/// Pages that such a connection keeps.
const CACHE_PAGES: i64 = 1;
/// What stands for a state that cannot be told now.
pub(super) const UNKNOWN: &str = "unknown";

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
    /// A text that is another one once somebody has written to the database, or put another in its
    /// place; [`UNKNOWN`] if that cannot be told now.
    pub(super) fn state(&mut self, path: &Path) -> String {
        self.version(path).unwrap_or_else(|_| {
            self.open.remove(path);
            UNKNOWN.to_owned()
        })
    }

    fn version(&mut self, path: &Path) -> Result<String, Failure> {
        let found = fs::metadata(path).map_err(|error| Failure::Database(error.to_string()))?;
        let file = (found.dev(), found.ino());
        if self.open.get(path).is_none_or(|known| known.file != file) {
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
        let Some(monitor) = self.open.get(path) else { return Ok(UNKNOWN.to_owned()) };
        let version =
            monitor.connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
        match version {
            Ok(version) => {
                let process = std::process::id();
                Ok(format!("{process}:{}:{version}", monitor.number))
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                Ok(UNKNOWN.to_owned())
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
