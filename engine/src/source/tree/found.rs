//! An entry that was found, and what is read of it only when needed.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use super::directory::Directory;
use super::open::OpenFile;
use super::stat::Stat;
use super::xattr;
use crate::error::SourceError;
use crate::limits;
use crate::model::{Content, Entry, EntryKind, EntryPath, Owner, Xattrs};

/// An entry of the walked tree: metadata is complete except a link's target and the extended
/// attributes, and a file has no content yet.
#[derive(Debug, Clone)]
pub struct Found {
    pub entry: Entry,
    /// What the kernel told; `entry` has the same facts.
    pub stat: Stat,
    directory: Arc<Directory>,
}

/// An absolute path from one relative to `/`.
pub(super) fn absolute(path: &[u8]) -> Vec<u8> {
    [b"/", path].concat()
}

/// What to say of a failed call.
pub(super) fn describe(doing: &str, error: Errno) -> String {
    match error {
        Errno::NOENT => "vanished while being read".to_owned(),
        // ELOOP: a symbolic link stands there now. ENOTDIR: something else does.
        Errno::STALE | Errno::LOOP | Errno::NOTDIR => "was replaced while being read".to_owned(),
        error => format!("{doing}: {}", std::io::Error::from(error)),
    }
}

impl Found {
    pub(super) fn new(
        directory: &Arc<Directory>,
        path: EntryPath,
        stat: &Stat,
        owner: Arc<Owner>,
    ) -> Result<Self, SourceError> {
        let Some(kind) = entry_kind(stat) else {
            let what = format!("is of an unknown kind (mode {:o})", stat.mode);
            return Err(SourceError::new(absolute(path.as_bytes()), what));
        };
        let entry = Entry {
            path,
            kind,
            mode: stat.mode & 0o7777,
            owner,
            mtime: stat.mtime,
            ctime: stat.ctime,
            inode: stat.inode,
            racy: false,
            database: false,
            link_group: link_group(stat),
            xattrs: Xattrs::default(),
        };
        Ok(Self { entry, stat: *stat, directory: Arc::clone(directory) })
    }

    /// The absolute path.
    #[must_use]
    pub fn absolute_path(&self) -> Vec<u8> {
        absolute(self.entry.path.as_bytes())
    }

    /// An error of this entry; `error` happened while `doing` something, say "cannot be read".
    #[must_use]
    pub fn problem(&self, doing: &str, error: std::io::Error) -> SourceError {
        let what = match Errno::from_io_error(&error) {
            Some(errno) => describe(doing, errno),
            None => format!("{doing}: {error}"),
        };
        SourceError::new(self.absolute_path(), what)
    }

    /// Reads a link's target and the extended attributes, by name. The attributes stand inline
    /// whatever their length, up to [`limits::XATTRS_LEN_MAX`].
    ///
    /// # Errors
    /// The first thing that could not be read; what was read before it is kept.
    pub fn complete(&mut self) -> Result<(), SourceError> {
        let handle = self.handle()?;
        if let EntryKind::Symlink { target } = &mut self.entry.kind {
            let read = rustix::fs::readlinkat(&handle, self.entry.path.name(), Vec::new());
            match read.map(std::ffi::CString::into_bytes) {
                Ok(text) if text.is_empty() => {
                    return Err(self.failed("its target is empty", Errno::INVAL));
                }
                Ok(text) if text.len() > limits::LINK_TARGET_LEN_MAX => {
                    return Err(self.failed("its target is too long", Errno::NAMETOOLONG));
                }
                Ok(text) => *target = text,
                // Not a link any more.
                Err(Errno::INVAL) => return Err(self.failed("", Errno::STALE)),
                Err(error) => return Err(self.failed("its target cannot be read", error)),
            }
        }
        let mut path = format!("/proc/self/fd/{}/", handle.as_raw_fd()).into_bytes();
        path.extend_from_slice(self.entry.path.name());
        let xattrs = match xattr::of_path(&path) {
            // Without /proc: by the whole path.
            Err(Errno::NOENT) => xattr::of_path(&self.absolute_path()),
            read => read,
        };
        self.set_xattrs(xattrs)
    }

    /// Like [`Self::complete`] for a file that is open: cheaper.
    ///
    /// # Errors
    /// What could not be read.
    pub fn complete_from(&mut self, open: &OpenFile) -> Result<(), SourceError> {
        self.set_xattrs(xattr::of_file(&open.file))
    }

    fn set_xattrs(
        &mut self,
        read: Result<Vec<crate::model::Xattr>, Errno>,
    ) -> Result<(), SourceError> {
        let failed = |error| self.failed("its attributes cannot be read", error);
        self.entry.xattrs = Xattrs::Inline(read.map_err(failed)?);
        Ok(())
    }

    /// Opens a file for reading, and takes its metadata as it is now into the entry.
    ///
    /// # Errors
    /// If it is gone, is another file by now, or may not be read.
    pub fn open(&mut self) -> Result<OpenFile, SourceError> {
        let handle = self.handle()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let shared = self.directory.shared();
        let opened = shared.open(&handle, self.entry.path.name(), flags, self.stat.uid);
        let file = opened.map_err(|error| self.failed("cannot be opened", error))?;
        let stat = Stat::of(&file).map_err(|error| self.failed("cannot be looked at", error))?;
        if stat.file_type() != FileType::RegularFile || !stat.is_same_file(&self.stat) {
            return Err(self.failed("", Errno::STALE));
        }
        self.restat(&stat);
        Ok(OpenFile { file: File::from(file), stat })
    }

    /// Takes newer metadata of the same file into the entry; its content is dropped.
    pub fn restat(&mut self, stat: &Stat) {
        if *stat == self.stat {
            return;
        }
        if let Some(kind) = entry_kind(stat) {
            self.entry.kind = kind;
        }
        self.entry.mode = stat.mode & 0o7777;
        self.entry.owner = self.directory.shared().owners.get(stat.uid, stat.gid);
        self.entry.mtime = stat.mtime;
        self.entry.ctime = stat.ctime;
        self.entry.link_group = link_group(stat);
        self.stat = *stat;
    }

    fn handle(&self) -> Result<Arc<OwnedFd>, SourceError> {
        let handle = self.directory.handle();
        handle.map_err(|error| self.failed("its directory cannot be opened again", error))
    }

    fn failed(&self, doing: &str, error: Errno) -> SourceError {
        SourceError::new(self.absolute_path(), describe(doing, error))
    }
}

fn entry_kind(stat: &Stat) -> Option<EntryKind> {
    let (major, minor) = (stat.rdev_major, stat.rdev_minor);
    Some(match stat.file_type() {
        FileType::RegularFile => {
            let (content, holes) = (Content::Chunks(Vec::new()), Vec::new());
            EntryKind::File { size: stat.size, content, holes }
        }
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink { target: Vec::new() },
        FileType::Fifo => EntryKind::Fifo,
        FileType::Socket => EntryKind::Socket,
        FileType::CharacterDevice => EntryKind::CharDevice { major, minor },
        FileType::BlockDevice => EntryKind::BlockDevice { major, minor },
        FileType::Unknown => return None,
    })
}

/// The number that the names of one file share; 0 for a file with one name.
fn link_group(stat: &Stat) -> u64 {
    if stat.nlink < 2 || stat.file_type().is_dir() {
        return 0;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&stat.dev.to_le_bytes()).update(&stat.inode.to_le_bytes());
    let mut number = [0; 8];
    hasher.finalize_xof().fill(&mut number);
    u64::from_le_bytes(number).max(1)
}
