//! What SQLite databases need besides their bytes.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{AtFlags, FileType, Mode, openat};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::error::Outcome;
use super::existing::{READ, read_exactly};
use super::folder::rename_to_free;
use super::{FileFacts, Folder, NewFile, Target, TargetError};
use crate::crash;

/// First bytes of every database that is not encrypted.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// What SQLite puts behind a database's name for its other files.
pub const SIDECARS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// What SQLite says of a database.
#[derive(Debug)]
pub enum DatabaseCheck {
    Sound,
    /// The first thing that is wrong.
    Broken(String),
    /// Why it cannot tell: it needs something of the application's, say.
    Unknown(String),
}

impl Target {
    /// Who uses the database `name`, which is there already: a process that has it open, or one that
    /// holds a lock of SQLite on it. As another user than root only own processes can be seen.
    #[must_use]
    pub fn user_of_database(
        &self,
        folder: &Arc<Folder>,
        name: &[u8],
        (handle, facts): (&OwnedFd, &FileFacts),
    ) -> Option<String> {
        if let Some(user) = holder(facts.inode) {
            return Some(user);
        }
        let shared = [name, b"-shm"].concat();
        let above = self.handle(folder).ok();
        let shared =
            above.and_then(|above| openat(&*above, shared.as_slice(), READ, Mode::empty()).ok());
        let locked = [Some(handle), shared.as_ref()].into_iter().flatten().find_map(locker);
        locked.map(|pid| format!("process {pid}"))
    }

    /// Which files of SQLite stand beside `name`, by what is behind it in theirs.
    #[must_use]
    pub fn sidecars(&self, folder: &Arc<Folder>, name: &[u8]) -> Vec<&'static str> {
        let Some(above) = self.handle(folder).ok().filter(|_| !folder.is_new()) else {
            return Vec::new();
        };
        let is_there = |end: &&str| {
            let sidecar = [name, end.as_bytes()].concat();
            rustix::fs::statat(&*above, sidecar.as_slice(), AtFlags::SYMLINK_NOFOLLOW).is_ok()
        };
        SIDECARS.into_iter().filter(is_there).collect()
    }

    /// True if the file `name` begins as a database does.
    #[must_use]
    pub fn begins_as_database(&self, folder: &Arc<Folder>, name: &[u8]) -> bool {
        let above = self.handle(folder).ok();
        let file = above.and_then(|above| openat(&*above, name, READ, Mode::empty()).ok());
        file.is_some_and(|file| is_database(&file))
    }

    /// The same of a file whose bytes are all written, before it is called so.
    #[must_use]
    pub fn is_new_database(&self, folder: &Arc<Folder>, name: &[u8], file: &NewFile) -> bool {
        self.begins_as_database(folder, file.current_name(name))
    }

    /// Removes the files of SQLite that belong to an older database `name`, of those `ends`: it would
    /// play them into the restored one.
    ///
    /// # Errors
    /// `Entry` if one cannot be removed.
    pub fn remove_sidecars(&self, folder: &Arc<Folder>, name: &[u8], ends: &[&str]) -> Outcome<()> {
        if folder.is_new() {
            return Ok(());
        }
        let above = self.handle(folder)?;
        for end in ends {
            let sidecar = [name, end.as_bytes()].concat();
            crash::point("remove sidecar");
            match rustix::fs::unlinkat(&*above, sidecar.as_slice(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(TargetError::from_errno("remove sidecar", errno)),
            }
        }
        Ok(())
    }

    /// Calls `replace`, which puts another database in the place of `name`, and removes the files of
    /// SQLite that belong to the older one, of those `ends`. They stand aside meanwhile, and come back if it fails: the
    /// older database needs them then.
    ///
    /// # Errors
    /// As `replace`; `Entry` if one of the files cannot be moved.
    pub fn replace_database(
        &self,
        folder: &Arc<Folder>,
        (name, ends): (&[u8], &[&str]),
        replace: impl FnOnce() -> Outcome<()>,
    ) -> Outcome<()> {
        if folder.is_new() {
            return replace();
        }
        let above = self.handle(folder)?;
        let mut aside = Vec::new();
        let moved = ends.iter().try_for_each(|end| {
            let sidecar = [name, end.as_bytes()].concat();
            crash::point("move sidecar");
            let put_aside = |new: &[u8]| move_file(&above, &sidecar, new);
            match self.temporaries.make(folder, false, put_aside) {
                Ok((temporary, ())) => aside.push((sidecar, temporary)),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(TargetError::from_errno("move sidecar", errno)),
            }
            Ok(())
        });
        let outcome = moved.and_then(|()| replace());
        for (sidecar, temporary) in aside {
            if outcome.is_ok() {
                self.remove_temporary(folder, &temporary, false);
            } else {
                let _ = rename_to_free(&above, temporary.as_bytes(), &sidecar);
            }
            self.temporaries.release(&temporary);
        }
        outcome
    }

    /// Opens a database whose bytes are all written, to have it checked.
    ///
    /// # Errors
    /// `Entry` if its folder cannot be reached.
    pub fn open_database(
        &self,
        folder: &Arc<Folder>,
        name: &[u8],
        file: &NewFile,
    ) -> Outcome<rusqlite::Result<Connection>> {
        let above = self.handle(folder)?;
        Ok(open_unused(&above, file.current_name(name)))
    }
}

/// True if an open file begins as a database does.
#[must_use]
pub fn is_database(handle: &OwnedFd) -> bool {
    let mut first = [0; MAGIC.len()];
    read_exactly(handle, 0, &mut first) && first == *MAGIC
}

/// Opens a database that nobody uses: by our handle of its folder, so that nobody can lead us
/// elsewhere, and so that nothing is made beside it.
pub(super) fn open_unused(folder: &OwnedFd, name: &[u8]) -> rusqlite::Result<Connection> {
    let name = escaped(name);
    let uri = format!("file:/proc/self/fd/{}/{name}?immutable=1", folder.as_raw_fd());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags)
}

impl DatabaseCheck {
    /// What SQLite says of an opened database; reads all of it.
    #[must_use]
    pub fn of(opened: rusqlite::Result<Connection>) -> Self {
        let checked = opened.and_then(|connection| {
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
        });
        match checked {
            Ok(found) if found == "ok" => Self::Sound,
            Ok(found) => Self::Broken(found),
            Err(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    Self::Broken(error.to_string())
                }
                _ => Self::Unknown(error.to_string()),
            },
        }
    }
}

/// Renames what is no directory to a free name.
fn move_file(folder: &OwnedFd, from: &[u8], to: &[u8]) -> rustix::io::Result<()> {
    let stat = rustix::fs::statat(folder, from, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    rename_to_free(folder, from, to)
}

/// A process besides ours that has the file open.
fn holder(inode: (u64, u64)) -> Option<String> {
    let own = std::process::id().to_string();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let name = name.to_string_lossy();
        if name == own.as_str() || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(handles) = fs::read_dir(process.path().join("fd")) else { continue };
        let has_it = handles.flatten().any(|handle| {
            fs::metadata(handle.path()).is_ok_and(|meta| (meta.dev(), meta.ino()) == inode)
        });
        if has_it {
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("process {name} ({})", command.trim_end()));
        }
    }
    None
}

/// A process that holds a lock on any byte of the file.
fn locker(handle: &OwnedFd) -> Option<i32> {
    let any = Flock::from(FlockType::WriteLock);
    let lock = fcntl_getlk(handle, &any).ok().flatten()?;
    Some(lock.pid.map_or(0, |pid| pid.as_raw_nonzero().get()))
}

/// A name as a part of a URI.
fn escaped(name: &[u8]) -> String {
    name.iter().map(|byte| format!("%{byte:02x}")).collect()
}
