//! Opens a directory below a handle without following any symbolic link.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};

/// Bytes of one path handed to the kernel; longer paths go in several steps (Linux: `PATH_MAX`
/// 4096).
const STEP_LEN_MAX: usize = 4000;
/// Tries when the kernel could not rule out a race (`EAGAIN`), before walking by hand.
const TRY_COUNT_MAX: usize = 16;

static LACKS_OPENAT2: AtomicBool = AtomicBool::new(false);

/// How a directory is opened for reading, listing and syncing.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens the directory `path` (components joined by `/`, none `..`) below `from`.
pub(super) fn open_directory(from: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let mut held: Option<OwnedFd> = None;
    let mut rest = path;
    loop {
        let (step, after) = split_step(rest);
        let start = held.as_ref().map_or(from, AsFd::as_fd);
        let opened = open_step(start, step)?;
        match after {
            None => return Ok(opened),
            Some(after) => (held, rest) = (Some(opened), after),
        }
    }
}

fn split_step(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    if path.len() <= STEP_LEN_MAX {
        return (path, None);
    }
    match path[..STEP_LEN_MAX].iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
        None => (path, None),
    }
}

fn open_step(from: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    if !LACKS_OPENAT2.load(Ordering::Relaxed) {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..TRY_COUNT_MAX {
            match rustix::fs::openat2(from, path, DIRECTORY, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                // Old kernels lack the call; old sandboxes answer it with EPERM.
                Err(Errno::NOSYS | Errno::PERM) => {
                    LACKS_OPENAT2.store(true, Ordering::Relaxed);
                    break;
                }
                outcome => return outcome,
            }
        }
    }
    open_by_hand(from, path)
}

/// The same component by component: each is a single name that may not be a symbolic link.
fn open_by_hand(from: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut held: Option<OwnedFd> = None;
    let mut components = path.split(|byte| *byte == b'/').peekable();
    while let Some(component) = components.next() {
        let start = held.as_ref().map_or(from, AsFd::as_fd);
        let flags = if components.peek().is_some() { through } else { DIRECTORY };
        held = Some(rustix::fs::openat(start, component, flags, Mode::empty())?);
    }
    held.ok_or(Errno::NOENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn both_walks_open_directories_and_refuse_symbolic_links_at_every_place() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("a/b/c")).unwrap();
        symlink("a", scratch.path().join("link")).unwrap();
        symlink("b", scratch.path().join("a/link")).unwrap();
        symlink("c", scratch.path().join("a/b/link")).unwrap();
        fs::write(scratch.path().join("a/file"), "").unwrap();
        let root = fs::File::open(scratch.path()).unwrap();
        for walk in [open_directory, open_by_hand] {
            assert!(walk(root.as_fd(), b"a/b/c").is_ok());
            for path in
                ["link", "link/b", "a/link", "a/link/c", "a/b/link", "a/file", "a/file/x", "no"]
            {
                assert!(walk(root.as_fd(), path.as_bytes()).is_err(), "{path}");
            }
        }
    }

    #[test]
    fn a_long_path_is_split_between_components() {
        let path = format!("{}/tail", "x".repeat(3999));
        let (step, rest) = split_step(path.as_bytes());
        assert_eq!((step.len(), rest), (3999, Some(&b"tail"[..])));
        assert_eq!(split_step(b"a/b"), (&b"a/b"[..], None));
    }
}
