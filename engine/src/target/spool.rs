//! A nameless file of a target, for what a restore must remember and memory should not hold.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::error::{Named, Outcome};
use super::{Folder, Target};

/// Append-only bytes that vanish with the process.
#[derive(Debug)]
pub struct Spool {
    handle: OwnedFd,
    len: u64,
}

impl Target {
    /// Makes a spool on the file system of the target.
    ///
    /// # Errors
    /// From the system.
    pub fn spool(&self) -> Outcome<Spool> {
        let above = self.handle(self.root())?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        if let Ok(handle) = rustix::fs::openat(&*above, ".", flags | OFlags::TMPFILE, private) {
            return Ok(Spool { handle, len: 0 });
        }
        let create = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let make = |name: &[u8]| rustix::fs::openat(&*above, name, create, private);
        let (name, handle) = self.temporaries.make(self.root(), false, make).named("make spool")?;
        let unlinked = rustix::fs::unlinkat(&*above, name.as_bytes(), AtFlags::empty());
        self.temporaries.release(&name);
        unlinked.named("make spool")?;
        Ok(Spool { handle, len: 0 })
    }

    /// The directory `path` below the target, which this restore made or took before.
    #[must_use]
    pub fn reach(&self, path: &[u8]) -> Arc<Folder> {
        if path.is_empty() {
            Arc::clone(self.root())
        } else {
            Arc::new(Folder::reached(self.root(), path))
        }
    }
}

impl Spool {
    /// Appends `bytes`; returns where they begin.
    ///
    /// # Errors
    /// From the system.
    pub fn append(&mut self, bytes: &[u8]) -> Outcome<u64> {
        let start = self.len;
        super::file::write_all(&self.handle, start, bytes)?;
        self.len += bytes.len() as u64;
        Ok(start)
    }

    /// Reads exactly `len` bytes at `start`.
    ///
    /// # Errors
    /// From the system.
    pub fn read(&self, start: u64, len: usize) -> Outcome<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match rustix::io::pread(&self.handle, &mut bytes[filled..], start + filled as u64) {
                Ok(0) => return Err(rustix::io::Errno::IO).named("read spool"),
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).named("read spool"),
            }
        }
        Ok(bytes)
    }
}
