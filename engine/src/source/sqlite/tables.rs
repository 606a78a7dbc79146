//! Rows and a hash of every table, to be compared after a restore.

use blake3::Hasher;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::facts::{self, Facts};

/// Bytes that are gathered before they are hashed.
const WAITING_LEN: usize = 64 << 10;
/// Tables told one by one; of all together there is a sum.
const TOLD_COUNT_MAX: usize = 200;

/// Adds to `facts` how many tables there are, their rows, and the hashes of format-spec page 6, with
/// what could not be read in `tables_unread`.
///
/// # Errors
/// If the schema cannot be read, or the reading is interrupted.
pub(super) fn measure(connection: &Connection, facts: &mut Facts) -> rusqlite::Result<()> {
    let mut all = Hasher::new();
    let (mut rows, mut told, mut unread) = (0, 0, Vec::new());
    let names = names(connection)?;
    for name in &names {
        match Table::read(connection, name) {
            Ok(table) => {
                rows += table.rows;
                all.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
                all.update(&table.rows.to_le_bytes()).update(table.hash.as_bytes());
                if told < TOLD_COUNT_MAX {
                    told += 1;
                    let value = format!("rows={} blake3={}", table.rows, table.hash.to_hex());
                    facts.values.insert(facts::table_name(name), value);
                }
            }
            Err(error) if is_interrupt(&error) => return Err(error),
            Err(error) => unread.push(format!("{name}: {error}")),
        }
    }
    facts.set("tables", names.len().to_string());
    facts.set("rows", rows.to_string());
    facts.set("tables_blake3", all.finalize().to_hex().as_str());
    if let Some(first) = unread.first() {
        facts.set("tables_unread", format!("{}, such as {first}", unread.len()));
    }
    Ok(())
}

fn is_interrupt(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted)
}

/// Tables with rows of their own, sorted: virtual ones keep theirs in others.
fn names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    statement.query_map([], |row| row.get(0))?.collect()
}

struct Table {
    rows: u64,
    hash: blake3::Hash,
}

impl Table {
    /// Reads all rows in the order they are stored in: by rowid, or without one by primary key.
    fn read(connection: &Connection, name: &str) -> rusqlite::Result<Self> {
        let columns = stored_columns(connection, name)?;
        let list: Vec<_> = columns.iter().map(|column| quoted(column)).collect();
        let rows_of = |rowid: &str| {
            let sql =
                format!("SELECT {rowid}{} FROM {} NOT INDEXED", list.join(", "), quoted(name));
            connection.prepare(&sql)
        };
        let is_taken = |name: &&str| columns.iter().any(|it| it.eq_ignore_ascii_case(name));
        let rowid = ["_rowid_, ", "rowid, ", "oid, "]
            .into_iter()
            .find(|it| !is_taken(&it.trim_end_matches(", ")));
        // Tables without rowids refuse to be asked for them.
        let mut statement = rows_of(rowid.unwrap_or_default()).or_else(|_| rows_of(""))?;
        let width = statement.column_count();
        let (mut hasher, mut waiting, mut rows) = (Hasher::new(), Vec::new(), 0);
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            encode(row, width, &mut hasher, &mut waiting)?;
            rows += 1;
        }
        hasher.update(&waiting);
        Ok(Self { rows, hash: hasher.finalize() })
    }
}

/// Columns that are stored: computing others may call what only the application has.
fn stored_columns(connection: &Connection, name: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map([name], |row| row.get(0))?.collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Hashes a row: of each value its kind, for texts and blobs the length, and the bytes. What is short
/// is gathered in `waiting`.
fn encode(
    row: &Row<'_>,
    width: usize,
    hasher: &mut Hasher,
    waiting: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    for column in 0..width {
        let (kind, bytes) = match row.get_ref(column)? {
            ValueRef::Null => {
                waiting.push(b'n');
                continue;
            }
            ValueRef::Integer(number) => {
                waiting.push(b'i');
                waiting.extend_from_slice(&number.to_le_bytes());
                continue;
            }
            ValueRef::Real(number) => {
                waiting.push(b'r');
                waiting.extend_from_slice(&number.to_bits().to_le_bytes());
                continue;
            }
            ValueRef::Text(bytes) => (b't', bytes),
            ValueRef::Blob(bytes) => (b'b', bytes),
        };
        waiting.push(kind);
        waiting.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        if waiting.len() + bytes.len() > WAITING_LEN {
            hasher.update(waiting);
            waiting.clear();
        }
        if bytes.len() > WAITING_LEN {
            hasher.update(bytes);
        } else {
            waiting.extend_from_slice(bytes);
        }
    }
    if waiting.len() > WAITING_LEN / 2 {
        hasher.update(waiting);
        waiting.clear();
    }
    Ok(())
}
