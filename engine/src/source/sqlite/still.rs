//! Databases that are read without locks: where nothing can be written beside them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::capture::Failure;
use super::wal_len;

/// Inode, length, and times of change, seconds and nanoseconds each, of a file that nobody writes.
#[derive(PartialEq, Eq)]
pub(super) struct Still {
    inode: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Still {
    /// The state of a database that holds everything itself.
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        if wal_len(path) > 0 {
            let what = "its folder cannot be written to, and its WAL holds commits that SQLite must \
                        recover first: open it once where it can be written to, or give that right";
            return Err(Failure::Database(what.to_owned()));
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
