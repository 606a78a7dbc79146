//! Bringing written bytes to the disk: one call for a whole file system, or one per file.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::error::{Named, Outcome};
use super::{Folder, Target, guard};
use crate::crash;

/// File systems whose `syncfs` waits for data and tells of write errors. Elsewhere (network, FUSE)
/// only `fsync` reaches the server.
const SYNCED_AS_A_WHOLE: [u32; 9] = [
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683E, // btrfs
    0x0102_1994, // tmpfs
    0x2FC1_2FC1, // zfs
    0xF2F5_2010, // f2fs
    0xCA45_1A4E, // bcachefs
    0x794C_7630, // overlayfs
    0x8584_58F6, // ramfs
];

/// How the bytes of a batch of files reach the disk before the files get their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Every file is synced when it is complete: for few files.
    EachFile,
    /// One sync of the file system before the names: 0.02 ms a file instead of 0.8 ms on ext4.
    Together,
}

/// The file systems a target has been found to span.
#[derive(Debug, Default)]
pub(super) struct Devices {
    seen: Mutex<Vec<(u64, Arc<OwnedFd>)>>,
    needs_each: AtomicBool,
}

impl Devices {
    pub(super) fn add(&self, device: u64, handle: &Arc<OwnedFd>) {
        let mut seen = guard(&self.seen);
        if seen.iter().any(|(known, _)| *known == device) {
            return;
        }
        let kind = rustix::fs::fstatfs(&**handle).map(|stat| stat.f_type as u32);
        if !kind.is_ok_and(|kind| SYNCED_AS_A_WHOLE.contains(&kind)) {
            self.needs_each.store(true, Ordering::Relaxed);
        }
        seen.push((device, Arc::clone(handle)));
    }
}

impl Target {
    /// What must be done for each file when `wanted` is asked for.
    pub(super) fn durability(&self, wanted: Durability) -> Durability {
        if self.devices.needs_each.load(Ordering::Relaxed) { Durability::EachFile } else { wanted }
    }

    /// Brings everything written so far to the disk.
    ///
    /// # Errors
    /// `Fatal` if bytes could not be written: what was not named yet must not be.
    pub fn sync(&self) -> Outcome<()> {
        let devices: Vec<_> =
            guard(&self.devices.seen).iter().map(|(_, handle)| Arc::clone(handle)).collect();
        crash::point("sync target");
        for handle in devices {
            rustix::fs::syncfs(&*handle).named("sync")?;
        }
        crash::point("target synced");
        Ok(())
    }

    /// Brings the names in one directory to the disk; enough where few files were synced one by
    /// one.
    ///
    /// # Errors
    /// `Fatal` if they could not be written.
    pub fn sync_folder(&self, folder: &Arc<Folder>) -> Outcome<()> {
        let handle = self.handle(folder)?;
        crash::point("sync directory");
        match rustix::fs::fsync(&*handle) {
            // Some file systems have nothing to sync in a directory.
            Err(Errno::INVAL | Errno::BADF | Errno::ROFS) => Ok(()),
            outcome => outcome.named("sync directory"),
        }
    }
}
