//! Reading one database inside one read transaction.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension};

use super::Facts;
use super::check;
use super::image::{Image, MakeShelf};
use super::open::{self, Opened};
use super::pages::{self, Blocks, Remembered};
use super::request::Request;
use super::still::Still;
use super::tree_hash::GROUP_LEN;
use super::vfs::with_image;

/// How long a probe waits for a lock.
const PROBE_WAIT: Duration = Duration::from_secs(2);
/// Bytes of the longest page.
const PAGE_LEN_MAX: u64 = 65_536;

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

impl Failure {
    /// Why, in words.
    pub(super) fn what(self) -> String {
        match self {
            Self::Refused(what) | Self::Database(what) => what,
            Self::Client(error) => error.to_string(),
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let mut what = error.to_string();
        // The path is told by whoever tells this, and not as a URI.
        what.truncate(what.find(": file:/").unwrap_or(what.len()));
        match error.sqlite_error_code() {
            Some(NotADatabase | DatabaseCorrupt) => Self::Refused(what),
            _ => Self::Database(what),
        }
    }
}

/// What a reading gives.
pub(super) enum Given<'g> {
    /// The moment is fixed; what is known by now.
    Begun(&'g Facts),
    /// The next pages.
    Block(&'g [u8]),
    /// So many chunks that are those of the known state.
    Same(u32),
    /// No lock is held any more.
    Released,
}

pub(super) type Give<'g> = &'g mut dyn FnMut(Given<'_>) -> io::Result<()>;

/// Succeeds if SQLite takes the file for a database whose schema it can read.
pub(super) fn probe(path: &Path) -> Result<(), Failure> {
    open::open(path, PROBE_WAIT)?;
    Ok(())
}

/// A database at one moment.
pub(super) struct Begun {
    pub request: Request,
    facts: Facts,
    state: State,
    begun: Instant,
}

enum State {
    /// The transaction is open.
    Live(Connection, Option<Still>),
    /// All pages are in hand.
    Kept(Image),
}

impl Begun {
    /// Opens a database and begins its transaction.
    pub(super) fn open(request: Request) -> Result<Self, Failure> {
        let (connection, still) = open::open(&request.path, request.wait)?;
        open::begin(&connection)?;
        Ok(Self::new(request, (connection, still))?)
    }

    /// An opened database whose transaction has begun.
    pub(super) fn new(request: Request, (connection, still): Opened) -> rusqlite::Result<Self> {
        let mut facts = measure(&connection)?;
        if still.is_some() && has_wal(&connection)? {
            // Read as if nobody wrote, SQLite sees no WAL.
            facts.set("journal_mode", "wal");
        }
        let (state, begun) = (State::Live(connection, still), Instant::now());
        Ok(Self { request, facts, state, begun })
    }

    /// Notes that `count` databases show the same moment.
    pub(super) fn tell_moment(&mut self, count: usize) {
        self.facts.set("moment", format!("one for {count} databases"));
    }

    /// In rollback mode writers wait for us: all pages go to an image, and the transaction ends. It
    /// goes on where there is no room for one. True if nobody waits for us any more.
    pub(super) fn keep(&mut self, make: MakeShelf<'_>, memory_len: usize) -> Result<bool, Failure> {
        let State::Live(connection, None) = &self.state else { return Ok(true) };
        if self.facts.get("journal_mode") == Some("wal") {
            return Ok(true);
        }
        let (mut image, mut is_full) = (Image::new(memory_len), false);
        let with = (make, self.request.folder.as_deref());
        let (begun, wait) = (self.begun, self.request.wait);
        let mut take = |page: &[u8]| {
            if begun.elapsed() > wait {
                return Err(held_too_long(wait));
            }
            is_full = is_full || image.push(page, with).is_err();
            if is_full { Err(Failure::Client(io::ErrorKind::StorageFull.into())) } else { Ok(()) }
        };
        let len = len_of(&self.facts)?;
        match pages::each(connection, len, self.request.zero_free_pages, &mut take) {
            Err(_) if is_full => Ok(false),
            Err(failure) => Err(failure),
            Ok(()) => {
                connection.execute_batch("ROLLBACK")?;
                self.state = State::Kept(image);
                Ok(true)
            }
        }
    }

    /// Gives all pages, then tells what was measured.
    ///
    /// Chunks are left out that the state before had too, if that is the one which the request knows.
    pub(super) fn read(
        self,
        before: Remembered,
        give: Give<'_>,
    ) -> Result<(Facts, Remembered), Failure> {
        let Self { request, mut facts, state, .. } = self;
        give(Given::Begun(&facts)).map_err(Failure::Client)?;
        let is_known = request.known.get("blake3") == Some(&before.blake3);
        let before = if is_known { before } else { Remembered::default() };
        let now = match state {
            State::Live(connection, still) => {
                live((connection, still), &request, &mut facts, (before, give))?
            }
            State::Kept(image) => kept(image, &request, &mut facts, (before, give))?,
        };
        match facts.check() {
            _ if !request.zero_free_pages => {}
            Some("ok") => {}
            // Pages that are in use may stand in a list that is broken, and nothing else shows it. What
            // was found of the very same pages counts: they have the same list, and the same in use.
            Some(found) => return Err(unknown_free_pages(&format!("not sound ({found})"))),
            None => return Err(unknown_free_pages("not checked")),
        }
        Ok((facts, now))
    }
}

fn live(
    (mut connection, still): Opened,
    request: &Request,
    facts: &mut Facts,
    (before, give): (Remembered, Give<'_>),
) -> Result<Remembered, Failure> {
    let mut blocks = Blocks::after(before, request.chunk_len, &mut *give);
    let mut push = |page: &[u8]| blocks.push(page);
    pages::each(&connection, len_of(facts)?, request.zero_free_pages, &mut push)?;
    let now = blocks.finish()?;
    facts.set("blake3", now.blake3.as_str());
    // Readers of a WAL hold nobody up; a rollback journal's check ends with the lock.
    let holds_up = still.is_none() && facts.get("journal_mode") != Some("wal");
    check::measure(&mut connection, request, holds_up.then_some(request.wait), facts);
    connection.execute_batch("ROLLBACK")?;
    still.map_or(Ok(()), |still| still.holds(&request.path))?;
    give(Given::Released).map_err(Failure::Client)?;
    Ok(now)
}

fn kept(
    mut image: Image,
    request: &Request,
    facts: &mut Facts,
    (before, give): (Remembered, Give<'_>),
) -> Result<Remembered, Failure> {
    give(Given::Released).map_err(Failure::Client)?;
    let mut blocks = Blocks::after(before, request.chunk_len, give);
    let (mut at, mut group) = (0, vec![0; GROUP_LEN]);
    loop {
        let lost = |error| Failure::Database(format!("its pages cannot be had back: {error}"));
        let count = image.read(at, &mut group).map_err(lost)?;
        if count == 0 {
            break;
        }
        blocks.push(&group[..count])?;
        at += count as u64;
    }
    let now = blocks.finish()?;
    facts.set("blake3", now.blake3.as_str());
    if at > 0 {
        with_image(image, |opened| match opened {
            Ok(mut connection) => check::measure(&mut connection, request, None, facts),
            Err(error) => check::refuse(&error, request, facts),
        });
    }
    Ok(now)
}

pub(super) fn measure(connection: &Connection) -> rusqlite::Result<Facts> {
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
        facts.set(name, value);
    }
    Ok(facts)
}

fn unknown_free_pages(why: &str) -> Failure {
    let what = format!(
        "its free pages are not known, since it is {why}: store it without --zero-free-pages"
    );
    Failure::Database(what)
}

fn held_too_long(wait: Duration) -> Failure {
    let secs = wait.as_secs_f64();
    let what =
        format!("its pages could not be read while its lock may be held: {secs} s (--lock-max)");
    Failure::Database(what)
}

/// True if the first page says that changes go to a WAL (the SQLite file format, "File format version
/// numbers").
fn has_wal(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT data FROM sqlite_dbpage('main') WHERE pgno = 1";
    let first = connection.query_row(sql, [], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    Ok(first.is_some_and(|page| page.get(18) == Some(&2)))
}

pub(super) fn len_of(facts: &Facts) -> Result<u64, Failure> {
    let number = |name: &str| facts.get(name).and_then(|value| value.parse::<u64>().ok());
    match (number("page_size"), number("page_count")) {
        (Some(size), Some(count)) if size <= PAGE_LEN_MAX => Ok(size.saturating_mul(count)),
        _ => Err(Failure::Refused("its page size makes no sense".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::source::sqlite::Check;

    const PAGE_LEN: u64 = 4096;

    /// A database all of whose rows can be read, and whose list of free pages names one that is in use.
    fn misled(path: &Path) {
        let connection = Connection::open(path).unwrap();
        let rows = "CREATE TABLE kept (x); CREATE TABLE gone (x);
                    INSERT INTO kept VALUES ('kept');
                    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50)
                      INSERT INTO gone SELECT zeroblob(3000) FROM n;
                    DROP TABLE gone";
        connection.execute_batch(rows).unwrap();
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
        let used = number("SELECT rootpage FROM sqlite_schema WHERE name = 'kept'");
        assert!(number("PRAGMA freelist_count") > 2);
        drop(connection);
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut trunk = [0; 4];
        file.read_exact_at(&mut trunk, 32).unwrap();
        let trunk = u64::from(u32::from_be_bytes(trunk) - 1) * PAGE_LEN;
        file.write_all_at(&used.to_be_bytes(), trunk + 8).unwrap();
    }

    #[test]
    fn what_cannot_be_opened_is_told_without_a_uri() {
        let flags =
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI;
        let error = Connection::open_with_flags("file:/no%20where/a.db", flags).unwrap_err();
        assert!(error.to_string().contains("file:/"), "{error}");
        assert_eq!(Failure::from(error).what(), "unable to open database file");
    }

    #[test]
    fn free_pages_are_zeroed_only_in_a_database_that_was_found_sound() {
        let folder = tempfile::tempdir().unwrap();
        let (sound, broken) = (folder.path().join("sound"), folder.path().join("broken"));
        misled(&broken);
        Connection::open(&sound).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let read = |path: &Path, check| {
            let request = Request {
                path: path.to_owned(),
                wait: PROBE_WAIT,
                check,
                tables: false,
                zero_free_pages: true,
                folder: None,
                known: Facts::default(),
                chunk_len: 0,
            };
            let read = Begun::open(request).unwrap().read(Remembered::default(), &mut |_| Ok(()));
            read.map(drop).map_err(|failure| format!("{failure:?}"))
        };
        let rows = "SELECT x FROM kept";
        let connection = Connection::open(&broken).unwrap();
        assert_eq!(connection.query_row(rows, [], |row| row.get::<_, String>(0)).unwrap(), "kept");
        for check in [Check::Quick, Check::Full] {
            assert_eq!(read(&sound, check), Ok(()));
            assert!(read(&broken, check).unwrap_err().contains("it is not sound"));
        }
        for path in [&sound, &broken] {
            let told = read(path, Check::None).unwrap_err();
            assert!(told.contains("it is not checked: store it without"), "{told}");
        }
    }
}
