//! An object that is being written and has no name in the store yet.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, unlinkat};

use super::fault::Quota;
use crate::crash::point;
use crate::error::{Error, Result};

/// An unfinished object: a file without a final name, removed when dropped before it is published.
#[derive(Debug)]
pub struct Staged {
    pub(super) file: File,
    len: u64,
    /// Where it is written, for errors.
    location: String,
    /// The folder and name of the file; none if it has no name at all.
    pub(super) place: Option<(Arc<OwnedFd>, String)>,
    pub(super) quota: Option<Arc<Quota>>,
}

impl Staged {
    /// Takes an empty file that stands under `name` in `folder` of the store at `location`.
    pub(super) fn named(file: File, location: String, folder: Arc<OwnedFd>, name: String) -> Self {
        Self { file, len: 0, location, place: Some((folder, name)), quota: None }
    }

    /// Makes an object in a file of the system's temporary folder that has no name.
    ///
    /// # Errors
    /// `NoSpace`, `Refused` or `Unavailable`.
    pub fn unnamed() -> Result<Self> {
        let file =
            tempfile::tempfile().map_err(|error| Error::io("making a temporary file", error))?;
        let location = "the temporary folder".to_owned();
        Ok(Self { file, len: 0, location, place: None, quota: None })
    }

    /// Makes an object whose bytes go nowhere: it can be written, not read back.
    ///
    /// # Errors
    /// `NotFound`, `Refused` or `Unavailable` when there is no `/dev/null` to write to.
    pub(super) fn discarded() -> Result<Self> {
        let path = "/dev/null";
        let file = File::options().write(true).open(path);
        let file = file.map_err(|error| Error::io(format!("opening {path}"), error))?;
        Ok(Self { file, len: 0, location: path.to_owned(), place: None, quota: None })
    }

    /// Writes `bytes` at the end.
    ///
    /// # Errors
    /// `NoSpace` or `Unavailable`; the object is of no use then.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(quota) = &self.quota {
            quota.take(bytes.len())?;
        }
        point("before a write");
        self.file.write_all(bytes).map_err(|error| {
            Error::io(format!("writing an unfinished object in {}", self.location), error)
        })?;
        point("after a write");
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads back what was written: exactly `len` bytes from `offset` on.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be read or is shorter.
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset).map_err(|error| {
            Error::io(format!("reading an unfinished object in {}", self.location), error)
        })?;
        Ok(bytes)
    }

    /// Forgets the name, because the file now stands under its final one.
    pub(super) fn released(mut self) {
        self.place = None;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some((folder, name)) = &self.place {
            // What stays behind is swept later.
            let _ = unlinkat(&**folder, name.as_str(), AtFlags::empty());
        }
    }
}
