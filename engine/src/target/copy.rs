//! A second copy of a restored file, for file systems that cannot give it a second name.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::error::{Named, Outcome, TargetError};
use super::file::FilePlan;
use super::special::Original;
use super::{Durability, Folder, Metadata, Target};

/// Bytes moved at a time.
const STEP_LEN: usize = 256 << 10;

impl Target {
    /// Makes `name` in `folder` a copy of `original`, synced and named.
    /// Returns its own device and inode.
    ///
    /// # Errors
    /// `Entry` if that file was replaced or is no regular one; as of writing and naming a file.
    pub fn copy_file(
        &self,
        original: Original<'_>,
        to: (&Arc<Folder>, &[u8]),
        path: &[u8],
        metadata: &Metadata,
        is_hidden: bool,
        may_replace: bool,
    ) -> Outcome<Option<(u64, u64)>> {
        let above = self.handle(original.folder)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let from =
            rustix::fs::openat(&*above, original.name, flags, Mode::empty()).named("open file")?;
        let stat = rustix::fs::fstat(&from).named("look at file")?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || (stat.st_dev, stat.st_ino) != original.inode {
            return Err(TargetError::Entry(
                "the file it is another name of was replaced".to_owned(),
            ));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let plan = FilePlan { is_hidden, preset_len: Some(size), mode: 0o600 };
        let mut file = self.begin_file(to.0, to.1, plan)?;
        let copied = self
            .file_handle(to.0, to.1, &mut file)
            .and_then(|into| self.copy_data(&from, &into, size))
            .and_then(|()| {
                self.complete_file(&mut file, path, metadata, Durability::EachFile, true)
            });
        if let Err(error) = copied {
            self.abandon_file(to.0, to.1, file);
            return Err(error);
        }
        self.name_file(to.0, to.1, &mut file, may_replace)?;
        Ok(file.inode())
    }

    fn copy_data(&self, from: &OwnedFd, into: &OwnedFd, size: u64) -> Outcome<()> {
        let mut buffer = vec![0; STEP_LEN];
        let mut at = 0;
        while at < size {
            at = match rustix::fs::seek(from, SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(Errno::NXIO) => return Ok(()),
                Err(_) => at,
            };
            let len = rustix::io::pread(from, &mut buffer[..], at).named("read file")?;
            if len == 0 {
                return Err(TargetError::Entry(
                    "the file it is another name of became shorter".to_owned(),
                ));
            }
            self.write(into, at, &buffer[..len], false)?;
            at += len as u64;
        }
        Ok(())
    }
}
