//! A store in a directory.
//!
//! An object is written to `tmp/`, synced, renamed without replacing, and its directory is synced.
//! A failed sync is never tried again, because the second one can claim success for pages that the
//! kernel has dropped ("Can Applications Recover from fsync Failures?", ATC 2020).

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{
    Creation, Listed, Staged, Store, TMP, check_name, check_prefix, not_found, too_long, too_short,
};
use crate::crash::point;
use crate::error::{Error, Kind, Result};

/// Unfinished objects untouched for this long, whose writer is gone, are swept.
const STALE_SECS: u64 = 24 * 3600;

/// A store in a directory of a local or mounted file system.
///
/// The directory is held open, so that an unmounted or replaced one cannot pass for an empty store.
#[derive(Debug)]
pub struct LocalStore {
    path: PathBuf,
    root: Arc<OwnedFd>,
    tmp: OnceLock<Arc<OwnedFd>>,
    /// Folders known to exist durably.
    folders: Mutex<HashSet<String>>,
    staged_count: AtomicU64,
}

impl LocalStore {
    /// Opens the store in the directory `path`.
    ///
    /// # Errors
    /// `NotFound` if there is no such directory; `Refused` or `Unavailable` if it cannot be opened.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let root = rustix::fs::open(&path, DIRECTORY, Mode::empty())
            .map_err(|errno| failed(format!("opening the store {}", path.display()), errno))?;
        Ok(Self {
            path,
            root: Arc::new(root),
            tmp: OnceLock::new(),
            folders: Mutex::default(),
            staged_count: AtomicU64::new(0),
        })
    }

    /// Opens the store in the directory `path`, which is made, with its parents, if absent.
    ///
    /// # Errors
    /// `NoSpace`, `Refused` or `Unavailable`.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        make_durably(&path)
            .map_err(|error| Error::io(format!("making the store {}", path.display()), error))?;
        Self::open(path)
    }

    /// The directory the store is in.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_object(&self, name: &str) -> Result<(File, u64)> {
        check_name(name)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&*self.root, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(self.absent(name)),
            Err(errno) => return Err(self.failed("opening", name, errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| self.failed("opening", name, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::new(
                Kind::Corrupt,
                format!("{name} in {} is not a regular file", self.location()),
            ));
        }
        Ok((file, u64::try_from(stat.st_size).unwrap_or(0)))
    }

    fn read(&self, file: &File, name: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        match file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(self.unread(name, error)),
        }
    }

    /// The error for an object that cannot be read: damage of this one object, if the disk says that
    /// it has lost the bytes, so that whoever looks at all of them goes on to the next.
    fn unread(&self, name: &str, error: io::Error) -> Error {
        let lost = [Errno::IO, Errno::UCLEAN, Errno::BADMSG].map(Errno::raw_os_error);
        if error.raw_os_error().is_some_and(|errno| lost.contains(&errno)) {
            let what = format!("{name} in {} cannot be read: {error}", self.location());
            return Error::new(Kind::Corrupt, format!("{what} (a failing or unplugged disk?)"));
        }
        Error::io(format!("reading {name} in {}", self.location()), error)
    }

    /// The error for a missing object: that of the object, unless the whole store is gone.
    fn absent(&self, name: &str) -> Error {
        match self.check_alive() {
            Ok(()) => not_found(name, &self.location()),
            Err(error) => error,
        }
    }

    fn check_alive(&self) -> Result<()> {
        let what = || format!("the store {} is gone", self.location());
        match rustix::fs::fstat(&*self.root) {
            Ok(stat) if stat.st_nlink > 0 => Ok(()),
            Ok(_) => Err(Error::new(Kind::Unavailable, what())),
            Err(errno) => Err(failed(what(), errno)),
        }
    }

    fn failed(&self, what: &str, name: &str, errno: Errno) -> Error {
        failed(format!("{what} {name} in {}", self.location()), errno)
    }

    /// Makes the folders of `name`, each with a durable entry in its own parent.
    fn make_folders(&self, name: &str) -> Result<()> {
        let ends = name.match_indices('/').map(|(end, _)| end);
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in ends.filter_map(|end| name.get(..end)) {
            if folders.contains(folder) {
                continue;
            }
            point("before making a folder");
            match rustix::fs::mkdirat(&*self.root, folder, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.failed("making the folder of", name, errno)),
            }
            point("after making a folder");
            self.sync_folder(parent(folder), name)?;
            folders.insert(folder.to_owned());
        }
        Ok(())
    }

    fn sync_folder(&self, folder: &str, name: &str) -> Result<()> {
        let failed = |errno| self.failed("syncing the folder of", name, errno);
        point("before syncing a folder");
        if folder.is_empty() {
            rustix::fs::fsync(&*self.root).map_err(failed)?;
        } else {
            let folder = rustix::fs::openat(&*self.root, folder, DIRECTORY, Mode::empty());
            rustix::fs::fsync(folder.map_err(failed)?).map_err(failed)?;
        }
        point("after syncing a folder");
        Ok(())
    }

    fn tmp(&self) -> Result<Arc<OwnedFd>> {
        if let Some(tmp) = self.tmp.get() {
            return Ok(Arc::clone(tmp));
        }
        let failed = |errno| self.failed("opening the folder", TMP, errno);
        match rustix::fs::mkdirat(&*self.root, TMP, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let tmp = rustix::fs::openat(&*self.root, TMP, DIRECTORY, Mode::empty()).map_err(failed)?;
        sweep(&tmp);
        Ok(Arc::clone(self.tmp.get_or_init(|| Arc::new(tmp))))
    }

    /// Moves the staged file to its final name, unless that is taken.
    fn rename(&self, folder: &OwnedFd, staged: &str, name: &str) -> Result<Creation> {
        let no_replace = RenameFlags::NOREPLACE;
        let renamed = rustix::fs::renameat_with(folder, staged, &*self.root, name, no_replace);
        let moved = match renamed {
            // Not every file system knows the flag: a hard link does not replace either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::linkat(folder, staged, &*self.root, name, AtFlags::empty()).map(|()| {
                    let _ = rustix::fs::unlinkat(folder, staged, AtFlags::empty());
                })
            }
            other => other,
        };
        match moved {
            Ok(()) => Ok(Creation::Created),
            Err(Errno::EXIST) => Ok(Creation::Exists),
            Err(errno) => Err(self.failed("naming", name, errno)),
        }
    }

    fn list_folder(&self, folder: &str, each: &mut Listed<'_>) -> Result<()> {
        let failed = |errno| self.failed("listing", folder, errno);
        let path = if folder.is_empty() { "." } else { folder };
        let fd = match rustix::fs::openat(&*self.root, path, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return self.check_alive(),
            other => other.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // A name that is not of the store's alphabet is no object.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if !(name.starts_with('.') || folder.is_empty() && name == TMP) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        for name in names {
            let full = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let stat = match rustix::fs::statat(&fd, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                // Deleted since the folder was read.
                Err(Errno::NOENT) => continue,
                other => other.map_err(failed)?,
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => each(&full, u64::try_from(stat.st_size).unwrap_or(0))?,
                FileType::Directory => self.list_folder(&full, each)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Store for LocalStore {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>> {
        let (file, len) = self.open_object(name)?;
        match usize::try_from(len) {
            Ok(len_here) if len <= len_max => self.read(&file, name, 0, len_here),
            _ => Err(too_long(name, len, len_max)),
        }
    }

    fn get_range(&self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        let (file, file_len) = self.open_object(name)?;
        let end = offset.saturating_add(len as u64);
        if end > file_len {
            return Err(too_short(name, file_len, end));
        }
        self.read(&file, name, offset, len)
    }

    fn len(&self, name: &str) -> Result<Option<u64>> {
        match self.open_object(name) {
            Ok((_, len)) => Ok(Some(len)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn modified_ns(&self, name: &str) -> Result<Option<i64>> {
        check_name(name)?;
        match rustix::fs::statat(&*self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(nanoseconds(stat.st_mtime, stat.st_mtime_nsec))),
            Err(Errno::NOENT | Errno::NOTDIR) => self.check_alive().map(|()| None),
            Err(errno) => Err(self.failed("looking at", name, errno)),
        }
    }

    fn stage(&self) -> Result<Staged> {
        let tmp = self.tmp()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        loop {
            let count = self.staged_count.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{:x}-{count}", std::process::id(), self as *const _ as usize);
            point("before staging");
            match rustix::fs::openat(&*tmp, name.as_str(), flags, Mode::RUSR | Mode::WUSR) {
                // Another host's process of the same number.
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.failed("making", &name, errno)),
                Ok(fd) => {
                    // Tells a sweep that the writer lives; some file systems have no locks.
                    let _ = rustix::fs::flock(&fd, NON_BLOCKING_LOCK);
                    point("after staging");
                    return Ok(Staged::named(File::from(fd), self.location(), tmp, name));
                }
            }
        }
    }

    fn publish(&self, staged: Staged, name: &str) -> Result<Creation> {
        check_name(name)?;
        let Some((folder, staged_name)) = staged.place.clone() else {
            return Err(Error::new(Kind::Input, "the staged object is of another store"));
        };
        let failed = |errno| self.failed("syncing", name, errno);
        rustix::fs::fchmod(&staged.file, Mode::RUSR).map_err(failed)?;
        point("before syncing an object");
        rustix::fs::fsync(&staged.file).map_err(failed)?;
        point("after syncing an object");
        self.make_folders(name)?;
        point("before naming an object");
        let creation = self.rename(&folder, &staged_name, name)?;
        if creation == Creation::Created {
            staged.released();
        }
        point("after naming an object");
        // Also if it exists: whoever made it may not have come to this line yet.
        self.sync_folder(parent(name), name)?;
        Ok(creation)
    }

    fn list(&self, prefix: &str, each: &mut Listed<'_>) -> Result<()> {
        check_prefix(prefix)?;
        self.list_folder(prefix.strip_suffix('/').unwrap_or_default(), each)
    }

    fn delete(&self, name: &str) -> Result<()> {
        check_name(name)?;
        point("before deleting an object");
        match rustix::fs::unlinkat(&*self.root, name, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT | Errno::NOTDIR) => return self.check_alive(),
            Err(errno) => return Err(self.failed("deleting", name, errno)),
        }
        point("after deleting an object");
        self.sync_folder(parent(name), name)
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const NON_BLOCKING_LOCK: rustix::fs::FlockOperation =
    rustix::fs::FlockOperation::NonBlockingLockExclusive;

/// The folder of a name; empty for one at the top.
fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A time of the system's, whatever the widths of its parts here.
fn nanoseconds(secs: impl Into<i64>, nanos: impl TryInto<i64>) -> i64 {
    let nanos = nanos.try_into().unwrap_or(0);
    secs.into().saturating_mul(1_000_000_000).saturating_add(nanos)
}

fn failed(what: String, errno: Errno) -> Error {
    Error::io(what, io::Error::from(errno))
}

/// Makes `path` and its missing parents, each entry synced.
fn make_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_durably(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}

/// Removes what crashed writers left in `tmp/`. Best effort: nothing depends on it.
fn sweep(tmp: &OwnedFd) {
    let Ok(names) = rustix::fs::Dir::read_from(tmp) else { return };
    for entry in names.flatten() {
        let name = entry.file_name();
        let Ok(fd) = rustix::fs::openat(tmp, name, SWEEP, Mode::empty()) else { continue };
        let file = File::from(fd);
        let Ok(age) = file.metadata().and_then(|metadata| {
            metadata.modified()?.elapsed().map_err(|_| io::ErrorKind::Other.into())
        }) else {
            continue;
        };
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if is_file
            && age.as_secs() > STALE_SECS
            && rustix::fs::flock(file.as_fd(), NON_BLOCKING_LOCK).is_ok()
        {
            let _ = rustix::fs::unlinkat(tmp, name, AtFlags::empty());
        }
    }
}

const SWEEP: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_the_disk_has_lost_are_damage_of_their_object() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        // Nothing is mapped at address 0: the kernel answers as a bad sector does.
        let file = File::open("/proc/self/mem").unwrap();
        let error = store.read(&file, "packs/ab/c", 0, 1).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(error.to_string().contains("packs/ab/c"), "{error}");
    }
}
