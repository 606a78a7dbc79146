//! Databases that are read without locks: where nothing can be written beside them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::capture::Failure;
use super::{SIDECARS, beside};

/// Inode, length, and times of change, seconds and nanoseconds each, of a file that nobody writes.
#[derive(PartialEq, Eq)]
pub(super) struct Still {
    inode: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Still {
    /// The state of a database that holds everything itself: nothing waits beside it to be played in or
    /// to be rolled back.
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        let [wal, _, journal] = SIDECARS;
        for (end, what) in [(wal, "commits to recover"), (journal, "a transaction to roll back")] {
            let found = fs::symlink_metadata(beside(path, end));
            if found.is_ok_and(|found| found.len() == 0) || is_absent(path, end) {
                continue;
            }
            let what = format!(
                "{end} beside it holds {what} first, and that takes the right to write there: let \
                 its application open it once"
            );
            return Err(Failure::Database(what));
        }
        let found = fs::metadata(path).map_err(|error| Failure::Database(error.to_string()))?;
        Ok(Self {
            inode: (found.dev(), found.ino()),
            len: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// Fails if anything was written to the database since: then its pages may be of two states.
    pub(super) fn holds(&self, path: &Path) -> Result<(), Failure> {
        if *self == Self::of(path)? {
            return Ok(());
        }
        let what = "it was written to while it was read without locks, since nothing can be written \
                    to its folder";
        Err(Failure::Database(what.to_owned()))
    }
}

fn is_absent(path: &Path, end: &str) -> bool {
    let found = fs::symlink_metadata(beside(path, end));
    found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}
