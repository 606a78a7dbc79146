//! A second copy of a restored file, for file systems that cannot give it a second name.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::error::{Named, Outcome, TargetError};
use super::file::FilePlan;
use super::special::Original;
use super::{Durability, Folder, Metadata, Target};
use crate::crash;

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

    /// Makes `into`, which is empty, share all bytes of `from` and have `len` bytes; false if the
    /// file system cannot.
    ///
    /// # Errors
    /// `Fatal` if the target is full.
    pub fn clone_data(&self, from: &OwnedFd, into: &OwnedFd, len: u64) -> Outcome<bool> {
        crash::point("clone file");
        if rustix::fs::ioctl_ficlone(into, from).is_err() {
            return Ok(false);
        }
        crash::point("file cloned");
        rustix::fs::ftruncate(into, len).named("set length")?;
        Ok(true)
    }

    /// Copies `len` bytes at `at` to the same place of another file; in the kernel unless
    /// `is_sparse`.
    ///
    /// # Errors
    /// `Entry` if `from` is shorter; as of writing.
    pub fn copy_range(
        &self,
        from: &OwnedFd,
        into: &OwnedFd,
        range: (u64, u64),
        is_sparse: bool,
    ) -> Outcome<()> {
        let (mut at, end) = (range.0, range.0 + range.1);
        crash::point("copy range");
        while !is_sparse && at < end {
            let (mut read_at, mut write_at) = (at, at);
            let want = usize::try_from(end - at).unwrap_or(usize::MAX);
            let copied = rustix::fs::copy_file_range(
                from,
                Some(&mut read_at),
                into,
                Some(&mut write_at),
                want,
            );
            match copied {
                Ok(0) => return Err(shorter("the existing file")),
                Ok(len) => at += len as u64,
                Err(Errno::INTR) => {}
                Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
                    return Err(TargetError::from_errno("copy file", errno));
                }
                // Not between these two: by hand. A disk that cannot be read says so there.
                Err(_) => break,
            }
        }
        let mut buffer = vec![0; STEP_LEN];
        while at < end {
            let step = STEP_LEN.min(usize::try_from(end - at).unwrap_or(usize::MAX));
            if !super::existing::read_exactly(from, at, &mut buffer[..step]) {
                return Err(shorter("the existing file"));
            }
            self.write(into, at, &buffer[..step], is_sparse)?;
            at += step as u64;
        }
        crash::point("range copied");
        Ok(())
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
                return Err(shorter("the file it is another name of"));
            }
            self.write(into, at, &buffer[..len], false)?;
            at += len as u64;
        }
        Ok(())
    }
}

fn shorter(which: &str) -> TargetError {
    TargetError::Entry(format!("{which} became shorter"))
}
