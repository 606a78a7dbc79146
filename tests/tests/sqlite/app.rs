//! An application with a database, whose commits can be told apart.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

/// Accounts of a database; what they hold in sum never changes.
const ACCOUNTS: i64 = 500;
const SUM: i64 = ACCOUNTS * 100;
/// Between two transactions: about 300 a second.
const PAUSE: Duration = Duration::from_micros(3200);

/// Makes a database of about `len` bytes.
pub fn create(path: &Path, journal_mode: &str, len: usize) -> Connection {
    let mut connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection.pragma_update(None, "journal_mode", journal_mode).unwrap();
    connection.pragma_update(None, "user_version", 42).unwrap();
    let schema = "CREATE TABLE account (id INTEGER PRIMARY KEY, held INT);
                  CREATE TABLE filling (id INTEGER PRIMARY KEY, text TEXT);
                  CREATE INDEX of_text ON filling (text);
                  CREATE TABLE turn (number INT);
                  INSERT INTO turn VALUES (0);";
    connection.execute_batch(schema).unwrap();
    let writing = connection.transaction().unwrap();
    for id in 0..ACCOUNTS {
        writing.execute("INSERT INTO account VALUES (?1, 100)", params![id]).unwrap();
    }
    for id in 0..len / 450 {
        let text = format!("{:0200}", id.wrapping_mul(2_654_435_761) % 1_000_003);
        writing.execute("INSERT INTO filling VALUES (?1, ?2)", params![id as i64, text]).unwrap();
    }
    writing.commit().unwrap();
    connection
}

/// What a whole database has committed last; panics for one that is not a committed state.
pub fn turn_of(path: &Path) -> u64 {
    let connection = Connection::open(path).unwrap();
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let check = "PRAGMA integrity_check";
    let sound: String = connection.query_row(check, [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    assert_eq!(one("SELECT sum(held) FROM account"), SUM);
    assert_eq!(one("PRAGMA user_version"), 42);
    let turn = one("SELECT number FROM turn");
    let filled = one("SELECT count(*) FROM filling WHERE text LIKE 'turn %'");
    assert_eq!(filled, turn, "a transaction is there in half");
    turn.try_into().unwrap()
}

/// Writes on and on while `work` runs; `work` can ask for the last committed turn. Tells the
/// longest time that one transaction took.
pub fn writing<T>(path: &Path, work: impl FnOnce(&dyn Fn() -> u64) -> T) -> (T, Duration) {
    let (committed, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let path = PathBuf::from(path);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut connection = Connection::open(&path).unwrap();
            connection.busy_timeout(Duration::from_secs(60)).unwrap();
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::SeqCst) {
                let begun = Instant::now();
                let turn = step(&mut connection);
                committed.store(turn, Ordering::SeqCst);
                longest = longest.max(begun.elapsed());
                thread::sleep(PAUSE);
            }
            longest
        });
        // Also when `work` fails: nobody would hear of it while the writer goes on.
        let stopping = Stopping(&stop);
        let result = work(&|| committed.load(Ordering::SeqCst));
        drop(stopping);
        (result, writer.join().unwrap())
    })
}

/// Stops the writer when it goes.
struct Stopping<'s>(&'s AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One transaction over several tables.
fn step(connection: &mut Connection) -> u64 {
    let immediate = rusqlite::TransactionBehavior::Immediate;
    let writing = connection.transaction_with_behavior(immediate).unwrap();
    let turn: i64 = writing.query_row("SELECT number FROM turn", [], |row| row.get(0)).unwrap();
    let turn = turn + 1;
    let (from, to) = (turn * 7 % ACCOUNTS, turn * 13 % ACCOUNTS);
    let moves = [
        ("UPDATE account SET held = held - 1 WHERE id = ?1", from),
        ("UPDATE account SET held = held + 1 WHERE id = ?1", to),
    ];
    for (sql, id) in moves {
        writing.execute(sql, params![id]).unwrap();
    }
    let text = format!("turn {turn:0200}");
    writing.execute("INSERT INTO filling (text) VALUES (?1)", params![text]).unwrap();
    writing.execute("UPDATE turn SET number = ?1", params![turn]).unwrap();
    writing.commit().unwrap();
    turn.try_into().unwrap()
}
