//! Removes temporaries: this run's own, and those a killed restore left.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode};
use rustix::io::{Errno, Result};

use super::temporary::{TemporaryName, is_temporary};
use super::{Folder, Target, beneath, folder};

impl Target {
    /// Removes what earlier restores left in an existing directory. Best effort: what cannot be
    /// removed is in nobody's way.
    pub(super) fn sweep(&self, handle: &OwnedFd) {
        for name in stale_names(handle).unwrap_or_default() {
            let _ = remove(handle, &name);
        }
    }

    /// Removes one of this run's own.
    pub(super) fn remove_temporary(
        &self,
        folder: &Arc<Folder>,
        name: &TemporaryName,
        is_tree: bool,
    ) {
        let Ok(handle) = self.handle(folder) else { return };
        let _ = if is_tree {
            remove(&handle, name.as_bytes())
        } else {
            rustix::fs::unlinkat(&*handle, name.as_bytes(), AtFlags::empty())
        };
    }
}

fn stale_names(handle: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(handle)? {
        let entry = entry?;
        if is_temporary(entry.file_name().to_bytes()) {
            names.push(entry.file_name().to_bytes().to_vec());
        }
    }
    Ok(names)
}

/// Removes `name`, and if it is a directory everything below, without following links.
fn remove(above: &OwnedFd, name: &[u8]) -> Result<()> {
    match rustix::fs::unlinkat(above, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => remove_tree(above, name),
        outcome => outcome,
    }
}

/// Directories found inside are moved up beside each other before they are emptied, so that a tree
/// of any depth takes two handles and no recursion.
fn remove_tree(above: &OwnedFd, name: &[u8]) -> Result<()> {
    let top = open_widened(above, name)?;
    let mut moved = VecDeque::new();
    empty(&top, &top, &mut moved)?;
    while let Some(child) = moved.pop_front() {
        let opened = open_widened(&top, child.as_bytes())?;
        empty(&opened, &top, &mut moved)?;
        drop(opened);
        rustix::fs::unlinkat(&top, child.as_bytes(), AtFlags::REMOVEDIR)?;
    }
    rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR)
}

/// Unlinks the files of `folder` and moves its directories to `top` under new names, noted in
/// `moved`.
fn empty(folder: &OwnedFd, top: &OwnedFd, moved: &mut VecDeque<TemporaryName>) -> Result<()> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    for name in names {
        match rustix::fs::unlinkat(folder, &name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {
                drop(open_widened(folder, &name)?);
                let new = TemporaryName::random();
                rustix::fs::renameat(folder, &name, top, new.as_bytes())?;
                moved.push_back(new);
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

fn open_widened(above: &OwnedFd, name: &[u8]) -> Result<OwnedFd> {
    match beneath::open_directory(above.as_fd(), name) {
        Ok(opened) => {
            let stat = rustix::fs::fstat(&opened)?;
            if stat.st_mode & 0o700 != 0o700
                && FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            {
                let _ = rustix::fs::fchmod(&opened, Mode::RWXU);
            }
            Ok(opened)
        }
        Err(Errno::ACCESS) => {
            folder::widen(above, name, 0)?;
            beneath::open_directory(above.as_fd(), name)
        }
        Err(errno) => Err(errno),
    }
}
