//! The live side of a restore: creates and writes below one directory, and nowhere else.
//!
//! Every object is reached by directory handle; a symbolic link inside the target is never
//! followed, only replaced. Nothing unfinished has its final name: a file is written under a
//! temporary name beside it, or inside a directory that itself still has one (a *staged*
//! directory), and is renamed after its bytes were synced. Renaming one directory instead of its
//! files saves a third of the time of many small files.

mod beneath;
mod copy;
mod database;
mod error;
mod existing;
mod file;
mod folder;
mod look;
mod metadata;
mod special;
mod spool;
mod sweep;
mod sync;
mod temporary;

pub use database::{DatabaseCheck, SIDECARS, is_database};
pub use error::{Outcome, TargetError};
pub use existing::{Existing, FileFacts, is_zero_at, read_exactly};
pub use file::{FilePlan, NewFile};
pub use folder::{Folder, Made};
pub use look::{Found, Look, Seen, SeenShape, refuse_kept_place, room_at};
pub use metadata::{Metadata, Note, Policy};
pub use special::{Original, Special};
pub use spool::Spool;
pub use sync::Durability;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::error::{Error, Kind, Result};
use folder::Handles;
use metadata::{Notes, Rights};
use sync::Devices;
use temporary::Temporaries;

/// How often a target that is locked is tried, and the pause after each.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A directory being restored into. Shared by threads.
#[derive(Debug)]
pub struct Target {
    root: Arc<Folder>,
    location: String,
    rights: Rights,
    policy: Policy,
    notes: Notes,
    handles: Handles,
    devices: Devices,
    temporaries: Temporaries,
}

/// Room on the file system of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes this process may still write.
    pub bytes: u64,
    /// Files and directories this process may still make; none where the file system has no such
    /// bound.
    pub inodes: Option<u64>,
}

impl Room {
    fn new(stat: &rustix::fs::StatVfs) -> Self {
        Self {
            bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            inodes: (stat.f_files > 0).then_some(stat.f_favail),
        }
    }
}

impl Target {
    /// Opens `dir` to restore into it, creating it (mode 0700) and its parents if need be. Symbolic
    /// links in `dir` itself are followed: it is the user's word.
    ///
    /// # Errors
    /// `Conflict` while another restore writes into it; `Refused`, `NotFound`, `NoSpace` from the
    /// system.
    pub fn open(dir: &Path, policy: Policy) -> Result<Self> {
        let location = dir.display().to_string();
        let failed = |error| Error::io(format!("restore target {location}"), error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle =
            rustix::fs::open(dir, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        lock(&handle, &location)?;
        let target = Self {
            root: Arc::new(Folder::root()),
            location,
            rights: Rights::of_this_process(),
            policy,
            notes: Notes::default(),
            handles: Handles::default(),
            devices: Devices::default(),
            temporaries: Temporaries::new(),
        };
        target.adopt_root(handle).map_err(|error| error.into_error(&target.location))?;
        Ok(target)
    }

    /// The target directory itself.
    pub fn root(&self) -> &Arc<Folder> {
        &self.root
    }

    /// The target as the user named it.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Removes every temporary this target made that did not get its final name.
    pub fn clean(&self) {
        for (name, temporary) in self.temporaries.take_all() {
            self.remove_temporary(&temporary.folder, &name, temporary.is_tree);
        }
    }

    /// True if this process may give files away.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.rights.is_root
    }

    /// Notes that an entry was left out, once per reason.
    pub fn left_out(&self, what: &str, path: &[u8]) {
        self.notes.add(what.to_owned(), path);
    }

    /// What could not be set and was let be, once per kind of trouble.
    pub fn take_notes(&self) -> Vec<Note> {
        self.notes.take()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.clean();
    }
}

/// Two restores into one directory would sweep each other's temporaries: the second is refused. The
/// lock ends with the process, or a moment later: a child that was just forked has it until its
/// program begins. File systems without locks go on without.
fn lock(handle: &OwnedFd, location: &str) -> Result<()> {
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(handle, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => thread::sleep(LOCK_PAUSE),
            _ => return Ok(()),
        }
    }
    let what = format!("restore target {location}: another restore is writing into it");
    Err(Error::new(Kind::Conflict, what))
}

/// What a lock guards stays sound when another thread panicked: every change is one assignment or
/// insertion.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
