//! Reading one database inside one read transaction.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::Facts;

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
    let connection = open(path, PROBE_WAIT)?;
    begin(&connection)?;
    Ok(())
}

/// Gives all pages as one moment has them, then tells what was measured there. Waits at most `wait`
/// for locks, and keeps writers of a rollback-mode database waiting at most that long for its check.
pub(super) fn read(path: &Path, wait: Duration, give: Give<'_>) -> Result<Facts, Failure> {
    let mut connection = open(path, wait)?;
    begin(&connection)?;
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
        check_kept(&kept.bytes)?
    } else {
        // Readers of a WAL hold nobody up, but nor may the check go on for ever.
        let limit = if is_wal { None } else { Some(wait) };
        let found = check(&mut connection, limit)?;
        finish(&connection, give)?;
        found
    };
    facts.values.insert("quick_check".to_owned(), found);
    Ok(facts)
}

fn open(path: &Path, wait: Duration) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(wait)?;
    // The schema is somebody else's: its views and triggers call nothing of ours.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

/// Begins the transaction; the first reading takes the lock and fixes the moment.
fn begin(connection: &Connection) -> Result<(), Failure> {
    connection.execute_batch("BEGIN")?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(())
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

/// `ok`, or the first thing that is wrong.
fn check(connection: &mut Connection, limit: Option<Duration>) -> Result<String, Failure> {
    if let Some(limit) = limit {
        let start = Instant::now();
        connection.progress_handler(STEPS, Some(move || start.elapsed() > limit))?;
    }
    let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match found {
        Err(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) =>
        {
            let what = "checking it takes longer than its lock may be held; put it into WAL mode, \
                        or allow more by --lock-max";
            Err(Failure::Database(what.to_owned()))
        }
        other => Ok(other?),
    }
}

fn check_kept(bytes: &[u8]) -> Result<String, Failure> {
    if bytes.is_empty() {
        return Ok("ok".to_owned());
    }
    let mut image = Connection::open_in_memory()?;
    image.deserialize_read_exact(MAIN_DB, bytes, bytes.len(), true)?;
    check(&mut image, None)
}
