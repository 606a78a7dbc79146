//! Regular files: written out of order under a name that is not yet theirs.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::error::{Named, Outcome, TargetError};
use super::folder::rename_to_free;
use super::metadata::{Before, Shape};
use super::temporary::TemporaryName;
use super::{Durability, Folder, Metadata, Target};
use crate::crash;

/// Runs of zeros are left out in units of this many bytes, aligned in the file.
const ZERO_RUN_LEN: usize = 64 << 10;

/// How a file is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilePlan {
    /// Its folder is staged: it gets its final name at once.
    pub is_hidden: bool,
    /// The length to set at once, for a file that is not written from end to end.
    pub preset_len: Option<u64>,
    /// The mode to create it with; the metadata sets what differs.
    pub mode: u32,
}

/// A file being written.
#[derive(Debug)]
pub struct NewFile {
    temporary: Option<TemporaryName>,
    handle: Option<Arc<OwnedFd>>,
    before: Before,
    inode: Option<(u64, u64)>,
}

impl Target {
    /// Makes an empty file that nobody else sees under `name`.
    ///
    /// # Errors
    /// `Entry` if the system refuses; `Fatal` if the target is full.
    pub fn begin_file(
        &self,
        folder: &Arc<Folder>,
        name: &[u8],
        plan: FilePlan,
    ) -> Outcome<NewFile> {
        let above = self.handle(folder)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = plan.mode & 0o777;
        let create =
            |name: &[u8]| rustix::fs::openat(&*above, name, flags, Mode::from_raw_mode(mode));
        crash::point("create file");
        let (temporary, handle) = if plan.is_hidden {
            (None, create(name).named("create file")?)
        } else {
            let (temporary, handle) =
                self.temporaries.make(folder, false, create).named("create file")?;
            (Some(temporary), handle)
        };
        crash::point("file created");
        let facts = folder.facts();
        let (uid, gid) = (self.rights.uid, self.rights.gid);
        let gives_acl = facts.is_none_or(|facts| facts.gives_acl);
        if gives_acl {
            super::metadata::remove_acls(&handle);
        }
        let before = Before {
            // A set-group-id directory gives its own group.
            owner: facts.filter(|facts| facts.gid == gid).map(|_| (uid, gid)),
            mode: (!gives_acl && mode & self.rights.umask == 0).then_some(mode),
            strip: false,
        };
        let file = NewFile { temporary, handle: Some(Arc::new(handle)), before, inode: None };
        if let Some(len) = plan.preset_len
            && let Err(error) = file.set_len(len)
        {
            self.abandon_file(folder, name, file);
            return Err(error);
        }
        Ok(file)
    }

    /// Writes `bytes` at `offset`, zeros left out if `sparse`.
    ///
    /// # Errors
    /// `Fatal` if the target is full; `Entry` if the file is too large for its file system.
    pub fn write(&self, handle: &OwnedFd, offset: u64, bytes: &[u8], sparse: bool) -> Outcome<()> {
        if !sparse {
            return write_all(handle, offset, bytes);
        }
        let mut at = 0;
        while at < bytes.len() {
            let data_end = next_zeros(offset, bytes, at);
            write_all(handle, offset + at as u64, &bytes[at..data_end])?;
            at = zeros_end(bytes, data_end);
        }
        Ok(())
    }

    /// Sets the metadata of a file whose bytes are all written, and closes it.
    ///
    /// # Errors
    /// `Fatal` if it must be synced by itself and cannot.
    pub fn complete_file(
        &self,
        file: &mut NewFile,
        path: &[u8],
        metadata: &Metadata,
        wanted: Durability,
        keep_inode: bool,
    ) -> Outcome<()> {
        let Some(handle) = file.handle.take() else { return Ok(()) };
        if self.durability(wanted) == Durability::EachFile {
            crash::point("sync file");
            rustix::fs::fsync(&*handle).named("sync file")?;
            crash::point("file synced");
        }
        self.apply(&handle, path, metadata, &file.before, Shape::File);
        if keep_inode {
            let stat = rustix::fs::fstat(&*handle).named("look at file")?;
            file.inode = Some((stat.st_dev, stat.st_ino));
        }
        Ok(())
    }

    /// Gives a complete and synced file its name; over another file only if `may_replace`.
    ///
    /// # Errors
    /// `Entry` if a directory has the name; the file is removed then.
    pub fn name_file(
        &self,
        folder: &Arc<Folder>,
        name: &[u8],
        file: &mut NewFile,
        may_replace: bool,
    ) -> Outcome<()> {
        let Some(temporary) = file.temporary.take() else { return Ok(()) };
        let above = self.handle(folder)?;
        crash::point("name file");
        let renamed = if may_replace && !folder.is_new() {
            rustix::fs::renameat(&*above, temporary.as_bytes(), &*above, name)
        } else {
            rename_to_free(&above, temporary.as_bytes(), name)
        };
        crash::point("file named");
        if renamed.is_err() {
            self.remove_temporary(folder, &temporary, false);
        }
        self.temporaries.release(&temporary);
        renamed.named("name file")
    }

    /// Removes a file that is not going to be complete.
    pub fn abandon_file(&self, folder: &Arc<Folder>, name: &[u8], mut file: NewFile) {
        match file.temporary.take() {
            Some(temporary) => {
                self.remove_temporary(folder, &temporary, false);
                self.temporaries.release(&temporary);
            }
            None => {
                let Ok(above) = self.handle(folder) else { return };
                let _ = rustix::fs::unlinkat(&*above, name, AtFlags::empty());
            }
        }
    }

    /// Closes a file that waits for more bytes, to save handles.
    pub fn park_file(&self, file: &mut NewFile) -> Outcome<()> {
        if file.inode.is_none()
            && let Some(handle) = &file.handle
        {
            let stat = rustix::fs::fstat(&**handle).named("look at file")?;
            file.inode = Some((stat.st_dev, stat.st_ino));
        }
        file.handle = None;
        Ok(())
    }

    /// The handle to write to, opened again if the file was parked.
    ///
    /// # Errors
    /// `Entry` if somebody put another file in its place.
    pub fn file_handle(
        &self,
        folder: &Arc<Folder>,
        name: &[u8],
        file: &mut NewFile,
    ) -> Outcome<Arc<OwnedFd>> {
        if let Some(handle) = &file.handle {
            return Ok(Arc::clone(handle));
        }
        let above = self.handle(folder)?;
        let current = file.current_name(name);
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let handle =
            rustix::fs::openat(&*above, current, flags, Mode::empty()).named("open file")?;
        let stat = rustix::fs::fstat(&handle).named("look at file")?;
        if file.inode != Some((stat.st_dev, stat.st_ino)) {
            return Err(TargetError::Entry("the file was replaced during the restore".to_owned()));
        }
        let handle = Arc::new(handle);
        file.handle = Some(Arc::clone(&handle));
        Ok(handle)
    }
}

impl NewFile {
    /// Device and inode, if they were asked for when it was completed.
    #[must_use]
    pub fn inode(&self) -> Option<(u64, u64)> {
        self.inode
    }

    /// The name it has now; `name` is the one it will get.
    #[must_use]
    pub(super) fn current_name<'n>(&'n self, name: &'n [u8]) -> &'n [u8] {
        self.temporary.as_ref().map_or(name, TemporaryName::as_bytes)
    }

    /// True while it has a handle to write to.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.handle.is_some()
    }

    fn set_len(&self, len: u64) -> Outcome<()> {
        let Some(handle) = &self.handle else { return Ok(()) };
        rustix::fs::ftruncate(&**handle, len).named("set length")
    }
}

pub(super) fn write_all(handle: &OwnedFd, mut offset: u64, mut bytes: &[u8]) -> Outcome<()> {
    crash::point("write file");
    while !bytes.is_empty() {
        match rustix::io::pwrite(handle, bytes, offset) {
            Ok(0) => return Err(TargetError::from_errno("write file", rustix::io::Errno::NOSPC)),
            Ok(len) => {
                offset += len as u64;
                bytes = &bytes[len..];
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(TargetError::from_errno("write file", errno)),
        }
    }
    crash::point("file written");
    Ok(())
}

/// Where the next aligned unit of zeros begins, at or after `from`; the end if there is none.
fn next_zeros(offset: u64, bytes: &[u8], from: usize) -> usize {
    let unit = ZERO_RUN_LEN as u64;
    let lead = (offset + from as u64).next_multiple_of(unit) - offset;
    let mut at = usize::try_from(lead).unwrap_or(usize::MAX);
    while let Some(run) = at.checked_add(ZERO_RUN_LEN).and_then(|end| bytes.get(at..end)) {
        if is_zero(run) {
            return at;
        }
        at += ZERO_RUN_LEN;
    }
    bytes.len()
}

/// Where the units of zeros that begin at `from` end.
fn zeros_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.chunks_exact(ZERO_RUN_LEN).take_while(|run| is_zero(run)).count() * ZERO_RUN_LEN
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(16).all(|run| run.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_aligned_units_of_zeros_are_left_out() {
        let unit = ZERO_RUN_LEN;
        let mut bytes = vec![0; 4 * unit];
        bytes[unit - 1] = 1;
        assert_eq!(next_zeros(0, &bytes, 0), unit);
        assert_eq!(zeros_end(&bytes, unit), 4 * unit);
        assert_eq!(next_zeros(1, &bytes, 0), unit - 1 + unit);
        assert_eq!(next_zeros(0, &bytes[..unit / 2], 0), unit / 2);
        assert_eq!(zeros_end(&bytes[..unit / 2], 0), 0);
    }
}
