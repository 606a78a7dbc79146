//! Directories by handle: every name is looked up in an open directory, never by a whole path, so
//! that no symbolic link is followed and no path is too long. Few handles stay open; a closed
//! one is opened again from the nearest open directory above it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::owner::Owners;
use super::stat::Stat;
use crate::source::open_files::raise_open_files;

/// Directory handles kept open.
const HANDLE_COUNT_MAX: usize = 512;

/// What the directories of one walk have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) owners: Owners,
    euid: u32,
    handle_count_max: usize,
    /// Directories whose handle was opened, oldest first.
    opened: Mutex<VecDeque<Weak<Directory>>>,
}

/// A directory of the walked tree.
#[derive(Debug)]
pub(super) struct Directory {
    shared: Arc<Shared>,
    /// None for `/`, whose handle stays open.
    parent: Option<Arc<Directory>>,
    /// Relative to `/`, where it is empty.
    path: Box<[u8]>,
    /// As its parent told it.
    stat: Stat,
    /// False if it is only passed through, for which no right to list it is needed.
    is_listed: bool,
    handle: Mutex<Option<Arc<OwnedFd>>>,
}

impl Directory {
    /// Opens `/`, and raises the limit of open files as far as it goes.
    pub(super) fn top(is_listed: bool) -> Result<Arc<Self>, Errno> {
        let shared = Shared {
            owners: Owners::default(),
            euid: geteuid().as_raw(),
            handle_count_max: handle_count_max(),
            opened: Mutex::default(),
        };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let access = if is_listed { OFlags::RDONLY } else { OFlags::PATH };
        let handle = rustix::fs::open(c"/", flags | access, Mode::empty())?;
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
            parent: None,
            path: Box::default(),
            stat: Stat::of(&handle)?,
            is_listed,
            handle: Mutex::new(Some(Arc::new(handle))),
        }))
    }

    /// The directory of this path in `self`, not opened yet.
    pub(super) fn child(
        self: &Arc<Self>,
        path: impl Into<Box<[u8]>>,
        stat: &Stat,
        is_listed: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(&self.shared),
            parent: Some(Arc::clone(self)),
            path: path.into(),
            stat: *stat,
            is_listed,
            handle: Mutex::default(),
        })
    }

    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    pub(super) fn stat(&self) -> &Stat {
        &self.stat
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The path of `name` in this directory.
    pub(super) fn join(&self, name: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.path.len() + 1 + name.len());
        if !self.path.is_empty() {
            path.extend_from_slice(&self.path);
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    /// The open directory.
    ///
    /// # Errors
    /// As the kernel gives them; `ESTALE` if another directory stands there by now.
    pub(super) fn handle(self: &Arc<Self>) -> Result<Arc<OwnedFd>, Errno> {
        let mut closed = Vec::new();
        let mut at = self;
        let mut handle = loop {
            if let Some(handle) = &*at.lock() {
                break Arc::clone(handle);
            }
            closed.push(at);
            at = at.parent.as_ref().ok_or(Errno::BADF)?;
        };
        for directory in closed.into_iter().rev() {
            handle = Arc::new(directory.open_in(&handle)?);
            *directory.lock() = Some(Arc::clone(&handle));
            self.shared.close_oldest(directory);
        }
        Ok(handle)
    }

    fn open_in(&self, parent: &OwnedFd) -> Result<OwnedFd, Errno> {
        let access = if self.is_listed { OFlags::RDONLY } else { OFlags::PATH };
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | access;
        let name = self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let handle = self.shared.open(parent, name, flags, self.stat.uid)?;
        // A directory that was moved here since would be stored under the wrong metadata.
        if Stat::of(&handle)?.is_same_file(&self.stat) { Ok(handle) } else { Err(Errno::STALE) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Directory {
    /// Drops the directories above one by one: a deep tree must not exhaust the stack.
    fn drop(&mut self) {
        let mut above = self.parent.take();
        while let Some(mut directory) = above.and_then(Arc::into_inner) {
            above = directory.parent.take();
        }
    }
}

impl Shared {
    /// Opens a file or directory of `uid`, without touching its access time where that is allowed.
    pub(super) fn open(
        &self,
        parent: &OwnedFd,
        name: &[u8],
        flags: OFlags,
        uid: u32,
    ) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        let may_hide = (self.euid == 0 || self.euid == uid) && !flags.contains(OFlags::PATH);
        if may_hide {
            match openat(parent, name, flags | OFlags::NOATIME, Mode::empty()) {
                Err(Errno::PERM) => {}
                opened => return opened,
            }
        }
        openat(parent, name, flags, Mode::empty())
    }

    /// Remembers that `directory` was opened, and closes the one opened longest ago.
    fn close_oldest(&self, directory: &Arc<Directory>) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.push_back(Arc::downgrade(directory));
        let oldest = (opened.len() > self.handle_count_max).then(|| opened.pop_front());
        drop(opened);
        if let Some(oldest) = oldest.flatten().and_then(|oldest| oldest.upgrade()) {
            // Who is using the handle keeps it alive until done.
            drop(oldest.lock().take());
        }
    }
}

/// How many directories may be open.
fn handle_count_max() -> usize {
    let quarter = raise_open_files().and_then(|allowed| usize::try_from(allowed / 4).ok());
    quarter.map_or(HANDLE_COUNT_MAX, |quarter| quarter.clamp(8, HANDLE_COUNT_MAX))
}
