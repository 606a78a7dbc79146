//! Directories of a target, reached by handle.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use super::beneath;
use super::error::{Named, Outcome, TargetError};
use super::metadata::{self, Metadata};
use super::temporary::TemporaryName;
use super::{Target, guard};
use crate::crash;

/// Handles kept open at most; evicted ones are opened again from the root.
const HANDLE_COUNT_MAX: usize = 256;
/// Tries to reach a directory whose path changes because a staged directory above it gets its name.
const REOPEN_COUNT_MAX: usize = 1000;

/// A directory below a target.
#[derive(Debug)]
pub struct Folder {
    parent: Option<Arc<Folder>>,
    name: Box<[u8]>,
    /// The name it has until it is published.
    temporary: Mutex<Option<TemporaryName>>,
    /// The batch in which it, or a directory above it, was staged: until that batch is settled
    /// nobody sees it.
    stage: Option<u64>,
    is_new: bool,
    /// What an existing directory's mode was before this process made it writable for itself.
    mode_before: Option<u32>,
    facts: OnceLock<Facts>,
    handle: Mutex<Option<Arc<OwnedFd>>>,
}

/// What is known of a directory since it was first opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    device: u64,
    inode: u64,
    pub(super) gid: u32,
    /// New files in it get an access ACL.
    pub(super) gives_acl: bool,
}

/// Whether a directory was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    New,
    Existed,
}

/// Which directories have an open handle, oldest first.
#[derive(Debug, Default)]
pub(super) struct Handles(Mutex<VecDeque<Weak<Folder>>>);

impl Folder {
    pub(super) fn root() -> Self {
        Self::new(None, b"", None, Made::Existed)
    }

    fn new(parent: Option<Arc<Self>>, name: &[u8], stage: Option<u64>, made: Made) -> Self {
        Self {
            parent,
            name: name.into(),
            temporary: Mutex::default(),
            stage,
            is_new: made == Made::New,
            mode_before: None,
            facts: OnceLock::new(),
            handle: Mutex::default(),
        }
    }

    /// The directory `path` (several components) below `root`.
    pub(super) fn reached(root: &Arc<Self>, path: &[u8]) -> Self {
        Self::new(Some(Arc::clone(root)), path, None, Made::Existed)
    }

    /// Its path below the target, final names all the way.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        let mut names = vec![&self.name[..]];
        let mut above = self.parent.as_deref();
        while let Some(folder) = above.filter(|folder| folder.parent.is_some()) {
            names.push(&folder.name);
            above = folder.parent.as_deref();
        }
        names.reverse();
        names.join(&b'/')
    }

    /// True if this restore made it: nothing of others is inside.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// True while nobody sees what is written into it during `batch`.
    #[must_use]
    pub fn is_staged_in(&self, batch: u64) -> bool {
        self.stage == Some(batch)
    }

    /// True if it has a temporary name itself and waits for [`Target::publish`].
    #[must_use]
    pub fn awaits_publishing(&self) -> bool {
        guard(&self.temporary).is_some()
    }

    /// True if it and all above have their final names.
    #[must_use]
    pub fn is_published(&self) -> bool {
        let mut at = Some(self);
        while let Some(folder) = at {
            if folder.awaits_publishing() {
                return false;
            }
            at = folder.parent.as_deref();
        }
        true
    }

    fn physical_name(&self) -> Vec<u8> {
        guard(&self.temporary)
            .as_ref()
            .map_or_else(|| self.name.to_vec(), |name| name.as_bytes().to_vec())
    }

    fn open_handle(&self) -> Option<Arc<OwnedFd>> {
        guard(&self.handle).clone()
    }

    pub(super) fn facts(&self) -> Option<Facts> {
        self.facts.get().copied()
    }
}

impl Target {
    /// Makes the directory `name` in `parent`, or takes the one that is there. What was not there
    /// is staged: it has mode 0700 and a temporary name (or stands in a staged directory) until
    /// `batch` is settled. A symbolic link with its name is removed if `may_replace`.
    ///
    /// # Errors
    /// `Entry` if something else has the name or the system refuses; `Fatal` if the target is full.
    pub fn make_folder(
        &self,
        parent: &Arc<Folder>,
        name: &[u8],
        batch: u64,
        may_replace: bool,
    ) -> Outcome<Arc<Folder>> {
        let above = self.handle(parent)?;
        let private = Mode::RWXU;
        if parent.is_staged_in(batch) {
            rustix::fs::mkdirat(&*above, name, private).named("make directory")?;
            return Ok(Arc::new(Folder::new(
                Some(Arc::clone(parent)),
                name,
                Some(batch),
                Made::New,
            )));
        }
        if !parent.is_new {
            match rustix::fs::statat(&*above, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(TargetError::from_errno("look at directory", errno)),
                Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => return self.take_folder(parent, &above, name, &stat),
                    FileType::Symlink if may_replace => {
                        rustix::fs::unlinkat(&*above, name, AtFlags::empty())
                            .named("replace symbolic link")?;
                    }
                    _ => return Err(TargetError::from_errno("make directory", Errno::NOTDIR)),
                },
            }
        }
        crash::point("make directory");
        let make = |temporary: &[u8]| rustix::fs::mkdirat(&*above, temporary, private);
        let (temporary, ()) = self.temporaries.make(parent, true, make).named("make directory")?;
        crash::point("directory made");
        let folder = Folder::new(Some(Arc::clone(parent)), name, Some(batch), Made::New);
        *guard(&folder.temporary) = Some(temporary);
        Ok(Arc::new(folder))
    }

    fn take_folder(
        &self,
        parent: &Arc<Folder>,
        above: &OwnedFd,
        name: &[u8],
        stat: &Stat,
    ) -> Outcome<Arc<Folder>> {
        let mut folder = Folder::new(Some(Arc::clone(parent)), name, None, Made::Existed);
        let mode = stat.st_mode & 0o7777;
        if !self.rights.is_root && mode & 0o700 != 0o700 && stat.st_uid == self.rights.uid {
            widen(above, name, mode).named("make directory writable")?;
            folder.mode_before = Some(mode);
        }
        let folder = Arc::new(folder);
        let handle = self.handle(&folder)?;
        self.sweep(&handle);
        Ok(folder)
    }

    /// Sets the metadata of a directory whose contents are complete; without `metadata` only takes
    /// back what [`Self::make_folder`] widened.
    ///
    /// # Errors
    /// `Entry` if it cannot be reached any more.
    pub fn finish_folder(
        &self,
        folder: &Arc<Folder>,
        path: &[u8],
        metadata: Option<&Metadata>,
    ) -> Outcome<()> {
        match (metadata, folder.mode_before) {
            (Some(metadata), _) => {
                let handle = self.handle(folder)?;
                let before =
                    metadata::Before { strip: !folder.is_new, ..metadata::Before::default() };
                self.apply(&handle, path, metadata, &before, metadata::Shape::Directory);
            }
            (None, Some(mode)) => {
                let handle = self.handle(folder)?;
                rustix::fs::fchmod(&*handle, Mode::from_raw_mode(mode)).named("set mode")?;
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Gives a staged directory its name. What it holds has been synced.
    ///
    /// # Errors
    /// `Entry` if the name is taken meanwhile, or by a name that differs only in case on a file
    /// system that does not tell the two apart; the staged directory is removed then.
    pub fn publish(&self, folder: &Arc<Folder>) -> Outcome<()> {
        let Some(parent) = &folder.parent else { return Ok(()) };
        let above = self.handle(parent)?;
        // Held over the renaming: whoever looks for the directory meanwhile waits for its name.
        let mut name = guard(&folder.temporary);
        let Some(temporary) = *name else { return Ok(()) };
        crash::point("publish directory");
        let renamed = rename_to_free(&above, temporary.as_bytes(), &folder.name);
        crash::point("directory published");
        if renamed.is_ok() {
            *name = None;
        }
        drop(name);
        if renamed.is_err() {
            self.remove_temporary(parent, &temporary, true);
        }
        self.temporaries.release(&temporary);
        renamed.named("publish directory")
    }

    /// The open handle of a directory.
    pub(super) fn handle(&self, folder: &Arc<Folder>) -> Outcome<Arc<OwnedFd>> {
        if let Some(handle) = folder.open_handle() {
            return Ok(handle);
        }
        let mut tries = 0;
        loop {
            let (from, path) = route(folder).named("open directory")?;
            match beneath::open_directory(from.as_fd(), &path) {
                Ok(opened) => return self.adopt(folder, opened),
                Err(Errno::NOENT) if tries < REOPEN_COUNT_MAX => tries += 1,
                Err(errno) => return Err(TargetError::from_errno("open directory", errno)),
            }
        }
    }

    pub(super) fn adopt_root(&self, opened: OwnedFd) -> Outcome<()> {
        let handle = self.adopt(&self.root.clone(), opened)?;
        self.sweep(&handle);
        Ok(())
    }

    fn adopt(&self, folder: &Arc<Folder>, opened: OwnedFd) -> Outcome<Arc<OwnedFd>> {
        let stat = rustix::fs::fstat(&opened).named("look at directory")?;
        let handle = Arc::new(opened);
        let facts = folder.facts.get_or_init(|| {
            self.devices.add(stat.st_dev, &handle);
            let gives_acl = match &folder.parent {
                Some(parent) if folder.is_new => {
                    if parent.facts().is_none_or(|facts| facts.gives_acl) {
                        metadata::remove_acls(&handle);
                    }
                    false
                }
                _ => metadata::has_default_acl(&handle),
            };
            Facts { device: stat.st_dev, inode: stat.st_ino, gid: stat.st_gid, gives_acl }
        });
        if (facts.device, facts.inode) != (stat.st_dev, stat.st_ino) {
            return Err(TargetError::Entry(
                "the directory was replaced during the restore".to_owned(),
            ));
        }
        *guard(&folder.handle) = Some(Arc::clone(&handle));
        if folder.parent.is_some() {
            self.handles.keep(folder);
        }
        Ok(handle)
    }
}

impl Handles {
    fn keep(&self, folder: &Arc<Folder>) {
        let evicted = {
            let mut open = guard(&self.0);
            open.push_back(Arc::downgrade(folder));
            if open.len() > HANDLE_COUNT_MAX { open.pop_front() } else { None }
        };
        if let Some(folder) = evicted.and_then(|folder| folder.upgrade()) {
            guard(&folder.handle).take();
        }
    }
}

/// The nearest directory above with an open handle, and the path from there.
fn route(folder: &Arc<Folder>) -> rustix::io::Result<(Arc<OwnedFd>, Vec<u8>)> {
    let mut names = vec![folder.physical_name()];
    let mut at = folder.parent.as_ref();
    while let Some(above) = at {
        if let Some(handle) = above.open_handle() {
            names.reverse();
            return Ok((handle, names.join(&b'/')));
        }
        names.push(above.physical_name());
        at = above.parent.as_ref();
    }
    Err(Errno::BADF)
}

/// Renames within one directory, never over something. File systems that cannot promise it are
/// looked at first.
pub(super) fn rename_to_free(folder: &OwnedFd, from: &[u8], to: &[u8]) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            match rustix::fs::statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => rustix::fs::renameat(folder, from, folder, to),
                Ok(_) => Err(Errno::EXIST),
                Err(errno) => Err(errno),
            }
        }
        outcome => outcome,
    }
}

/// Lets the owner read, write and enter a directory of its own that could not be opened otherwise.
pub(super) fn widen(above: &OwnedFd, name: &[u8], mode: u32) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = rustix::fs::openat(above, name, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    rustix::fs::chmod(path, Mode::from_raw_mode(mode | 0o700))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::crash;
    use crate::target::Policy;

    #[test]
    fn a_directory_is_found_while_it_gets_its_name() {
        let scratch = tempfile::tempdir().unwrap();
        let target = Target::open(scratch.path(), Policy::default()).unwrap();
        for name in [b"one", b"two"] {
            let folder = target.make_folder(target.root(), name, 1, false).unwrap();
            let inner = target.make_folder(&folder, b"inner", 1, false).unwrap();
            let is_done = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    // The thread is held up where it hurts most.
                    crash::set_hook(Box::new(|_| thread::sleep(Duration::from_millis(20))));
                    target.publish(&folder).unwrap();
                    is_done.store(true, Ordering::SeqCst);
                });
                while !is_done.load(Ordering::SeqCst) {
                    for looked_for in [&folder, &inner] {
                        guard(&folder.handle).take();
                        guard(&looked_for.handle).take();
                        target.handle(looked_for).unwrap();
                    }
                }
            });
        }
    }
}
