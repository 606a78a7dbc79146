//! Connections that stay open to see whether somebody wrote.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::capture::Failure;
use super::open;

/// How long a lock is waited for: who writes now is asked again soon.
const LOCK_WAIT: Duration = Duration::from_millis(50);
/// Pages that such a connection keeps.
const CACHE_PAGES: i64 = 1;
/// The state of a database that is locked.
pub(super) const BUSY: &str = "busy";

/// One connection for each database, as long as its file is the same.
#[derive(Default)]
pub(super) struct Monitors(HashMap<PathBuf, Monitor>);

struct Monitor {
    connection: Connection,
    /// Device and number of the file it was opened at.
    file: (u64, u64),
    /// How often it was opened: versions of two connections have nothing in common.
    opened: u64,
}

impl Monitors {
    /// A text that is another one once somebody has written to the database, or put another in its
    /// place; [`BUSY`] if that cannot be told now.
    pub(super) fn state(&mut self, path: &Path) -> String {
        match self.version(path) {
            Ok(state) => state,
            Err(Failure::Database(what) | Failure::Refused(what)) => {
                self.0.remove(path);
                format!("failed: {}", what.replace('\n', " "))
            }
            Err(Failure::Client(error)) => format!("failed: {error}"),
        }
    }

    fn version(&mut self, path: &Path) -> Result<String, Failure> {
        let found =
            std::fs::metadata(path).map_err(|error| Failure::Database(error.to_string()))?;
        let file = (found.dev(), found.ino());
        let opened = self.0.get(path).map_or(0, |known| known.opened);
        if self.0.get(path).is_none_or(|known| known.file != file) {
            let (connection, _) = open::open(path, LOCK_WAIT)?;
            connection.pragma_update(None, "cache_size", CACHE_PAGES)?;
            let monitor = Monitor { connection, file, opened: opened + 1 };
            self.0.insert(path.to_owned(), monitor);
        }
        let Some(monitor) = self.0.get(path) else { return Ok(BUSY.to_owned()) };
        let version =
            monitor.connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
        match version {
            Ok(version) => Ok(format!("{}:{}:{}:{version}", file.0, file.1, monitor.opened)),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                Ok(BUSY.to_owned())
            }
            Err(error) => Err(error.into()),
        }
    }
}
