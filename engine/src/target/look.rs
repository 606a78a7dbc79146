//! A target as it stands: looked at, read back, and cleared of what is too much.

use std::collections::HashSet;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rustix::fs::{Advice, AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::database::open_unused;
use super::error::{Named, Outcome, TargetError};
use super::existing::{FileFacts, READ};
use super::temporary::is_temporary;
use super::{Room, beneath};
use crate::crash;
use crate::error::{Error, Kind, Result};
use crate::model::Time;

/// A directory that exists and is looked at; nothing is made, and symbolic links in it are not
/// followed.
#[derive(Debug)]
pub struct Look {
    root: OwnedFd,
    device: u64,
    /// Device and number of what is never removed.
    kept: HashSet<(u64, u64)>,
}

/// A name found in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub name: Vec<u8>,
    pub is_directory: bool,
    /// It must not be removed.
    pub is_kept: bool,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub shape: SeenShape,
    /// The low 12 bits of `st_mode`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeenShape {
    File,
    Directory,
    Symlink { target: Vec<u8> },
    Other,
}

impl Look {
    /// Opens `dir`; none if it does not exist. What `kept` names is never removed.
    ///
    /// # Errors
    /// From the system.
    pub fn open(dir: &Path, kept: &[PathBuf]) -> Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed =
            |errno: Errno| Error::io(format!("restore target {}", dir.display()), errno.into());
        let root = match rustix::fs::open(dir, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let stat = rustix::fs::fstat(&root).map_err(failed)?;
        Ok(Some(Self { root, device: stat.st_dev, kept: inodes_of_all(kept) }))
    }

    /// # Errors
    /// `Refused` if this is the root of the system.
    pub fn refuse_system_root(&self) -> Result<()> {
        let system = fs::metadata("/").map_err(|error| Error::io("/", error))?;
        let stat = rustix::fs::fstat(&self.root).map_err(|errno| Error::io("/", errno.into()))?;
        if (system.dev(), system.ino()) != (stat.st_dev, stat.st_ino) {
            return Ok(());
        }
        let what = "restore target /: what the snapshot does not have is never deleted from the \
                    root of a running system";
        Err(Error::new(Kind::Refused, what))
    }

    /// # Errors
    /// `Refused` if `dir`, which this is, or a directory above it is never removed.
    pub fn refuse_kept(&self, dir: &Path) -> Result<()> {
        let failed = |error| Error::io(format!("restore target {}", dir.display()), error);
        let resolved = dir.canonicalize().map_err(failed)?;
        let Some(kept) = kept_above(&resolved, &self.kept) else { return Ok(()) };
        let what = format!(
            "restore target {}: nothing is ever deleted in {}, which Coffer itself needs; \
             restore without --delete, or into another folder",
            dir.display(),
            kept.display()
        );
        Err(Error::new(Kind::Refused, what))
    }

    /// Opens the database `path` below the target, which nobody uses.
    ///
    /// # Errors
    /// `Entry` if its folder cannot be reached.
    pub fn open_database(&self, path: &[u8]) -> Outcome<rusqlite::Result<Connection>> {
        let (above, name) = split(path);
        let folder = self.folder(above).named("open folder")?;
        Ok(open_unused(&folder, name))
    }

    /// The names in the directory `path` below the target, temporaries apart, in order; none if it
    /// is no directory, stands on another file system than the target, or is never removed.
    ///
    /// # Errors
    /// From the system.
    pub fn names(&self, path: &[u8]) -> Outcome<Option<Vec<Found>>> {
        let folder = match self.folder(path) {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(None),
            Err(errno) => return Err(TargetError::from_errno("open directory", errno)),
        };
        if !self.is_here(&folder).named("look at directory")? {
            return Ok(None);
        }
        let stat = rustix::fs::fstat(&folder).named("look at directory")?;
        // What was moved here since the snapshot was made is no extra of it.
        if self.kept.contains(&(stat.st_dev, stat.st_ino)) {
            return Ok(None);
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder).named("list directory")? {
            let entry = entry.named("list directory")?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." || is_temporary(name) {
                continue;
            }
            let stat = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat.named("look at name")?,
            };
            let is_directory = is(&stat, FileType::Directory);
            let is_kept = self.kept.contains(&(stat.st_dev, stat.st_ino));
            names.push(Found { name: name.to_vec(), is_directory, is_kept });
        }
        names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(names))
    }

    /// Removes `name` from the directory `path`, which keeps its modification time. False if it is
    /// a directory that is not empty.
    ///
    /// # Errors
    /// From the system; `Entry` if the directory is on another file system.
    pub fn remove(&self, path: &[u8], name: &[u8], is_directory: bool) -> Outcome<bool> {
        let folder = self.folder(path).named("open directory")?;
        let before = rustix::fs::fstat(&folder).named("look at directory")?;
        if before.st_dev != self.device {
            return Err(TargetError::from_errno("delete", Errno::XDEV));
        }
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        crash::point("delete extra");
        match rustix::fs::unlinkat(&folder, name, flags) {
            Err(Errno::NOENT) => return Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) if is_directory => return Ok(false),
            removed => removed.named("delete")?,
        }
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: super::metadata::OMIT },
            last_modification: Timespec {
                tv_sec: before.st_mtime,
                tv_nsec: before.st_mtime_nsec.cast_signed(),
            },
        };
        let _ = rustix::fs::futimens(&folder, &times);
        crash::point("extra deleted");
        Ok(true)
    }

    /// What stands at `path` below the target; none if nothing does.
    ///
    /// # Errors
    /// From the system.
    pub fn see(&self, path: &[u8]) -> Outcome<Option<Seen>> {
        let (above, name) = split(path);
        let look = || -> rustix::io::Result<Seen> {
            let folder = self.folder(above)?;
            let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let shape = match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => SeenShape::File,
                FileType::Directory => SeenShape::Directory,
                FileType::Symlink => {
                    let target = rustix::fs::readlinkat(&folder, name, Vec::new())?;
                    SeenShape::Symlink { target: target.into_bytes() }
                }
                _ => SeenShape::Other,
            };
            Ok(Seen {
                shape,
                mode: stat.st_mode & 0o7777,
                uid: stat.st_uid,
                gid: stat.st_gid,
                mtime: FileFacts::new(&stat).mtime,
                size: u64::try_from(stat.st_size).unwrap_or(0),
            })
        };
        match look() {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            seen => seen.named("look at name").map(Some),
        }
    }

    /// True if what stands at `path` has the attribute with this value, or its file system keeps no
    /// attributes of the kind.
    #[must_use]
    pub fn has_attribute(&self, path: &[u8], name: &[u8], value: &[u8]) -> bool {
        let (above, last) = split(path);
        let Ok(folder) = self.folder(above) else { return false };
        let prefix = format!("/proc/self/fd/{}/", folder.as_raw_fd());
        // One byte more, so that a longer value is not taken for equal.
        let mut found = vec![0; value.len() + 1];
        let place = [prefix.as_bytes(), last].concat();
        match rustix::fs::lgetxattr(&place[..], name, &mut found[..]) {
            Ok(len) => found.get(..len) == Some(value),
            Err(errno) => errno == Errno::NOTSUP,
        }
    }

    /// Opens the file at `path` to read it from the disk: what memory holds of it is dropped where
    /// the system lets us.
    ///
    /// # Errors
    /// From the system.
    pub fn open_cold(&self, path: &[u8]) -> Outcome<(OwnedFd, FileFacts)> {
        let (above, name) = split(path);
        let folder = self.folder(above).named("open directory")?;
        let handle = rustix::fs::openat(&folder, name, READ, Mode::empty()).named("open file")?;
        let stat = rustix::fs::fstat(&handle).named("look at file")?;
        let _ = rustix::fs::fadvise(&handle, 0, None, Advice::DontNeed);
        Ok((handle, FileFacts::new(&stat)))
    }

    fn folder(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        beneath::open_directory(self.root.as_fd(), if path.is_empty() { b"." } else { path })
    }

    fn is_here(&self, folder: &OwnedFd) -> rustix::io::Result<bool> {
        Ok(rustix::fs::fstat(folder)?.st_dev == self.device
            && !is_mounted_apart(&self.root, folder))
    }
}

/// # Errors
/// `Refused` if `place`, which need not exist, is what `kept` names or stands in it.
pub fn refuse_kept_place(place: &Path, kept: &[PathBuf]) -> Result<()> {
    let resolved = place.ancestors().find_map(|path| path.canonicalize().ok()).unwrap_or_default();
    let Some(kept) = kept_above(&resolved, &inodes_of_all(kept)) else { return Ok(()) };
    let what = format!(
        "restore target {}: nothing is ever restored over {}, which Coffer itself needs; choose \
         another place",
        place.display(),
        kept.display()
    );
    Err(Error::new(Kind::Refused, what))
}

/// The nearest of a resolved path and what is above it that is never removed.
fn kept_above<'p>(resolved: &'p Path, kept: &HashSet<(u64, u64)>) -> Option<&'p Path> {
    resolved.ancestors().find(|path| inode_of(path).is_some_and(|it| kept.contains(&it)))
}

/// True if a mount stands between the two, also of the same file system. Kernels before 5.8 do not
/// tell.
fn is_mounted_apart(one: &OwnedFd, other: &OwnedFd) -> bool {
    let mount = |handle: &OwnedFd| {
        let mask = rustix::fs::StatxFlags::MNT_ID;
        let stat = rustix::fs::statx(handle, c"", AtFlags::EMPTY_PATH, mask).ok()?;
        (stat.stx_mask & mask.bits() != 0).then_some(stat.stx_mnt_id)
    };
    matches!((mount(one), mount(other)), (Some(one), Some(other)) if one != other)
}

/// How much fits where `dir` is or is going to be.
///
/// # Errors
/// From the system.
pub fn room_at(dir: &Path) -> Result<Room> {
    let mut at = dir;
    loop {
        match rustix::fs::statvfs(at) {
            Ok(stat) => return Ok(Room::new(&stat)),
            Err(Errno::NOENT) if at.parent().is_some() => at = at.parent().unwrap_or(at),
            Err(errno) => {
                return Err(Error::io(format!("restore target {}", at.display()), errno.into()));
            }
        }
    }
}

/// Device and number of what `path` leads to.
fn inode_of(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|it| (it.dev(), it.ino()))
}

fn inodes_of_all(paths: &[PathBuf]) -> HashSet<(u64, u64)> {
    paths.iter().flat_map(|path| inodes_of(path)).collect()
}

/// Of what stands there, and of the link that leads to it.
fn inodes_of(path: &Path) -> impl Iterator<Item = (u64, u64)> {
    let link = fs::symlink_metadata(path).ok().map(|it| (it.dev(), it.ino()));
    inode_of(path).into_iter().chain(link)
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}
