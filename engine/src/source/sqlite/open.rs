//! Connections that read: how they are opened, and where their transaction begins.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::capture::Failure;
use super::still::Still;
use super::{SIDECARS, beside};

/// Bytes of a file that are mapped; SQLite takes at most 2 GiB, and reads the rest.
const MAPPED_LEN: i64 = 1 << 40;

/// A connection, and if it takes no locks the state that must last.
pub(super) type Opened = (Connection, Option<Still>);

/// Opens a database; one beside which nothing can be written, without locks.
pub(super) fn open(path: &Path, wait: Duration) -> Result<Opened, Failure> {
    refuse_pipes(path)?;
    match connect(path, wait, "").and_then(|it| look(&it).map(|()| it)) {
        Ok(connection) => Ok((connection, None)),
        Err(error) if needs_writing(&error) => {
            let still = Still::of(path)?;
            Ok((connect(path, wait, "?immutable=1")?, Some(still)))
        }
        Err(error) => Err(error.into()),
    }
}

/// SQLite opens the files beside a database, and would wait for ever for whoever writes to a pipe.
fn refuse_pipes(path: &Path) -> Result<(), Failure> {
    for end in SIDECARS {
        let found = std::fs::metadata(beside(path, end));
        if found.is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            let what = format!("{end} beside it is no file, but a pipe or a device: remove it");
            return Err(Failure::Database(what));
        }
    }
    Ok(())
}

/// Begins the transaction; the first reading takes the lock and fixes the moment.
pub(super) fn begin(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN")?;
    look(connection)
}

fn look(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT count(*) FROM sqlite_schema";
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(drop)
}

/// True for the error of a database in WAL mode whose folder cannot be written to: SQLite makes
/// files beside it even for reading.
fn needs_writing(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}

fn connect(path: &Path, wait: Duration, query: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri(path, query), flags)?;
    connection.busy_timeout(wait)?;
    // Pages are read where the system has them. A file that somebody cuts meanwhile ends the process.
    connection.pragma_update(None, "mmap_size", MAPPED_LEN)?;
    distrust(&connection)?;
    Ok(connection)
}

/// The schema is somebody else's: its views and triggers call nothing of ours.
pub(super) fn distrust(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map(drop)
}

/// The path as SQLite's URI, every byte of a name escaped.
fn uri(path: &Path, query: &str) -> String {
    let escaped = |byte: &u8| match byte {
        b'/' => "/".to_owned(),
        byte => format!("%{byte:02x}"),
    };
    let path: String = path.as_os_str().as_bytes().iter().map(escaped).collect();
    format!("file:{path}{query}")
}
