//! What SQLite and its tables say of the pages.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::facts::{Facts, NOT_CHECKED};
use super::request::{Check, Request};
use super::tables;

/// Steps of SQLite's virtual machine between two looks at the clock.
const STEPS: i32 = 10_000;

/// Checks and measures what is asked for; `limit` bounds both together. What was found before of the
/// same pages, by their hash, is taken over.
pub(super) fn measure(
    connection: &mut Connection,
    request: &Request,
    limit: Option<Duration>,
    facts: &mut Facts,
) {
    if facts.take_over(&request.known, request.check, request.tables) {
        return;
    }
    let start = Instant::now();
    let is_over = move || limit.is_some_and(|limit| start.elapsed() > limit);
    if let Err(error) = connection.progress_handler(STEPS, Some(is_over)) {
        facts.set("quick_check", format!("{NOT_CHECKED}{error}"));
        return;
    }
    match request.check {
        Check::None => {}
        Check::Quick => facts.set("quick_check", run(connection, "quick_check")),
        Check::Full => {
            facts.set("integrity_check", run(connection, "integrity_check"));
            facts.set("foreign_key_check", foreign_keys(connection));
        }
    }
    // Of pages that are broken there is nothing to be told.
    if request.tables
        && facts.is_sound()
        && let Err(error) = tables::measure(connection, facts)
    {
        facts.set("tables_unread", reason(&error));
    }
}

/// Says why nothing can be told of the pages.
pub(super) fn refuse(error: &rusqlite::Error, request: &Request, facts: &mut Facts) {
    let name = match request.check {
        Check::None => return,
        Check::Quick => "quick_check",
        Check::Full => "integrity_check",
    };
    facts.set(name, reason(error));
}

/// `ok`, the first thing that is wrong, or why that cannot be told.
fn run(connection: &Connection, pragma: &str) -> String {
    let sql = format!("PRAGMA {pragma}(1)");
    let found = connection.query_row(&sql, [], |row| row.get::<_, String>(0));
    found.unwrap_or_else(|error| reason(&error))
}

fn foreign_keys(connection: &Connection) -> String {
    let sql = "SELECT count(*) FROM pragma_foreign_key_check";
    match connection.query_row(sql, [], |row| row.get::<_, i64>(0)) {
        Ok(0) => "ok".to_owned(),
        Ok(count) => format!("{count} rows refer to none"),
        Err(error) => reason(&error),
    }
}

fn reason(error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, OperationInterrupted};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => error.to_string(),
        Some(OperationInterrupted) => {
            format!("{NOT_CHECKED}it takes longer than the lock may be held (--lock-max)")
        }
        _ => format!("{NOT_CHECKED}{error}"),
    }
}
