//! Folders and files: the walk in the order of the manifest, with excludes, by directory handle.
//!
//! ```text
//! roots ─► prefetch (two threads: list, look) ─► walk (the consumer) ─► found ─► open
//! ```

mod data;
mod directory;
mod exclude;
mod found;
mod listing;
mod names;
mod open;
mod owner;
mod prefetch;
mod roots;
mod stat;
mod walk;
mod xattr;

use std::path::PathBuf;

pub use data::{DataReader, read_range};
pub use exclude::Exclusion;
pub use found::Found;
pub use open::OpenFile;
pub(in crate::source) use roots::resolve as resolve_root;
pub use stat::Stat;
pub use walk::Walk;

use crate::error::SourceError;

/// What to walk and what to leave out.
#[derive(Debug, Clone, Default)]
pub struct TreeOptions {
    /// Folders and files; relative ones are taken from the current directory. A symbolic link is
    /// itself, unless the path ends in `/`. Never excluded by patterns or size.
    pub roots: Vec<PathBuf>,
    /// Patterns in the grammar of gitignore, matched against the absolute path.
    pub excludes: Vec<String>,
    /// Files of such patterns; they come before `excludes`.
    pub exclude_files: Vec<PathBuf>,
    /// Names of files; a directory with one of them keeps its own entry only.
    pub exclude_if_present: Vec<String>,
    /// Of a directory with a valid `CACHEDIR.TAG` only its entry and that file stay.
    pub exclude_caches: bool,
    /// Files of more bytes are left out.
    pub exclude_larger_than: Option<u64>,
    /// Directories on another filesystem than their root keep their own entry only.
    pub one_file_system: bool,
    /// Never backed up: the repository, cache and state folders.
    pub skip: Vec<PathBuf>,
    /// Left out without a word, by path and by inode: another source has them.
    pub claimed: Vec<PathBuf>,
    /// Databases that another source has: they and the files beside them, by path, are left out.
    pub databases: Vec<PathBuf>,
}

impl TreeOptions {
    /// Checks patterns and the names of marker files, and reads the files of patterns.
    ///
    /// # Errors
    /// The first that is unsound or cannot be read.
    pub fn check(&self) -> Result<(), SourceError> {
        exclude::Rules::new(self).map(drop)
    }

    /// The roots as raw absolute paths, ascending, each once; of one that does not exist the path as asked for.
    #[must_use]
    pub fn canonical_roots(&self) -> Vec<Vec<u8>> {
        roots::canonical(&self.roots)
    }
}

/// What a walk gives.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are Found: boxes would cost more")]
pub enum WalkItem {
    Found(Found),
    /// Something could not be read. If it is a directory, its own entry was found before.
    Problem(SourceError),
    /// Something was left out; absolute raw path.
    Excluded {
        path: Vec<u8>,
        why: Exclusion,
    },
}

#[cfg(test)]
mod tests;
