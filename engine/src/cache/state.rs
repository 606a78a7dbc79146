//! What this host must remember of a repository: its signing key, and how far the repository had come.
//! Unlike the cache it is not to be lost, though losing it loses no backup.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::model::RepositoryId;

/// Bytes of a state file at most.
const STATE_LEN_MAX: u64 = 1 << 16;

/// The state of one repository on this host.
#[derive(Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Opens, and if need be makes, the folder of `repository` below `dir`, for its owner only.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(dir: &Path, repository: RepositoryId) -> Result<Self> {
        let folder = dir.join(repository.to_string());
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| failed("making", &folder, error))?;
        Ok(Self(folder))
    }

    /// Reads a state file; none if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.0.join(name);
        match fs::metadata(&path).and_then(|metadata| {
            if metadata.len() > STATE_LEN_MAX {
                return Err(io::Error::other("too long for a state file"));
            }
            fs::read(&path)
        }) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("reading", &path, error)),
        }
    }

    /// Writes a state file in one step: it holds the old or the new bytes after any crash.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.0.join(name);
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
            file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            fs::File::open(&self.0)?.sync_all()
        };
        write().map_err(|error| failed("writing", &path, error))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }
}

/// A folder for the state of a repository that is only rehearsed: gone with its value.
#[derive(Debug)]
pub struct ScratchDir(tempfile::TempDir);

impl ScratchDir {
    /// Makes an empty folder in the system's temporary folder, for its owner only.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        let made = tempfile::Builder::new().prefix("coffer-").tempdir();
        made.map(Self).map_err(|error| Error::io("making a temporary folder", error))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    Error::io(format!("{doing} the state {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_file_is_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), RepositoryId([7; 16])).unwrap();
        assert_eq!(state.get("author").unwrap(), None);
        state.put("author", b"first").unwrap();
        state.put("author", b"second").unwrap();
        assert_eq!(state.get("author").unwrap().as_deref(), Some(&b"second"[..]));
        let mode = fs::metadata(state.folder().join("author")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(state.folder()).unwrap().count(), 1);
    }
}
