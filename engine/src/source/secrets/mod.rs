//! Secrets: files, folders, what settings of environment files name, and outputs of commands, read
//! whole and held only in memory that is wiped.
//!
//! What is asked for may be named in messages, what is found may not: it is known by class S alone.

mod database;
mod environment;
mod layout;
mod places;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

pub use read::{Secret, Secrets};

use super::stream::StreamSource;

/// Bytes of all secrets of a source: they are held in memory at once.
pub const SECRETS_LEN_MAX: usize = 32 << 20;
/// Entries of a source.
pub const SECRETS_COUNT_MAX: usize = 10_000;

/// What to store as secrets.
pub struct SecretsSource {
    /// The name of the source; no secret.
    pub name: String,
    /// Files and folders. A symbolic link given here is followed. In a folder with a link `..data`,
    /// as Kubernetes mounts it, each key is a plain file. Of a SQLite database the pages of one
    /// committed state are read.
    pub paths: Vec<PathBuf>,
    /// Files of settings; the files that settings named `…_FILE` point to are stored too.
    pub environment_files: Vec<PathBuf>,
    /// Commands whose outputs are secrets.
    pub commands: Vec<StreamSource>,
}

impl fmt::Debug for SecretsSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SecretsSource({:?})", self.name)
    }
}

impl SecretsSource {
    /// True if nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.environment_files.is_empty() && self.commands.is_empty()
    }

    /// Every path that is read, as asked for and as it really is, and the other files of databases
    /// among them: no other source may read it.
    #[must_use]
    pub fn claimed(&self) -> Vec<PathBuf> {
        places::Places::find(self).claimed()
    }

    /// What was asked for, as raw absolute paths and names, ascending.
    #[must_use]
    pub fn asked(&self) -> Vec<Vec<u8>> {
        use std::os::unix::ffi::OsStrExt;
        let paths = self.paths.iter().chain(&self.environment_files);
        let absolute = paths.map(|path| {
            let path = super::tree::resolve_root(path).unwrap_or_else(|_| path.clone());
            path.as_os_str().as_bytes().to_vec()
        });
        let names = self.commands.iter().map(|command| command.name.as_bytes().to_vec());
        let mut asked: Vec<Vec<u8>> = absolute.chain(names).collect();
        asked.sort();
        asked.dedup();
        asked
    }
}
