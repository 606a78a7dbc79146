//! What the kernel tells about a file, as `statx` gives it.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, makedev, statx};
use rustix::io::Errno;

use crate::model::Time;

/// What the kernel tells about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// `st_mode`, type and permissions.
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    /// The device of a device file.
    pub rdev_major: u32,
    pub rdev_minor: u32,
    /// The filesystem it lies on.
    pub dev: u64,
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
    pub mtime: Time,
    pub ctime: Time,
}

impl Stat {
    /// Looks at `name` in a directory, without following a symbolic link.
    pub(super) fn at(dir: impl AsFd, name: &CStr, flags: AtFlags) -> Result<Self, Errno> {
        let flags = flags | AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
        statx(dir, name, flags, Self::wanted()).map(Self::from)
    }

    /// Looks at an open file; asks a file server for what is true now.
    pub(super) fn of(file: impl AsFd) -> Result<Self, Errno> {
        statx(file, c"", AtFlags::EMPTY_PATH, Self::wanted()).map(Self::from)
    }

    fn wanted() -> StatxFlags {
        StatxFlags::BASIC_STATS - StatxFlags::ATIME
    }

    /// The type of the file.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// True if `other` is the same file as this.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.dev, self.inode, self.file_type()) == (other.dev, other.inode, other.file_type())
    }

    /// True if nothing tells that the file was written to between this look and `other`.
    ///
    /// Blocks are left out: filesystems allocate them late.
    #[must_use]
    pub fn is_unchanged(&self, other: &Self) -> bool {
        self.is_same_file(other)
            && (self.size, self.mtime, self.ctime) == (other.size, other.mtime, other.ctime)
    }
}

impl From<Statx> for Stat {
    fn from(stat: Statx) -> Self {
        let time = |secs, nanos| Time { secs, nanos };
        Self {
            mode: u32::from(stat.stx_mode),
            nlink: stat.stx_nlink,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            rdev_major: stat.stx_rdev_major,
            rdev_minor: stat.stx_rdev_minor,
            dev: makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            size: stat.stx_size,
            blocks: stat.stx_blocks,
            mtime: time(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            ctime: time(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        }
    }
}
