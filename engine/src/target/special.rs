//! Symbolic links, pipes, sockets, devices and hard links: whole from the moment they exist.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::error::{Named, Outcome, TargetError};
use super::{Folder, Metadata, Target};
use crate::crash;

/// An object without content of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special<'a> {
    Symlink { target: &'a [u8] },
    Fifo,
    Socket,
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
}

/// An object this run made or kept, known by device and inode.
#[derive(Debug, Clone, Copy)]
pub struct Original<'a> {
    pub folder: &'a Arc<Folder>,
    pub name: &'a [u8],
    pub inode: (u64, u64),
}

impl Target {
    /// Makes a special object, replacing whatever else than a directory has the name if
    /// `may_replace`. Returns device and inode of what was made.
    ///
    /// # Errors
    /// `Entry` if a directory is in the way or the system refuses (devices without privilege).
    pub fn make_special(
        &self,
        folder: &Arc<Folder>,
        name: &[u8],
        path: &[u8],
        special: Special<'_>,
        metadata: &Metadata,
        may_replace: bool,
    ) -> Outcome<(u64, u64)> {
        let handle = self.handle(folder)?;
        crash::point("make special");
        match create(&handle, name, special) {
            Err(Errno::EXIST) if may_replace => {
                let make = |temporary: &[u8]| create(&handle, temporary, special);
                let (temporary, ()) =
                    self.temporaries.make(folder, false, make).named(special.verb())?;
                let renamed = rustix::fs::renameat(&*handle, temporary.as_bytes(), &*handle, name);
                if renamed.is_err() {
                    self.remove_temporary(folder, &temporary, false);
                }
                self.temporaries.release(&temporary);
                renamed.named(special.verb())?;
            }
            outcome => outcome.named(special.verb())?,
        }
        crash::point("special made");
        self.apply_by_name(
            &handle,
            name,
            path,
            metadata,
            matches!(special, Special::Symlink { .. }),
        );
        let stat = rustix::fs::statat(&*handle, name, AtFlags::SYMLINK_NOFOLLOW)
            .named("look at new name")?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// Gives `original` another name; false if the file system cannot, or
    /// not once more.
    ///
    /// # Errors
    /// `Entry` if it is not that object any more, or a directory is in the way.
    pub fn hard_link(
        &self,
        original: Original<'_>,
        folder: &Arc<Folder>,
        name: &[u8],
        may_replace: bool,
    ) -> Outcome<bool> {
        let (from, to) = (self.handle(original.folder)?, self.handle(folder)?);
        let link =
            |new: &[u8]| rustix::fs::linkat(&*from, original.name, &*to, new, AtFlags::empty());
        crash::point("hard link");
        match link(name) {
            Ok(()) => self.check_link(&to, name, original.inode)?,
            Err(Errno::EXIST) if may_replace => {
                if inode_of(&to, name).named("look at name")? == original.inode {
                    return Ok(true);
                }
                let (temporary, ()) =
                    self.temporaries.make(folder, false, link).named("make hard link")?;
                let replaced =
                    self.check_link(&to, temporary.as_bytes(), original.inode).and_then(|()| {
                        rustix::fs::renameat(&*to, temporary.as_bytes(), &*to, name)
                            .named("make hard link")
                    });
                if replaced.is_err() {
                    self.remove_temporary(folder, &temporary, false);
                }
                self.temporaries.release(&temporary);
                replaced?;
            }
            Err(Errno::MLINK | Errno::PERM | Errno::XDEV | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return Ok(false);
            }
            Err(errno) => return Err(TargetError::from_errno("make hard link", errno)),
        }
        crash::point("hard link made");
        Ok(true)
    }

    /// A link must lead to what this run made, not to what somebody put in its place.
    fn check_link(&self, folder: &OwnedFd, name: &[u8], inode: (u64, u64)) -> Outcome<()> {
        if inode_of(folder, name).named("look at new name")? == inode {
            return Ok(());
        }
        let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
        Err(TargetError::Entry("the file to link to was replaced during the restore".to_owned()))
    }
}

fn inode_of(folder: &OwnedFd, name: &[u8]) -> rustix::io::Result<(u64, u64)> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Made private; the mode comes with the metadata.
fn create(folder: &OwnedFd, name: &[u8], special: Special<'_>) -> rustix::io::Result<()> {
    let (kind, device) = match special {
        Special::Symlink { target } => return rustix::fs::symlinkat(target, folder, name),
        Special::Fifo => (FileType::Fifo, 0),
        Special::Socket => (FileType::Socket, 0),
        Special::CharDevice { major, minor } => {
            (FileType::CharacterDevice, rustix::fs::makedev(major, minor))
        }
        Special::BlockDevice { major, minor } => {
            (FileType::BlockDevice, rustix::fs::makedev(major, minor))
        }
    };
    rustix::fs::mknodat(folder, name, kind, Mode::RUSR | Mode::WUSR, device)
}

impl Special<'_> {
    fn verb(&self) -> &'static str {
        match self {
            Self::Symlink { .. } => "make symbolic link",
            Self::Fifo => "make pipe",
            Self::Socket => "make socket",
            Self::CharDevice { .. } | Self::BlockDevice { .. } => "make device",
        }
    }
}
