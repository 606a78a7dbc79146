//! Several databases at one moment.
//!
//! Each is asked for its `data_version`, then all transactions begin, then each is asked again. Where
//! no number has moved, every database stood still from its first answer to its second, and all first
//! answers came before all second ones: there is a moment that all transactions show.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::capture::{Begun, Failure};
use super::open::{self, Opened};
use super::request::Request;

/// How long one database's lock is waited for while the others' transactions are open.
const LOCK_WAIT: Duration = Duration::from_millis(100);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(1);
/// Pages that a connection keeps which only asks for a number.
const WATCH_CACHE_PAGES: i64 = 1;

/// What came of it.
pub(super) struct Group {
    /// Those that could be opened, their transactions open; none without a moment of all.
    pub begun: Vec<Begun>,
    /// Those that are not of the moment, and why.
    pub left_out: Vec<(PathBuf, String)>,
    /// How often it was tried.
    pub tries: u32,
}

/// Begins the transactions of all that can be opened, at one moment; of none if that does not succeed
/// within the longest wait of a request. As long are locks waited for before, of all together.
pub(super) fn begin(requests: Vec<Request>) -> Group {
    let patience = requests.iter().map(|request| request.wait).max().unwrap_or_default();
    let (mut members, mut left_out) = (Vec::new(), Vec::new());
    let start = Instant::now();
    for request in requests {
        let path = request.path.clone();
        match Member::open(request, &|| patience.saturating_sub(start.elapsed()).max(LOCK_WAIT)) {
            Ok(member) => members.push(member),
            Err(failure) => left_out.push((path, failure.what())),
        }
    }
    let start = Instant::now();
    let mut tries = 1;
    while !matches!(attempt(&members), Ok(true)) {
        members.iter().for_each(Member::end);
        if start.elapsed() >= patience {
            return Group { begun: Vec::new(), left_out, tries };
        }
        std::thread::sleep(PAUSE);
        tries += 1;
    }
    let mut begun = Vec::new();
    for Member { request, opened, .. } in members {
        let path = request.path.clone();
        match Begun::new(request, opened) {
            Ok(member) => begun.push(member),
            // It fails again, by name, when its turn comes.
            Err(error) => left_out.push((path, error.to_string())),
        }
    }
    Group { begun, left_out, tries }
}

/// True if all transactions have begun, and show one moment.
fn attempt(members: &[Member]) -> rusqlite::Result<bool> {
    let versions = || members.iter().map(Member::version).collect::<rusqlite::Result<Vec<_>>>();
    let before = versions()?;
    members.iter().try_for_each(|member| open::begin(&member.opened.0))?;
    Ok(versions()? == before)
}

struct Member {
    request: Request,
    opened: Opened,
    /// Sees commits of others while the transaction of the other one is open.
    watch: Connection,
}

impl Member {
    /// Locks are waited for as long as `wait` says; once transactions are open, not for long.
    fn open(request: Request, wait: &dyn Fn() -> Duration) -> Result<Self, Failure> {
        let (watch, _) = open::open(&request.path, wait())?;
        let opened = open::open(&request.path, wait())?;
        watch.pragma_update(None, "cache_size", WATCH_CACHE_PAGES)?;
        for connection in [&watch, &opened.0] {
            connection.busy_timeout(LOCK_WAIT)?;
        }
        Ok(Self { request, opened, watch })
    }

    fn version(&self) -> rusqlite::Result<i64> {
        self.watch.query_row("PRAGMA data_version", [], |row| row.get(0))
    }

    fn end(&self) {
        // One that had not begun has nothing to end.
        let _ = self.opened.0.execute_batch("ROLLBACK");
    }
}
