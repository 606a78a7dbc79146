//! What already has a name in the target.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::error::{Outcome, TargetError};
use super::metadata::{Before, Shape};
use super::{Folder, Metadata, Target};
use crate::model::Time;

/// Something that has the name of an entry, or nothing.
#[derive(Debug)]
pub enum Existing {
    Nothing,
    /// A regular file with one name, open for reading, so that nobody can put another in its place.
    File {
        handle: OwnedFd,
        size: u64,
        mtime: Time,
        inode: (u64, u64),
    },
    /// A file with several names, a link, a device, a directory.
    Other {
        is_directory: bool,
    },
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
        if !is(&seen, FileType::RegularFile) || seen.st_nlink != 1 {
            return Ok(other);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(handle) = rustix::fs::openat(&*above, name, flags, Mode::empty()) else {
            return Ok(other);
        };
        match rustix::fs::fstat(&handle) {
            // A second name could belong to a file outside: its metadata must not be touched.
            Ok(stat) if is(&stat, FileType::RegularFile) && stat.st_nlink == 1 => {
                Ok(Existing::File {
                    handle,
                    size: u64::try_from(stat.st_size).unwrap_or(u64::MAX),
                    mtime: Time {
                        secs: stat.st_mtime,
                        nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
                    },
                    inode: (stat.st_dev, stat.st_ino),
                })
            }
            _ => Ok(other),
        }
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

fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}
