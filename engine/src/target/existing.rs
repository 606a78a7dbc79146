//! What already has a name in the target.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::error::{Named, Outcome, TargetError};
use super::metadata::{Before, Shape};
use super::{Folder, Metadata, Target};
use crate::model::Time;

/// How a file is read that others may have replaced by a link or a pipe.
pub(super) const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Something that has the name of an entry, or nothing.
#[derive(Debug)]
pub enum Existing {
    Nothing,
    /// Open for reading, so that nobody can put another in its place.
    File {
        handle: OwnedFd,
        facts: FileFacts,
    },
    /// A link, a device, a directory, or a file that may not be read.
    Other {
        is_directory: bool,
    },
}

/// What a regular file was when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    pub size: u64,
    pub mtime: Time,
    /// Device and number.
    pub inode: (u64, u64),
    /// It has no other name. A second one could belong to a file outside: its metadata must not be
    /// touched.
    pub is_alone: bool,
}

impl Target {
    /// Looks at `name` in `folder`.
    ///
    /// # Errors
    /// `Entry` if it cannot be looked at.
    pub fn existing(&self, folder: &Arc<Folder>, name: &[u8]) -> Outcome<Existing> {
        if folder.is_new() {
            return Ok(Existing::Nothing);
        }
        let above = self.handle(folder)?;
        let seen = match rustix::fs::statat(&*above, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(Existing::Nothing),
            Err(errno) => return Err(TargetError::from_errno("look at name", errno)),
            Ok(stat) => stat,
        };
        let other = Existing::Other { is_directory: is(&seen, FileType::Directory) };
        if !is(&seen, FileType::RegularFile) {
            return Ok(other);
        }
        let Ok(handle) = rustix::fs::openat(&*above, name, READ, Mode::empty()) else {
            return Ok(other);
        };
        match rustix::fs::fstat(&handle) {
            Ok(stat) if is(&stat, FileType::RegularFile) => {
                Ok(Existing::File { handle, facts: FileFacts::new(&stat) })
            }
            _ => Ok(other),
        }
    }

    /// Opens `name` in `folder` for reading once more, if it is still what `facts` say.
    ///
    /// # Errors
    /// `Entry` if it was changed or replaced meanwhile.
    pub fn reopen(&self, folder: &Arc<Folder>, name: &[u8], facts: &FileFacts) -> Outcome<OwnedFd> {
        let above = self.handle(folder)?;
        let handle =
            rustix::fs::openat(&*above, name, READ, Mode::empty()).named("open existing file")?;
        facts.check(&handle)?;
        Ok(handle)
    }

    /// Sets the metadata of a file whose content is kept.
    pub fn refresh(&self, handle: &OwnedFd, path: &[u8], metadata: &Metadata) {
        let stat = rustix::fs::fstat(handle).ok();
        let before = Before {
            owner: stat.map(|stat| (stat.st_uid, stat.st_gid)),
            mode: stat.map(|stat| stat.st_mode & 0o7777),
            strip: true,
        };
        self.apply(handle, path, metadata, &before, Shape::File);
    }
}

impl FileFacts {
    pub(super) fn new(stat: &Stat) -> Self {
        Self {
            size: u64::try_from(stat.st_size).unwrap_or(u64::MAX),
            mtime: Time {
                secs: stat.st_mtime,
                nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            },
            inode: (stat.st_dev, stat.st_ino),
            is_alone: stat.st_nlink == 1,
        }
    }

    /// Asserts that nobody wrote to the file or put another in its place.
    ///
    /// # Errors
    /// `Entry` if somebody did.
    pub fn check(&self, handle: &OwnedFd) -> Outcome<()> {
        let now = Self::new(&rustix::fs::fstat(handle).named("look at file")?);
        if (now.size, now.mtime, now.inode) == (self.size, self.mtime, self.inode) {
            return Ok(());
        }
        Err(TargetError::Entry("the existing file was changed during the restore".to_owned()))
    }
}

/// Reads exactly `bytes.len()` bytes at `at`; false if the file is shorter or cannot be read there.
pub fn read_exactly(handle: &OwnedFd, at: u64, bytes: &mut [u8]) -> bool {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::io::pread(handle, &mut bytes[filled..], at + filled as u64) {
            Ok(0) => return false,
            Ok(len) => filled += len,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// True if the file has nothing but zeros from `at` for `len` bytes. Holes are not read.
pub fn is_zero_at(handle: &OwnedFd, mut at: u64, len: u64) -> bool {
    let end = at.saturating_add(len);
    let mut buffer = vec![0; 64 << 10];
    while at < end {
        match rustix::fs::seek(handle, SeekFrom::Data(at)) {
            Ok(data) if data >= end => return true,
            Ok(data) => at = data,
            Err(Errno::NXIO) => return true,
            Err(_) => {}
        }
        let step = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let bytes = &mut buffer[..step];
        if !read_exactly(handle, at, bytes) || bytes.iter().any(|byte| *byte != 0) {
            return false;
        }
        at += step as u64;
    }
    true
}

fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}
