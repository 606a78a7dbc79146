//! Reading one database inside one read transaction.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::Facts;
use super::facts::NOT_CHECKED;
use super::still::Still;

/// Bytes of pages kept to be checked after the lock is gone, in rollback mode; longer databases are
/// checked under the lock.
const KEPT_LEN_MAX: usize = 64 << 20;
/// Bytes of a database that is copied in memory.
const COPIED_LEN_MAX: u64 = 1 << 30;
/// Steps of SQLite's virtual machine between two looks at the clock.
const STEPS: i32 = 10_000;
/// How long a probe waits for a lock.
const PROBE_WAIT: Duration = Duration::from_secs(2);
/// Bytes of the longest page.
const PAGE_LEN_MAX: usize = 65_536;

/// Why a database is not given.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite says that it is none, or that it is broken beyond reading.
    Refused(String),
    /// It is one, but cannot be read now.
    Database(String),
    /// Whoever asked has gone.
    Client(io::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match error.sqlite_error_code() {
            Some(NotADatabase | DatabaseCorrupt) => Self::Refused(error.to_string()),
            _ => Self::Database(error.to_string()),
        }
    }
}

/// What a reading gives.
pub(super) enum Given<'g> {
    /// The transaction has begun; what is known by now.
    Begun(&'g Facts),
    /// The next page.
    Page(&'g [u8]),
    /// All pages were given, and no lock is held any more.
    Released,
}

pub(super) type Give<'g> = &'g mut dyn FnMut(Given<'_>) -> io::Result<()>;

/// Succeeds if SQLite takes the file for a database whose schema it can read.
pub(super) fn probe(path: &Path) -> Result<(), Failure> {
    begun(path, PROBE_WAIT)?;
    Ok(())
}

/// Gives all pages as one moment has them, then tells what was measured there. Waits at most `wait`
/// for locks, and keeps writers of a rollback-mode database waiting at most that long for its check.
pub(super) fn read(path: &Path, wait: Duration, give: Give<'_>) -> Result<Facts, Failure> {
    let (mut connection, still) = begun(path, wait)?;
    let mut facts = measure(&connection)?;
    let is_wal = facts.values.get("journal_mode").is_some_and(|mode| mode == "wal");
    let len = len_of(&facts)?;
    give(Given::Begun(&facts)).map_err(Failure::Client)?;
    let mut kept = Kept { bytes: Vec::new(), wanted: !is_wal && len <= KEPT_LEN_MAX as u64 };
    if has_page_table(&connection)? {
        pages(&connection, &mut kept, give)?;
    } else {
        copied(&connection, len, &mut kept, give)?;
    }
    let found = if kept.wanted {
        finish(&connection, give)?;
        drop(connection);
        check_kept(&kept.bytes)
    } else {
        // Readers of a WAL hold nobody up; a rollback journal's check ends with the lock.
        let limit = if is_wal { None } else { Some(wait) };
        let found = check(&mut connection, limit);
        finish(&connection, give)?;
        found
    };
    still.map_or(Ok(()), |still| still.holds(path))?;
    facts.values.insert("quick_check".to_owned(), found);
    Ok(facts)
}

/// A connection whose transaction has begun, and, if it takes no locks, the state that must last.
fn begun(path: &Path, wait: Duration) -> Result<(Connection, Option<Still>), Failure> {
    match open(path, wait, "").and_then(begin) {
        Ok(connection) => Ok((connection, None)),
        Err(error) if needs_writing(&error) => {
            let still = Still::of(path)?;
            Ok((begin(open(path, wait, "?immutable=1")?)?, Some(still)))
        }
        Err(error) => Err(error.into()),
    }
}

/// True for the error of a database in WAL mode whose folder cannot be written to: SQLite makes
/// files beside it even for reading.
fn needs_writing(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}

fn open(path: &Path, wait: Duration, query: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri(path, query), flags)?;
    connection.busy_timeout(wait)?;
    // The schema is somebody else's: its views and triggers call nothing of ours.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

/// Begins the transaction; the first reading takes the lock and fixes the moment.
fn begin(connection: Connection) -> rusqlite::Result<Connection> {
    connection.execute_batch("BEGIN")?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(connection)
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

fn finish(connection: &Connection, give: Give<'_>) -> Result<(), Failure> {
    connection.execute_batch("ROLLBACK")?;
    give(Given::Released).map_err(Failure::Client)
}

fn measure(connection: &Connection) -> Result<Facts, Failure> {
    let mut facts = Facts::default();
    let names =
        ["page_size", "page_count", "user_version", "application_id", "journal_mode", "encoding"];
    for name in names {
        let value = connection.query_row(&format!("PRAGMA {name}"), [], |row| {
            Ok(match row.get_ref(0)? {
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                other => String::from_utf8_lossy(other.as_bytes()?).into_owned(),
            })
        })?;
        facts.values.insert(name.to_owned(), value);
    }
    Ok(facts)
}

fn len_of(facts: &Facts) -> Result<u64, Failure> {
    let number = |name: &str| facts.values.get(name).and_then(|value| value.parse::<u64>().ok());
    match (number("page_size"), number("page_count")) {
        (Some(size), Some(count)) if size as usize <= PAGE_LEN_MAX => {
            Ok(size.saturating_mul(count))
        }
        _ => Err(Failure::Refused("its page size makes no sense".to_owned())),
    }
}

/// True if this SQLite was built with the table of pages.
fn has_page_table(connection: &Connection) -> Result<bool, Failure> {
    let sql = "SELECT sqlite_compileoption_used('ENABLE_DBPAGE_VTAB')";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Pages kept for the check.
struct Kept {
    bytes: Vec<u8>,
    wanted: bool,
}

impl Kept {
    fn give(&mut self, page: &[u8], give: Give<'_>) -> Result<(), Failure> {
        if self.wanted {
            self.bytes.extend_from_slice(page);
        }
        give(Given::Page(page)).map_err(Failure::Client)
    }
}

fn pages(connection: &Connection, kept: &mut Kept, give: Give<'_>) -> Result<(), Failure> {
    let mut statement = connection.prepare("SELECT data FROM sqlite_dbpage('main')")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let page = row.get_ref(0)?;
        let page = page.as_blob().map_err(|error| Failure::Database(error.to_string()))?;
        kept.give(page, give)?;
    }
    Ok(())
}

/// Without the table of pages: a copy in memory by the backup interface, in one step.
fn copied(
    connection: &Connection,
    len: u64,
    kept: &mut Kept,
    give: Give<'_>,
) -> Result<(), Failure> {
    if len > COPIED_LEN_MAX {
        let what = "it is too long for this build, whose SQLite lacks the table of pages";
        return Err(Failure::Database(what.to_owned()));
    }
    let mut copy = Connection::open_in_memory()?;
    Backup::new(connection, &mut copy)?.step(-1)?;
    let image = copy.serialize(MAIN_DB)?;
    image.chunks(PAGE_LEN_MAX).try_for_each(|part| kept.give(part, give))
}

/// `ok`, the first thing that is wrong, or why that cannot be told: the pages are given by now.
fn check(connection: &mut Connection, limit: Option<Duration>) -> String {
    let start = Instant::now();
    let is_over = move || limit.is_some_and(|limit| start.elapsed() > limit);
    let found = connection.progress_handler(STEPS, Some(is_over)).and_then(|()| {
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    });
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, OperationInterrupted};
    found.unwrap_or_else(|error| match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => error.to_string(),
        Some(OperationInterrupted) => {
            format!("{NOT_CHECKED}it takes longer than the lock may be held (--lock-max)")
        }
        _ => format!("{NOT_CHECKED}{error}"),
    })
}

fn check_kept(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "ok".to_owned();
    }
    let image = Connection::open_in_memory().and_then(|mut image| {
        image.deserialize_read_exact(MAIN_DB, bytes, bytes.len(), true)?;
        Ok(image)
    });
    match image {
        Ok(mut image) => check(&mut image, None),
        Err(error) => format!("{NOT_CHECKED}{error}"),
    }
}
