//! Local files that may be lost at any time: index runs and objects as they stand in the store.
//!
//! Nothing here can fail a command. A file that cannot be read is missing; one that cannot be
//! written is not kept, and a note says why.

mod background;
mod draft;
mod spool;
mod state;
#[cfg(test)]
mod tests;

pub use background::{Background, Stop};
pub use draft::{Access, Draft, Mapped};
pub use spool::SpoolFile;
pub use state::{ScratchDir, StateDir};

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::model::RepositoryId;

/// Notes kept until they are taken; more say nothing new.
const NOTE_COUNT_MAX: usize = 8;

/// Older drafts have no writer.
const DRAFT_SECS_MAX: u64 = 60;
/// Bytes of its disk that the cache leaves to others, at most.
const RESERVE_LEN_MAX: u64 = 1 << 30;

/// What tells other programs that the folder is a cache (<https://bford.info/cachedir/>).
const TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n";

/// Kinds of cached files; each has a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// Runs of the index.
    Index,
    /// Sealed objects, whole or in part, as they stand in the store.
    Objects,
    /// Packs of chunks that others may be stored as differences from.
    Bases,
}

impl Shelf {
    const ALL: [Self; 3] = [Self::Index, Self::Objects, Self::Bases];

    fn folder(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Objects => "objects",
            Self::Bases => "bases",
        }
    }
}

/// The cache of one repository.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    notes: Mutex<Vec<String>>,
}

impl Cache {
    /// Opens, and if need be makes, the cache of `repository` in the folder `dir`.
    ///
    /// # Errors
    /// When the folder cannot be made; the caller goes on without a cache.
    pub fn open(dir: &Path, repository: RepositoryId) -> Result<Self> {
        let folder = dir.join(repository.to_string());
        let make = || -> io::Result<()> {
            for shelf in Shelf::ALL {
                let path = folder.join(shelf.folder());
                DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            }
            let tag = dir.join("CACHEDIR.TAG");
            if tag.exists() { Ok(()) } else { fs::write(tag, TAG) }
        };
        make().map_err(|error| Error::io(format!("the cache {}", dir.display()), error))?;
        sweep(&folder);
        Ok(Self { folder, notes: Mutex::default() })
    }

    /// The same cache, for work beside this one.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { folder: self.folder.clone(), notes: Mutex::default() }
    }

    /// The folder itself, for nameless files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads a cached file of at most `len_max` bytes, and marks it as used.
    #[must_use]
    pub fn get(&self, shelf: Shelf, name: &str, len_max: u64) -> Option<Vec<u8>> {
        let file = self.open_file(shelf, name)?;
        let len = file.metadata().ok()?.len();
        let mut bytes = vec![0; usize::try_from(len).ok().filter(|_| len <= len_max)?];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let _ = file.set_modified(SystemTime::now());
        Some(bytes)
    }

    /// The length of a cached file, bytes.
    #[must_use]
    pub fn len(&self, shelf: Shelf, name: &str) -> Option<u64> {
        Some(self.open_file(shelf, name)?.metadata().ok()?.len())
    }

    /// Reads `len` bytes of a cached file from `offset` on. It is not marked as used.
    #[must_use]
    pub fn get_range(&self, shelf: Shelf, name: &str, offset: u64, len: usize) -> Option<Vec<u8>> {
        let file = self.open_file(shelf, name)?;
        let end = offset.checked_add(len as u64)?;
        // Nobody is given memory for what is not there.
        if end > file.metadata().ok()?.len() {
            return None;
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }

    /// Marks a cached file as used.
    pub fn touch(&self, shelf: Shelf, name: &str) {
        if let Some(file) = self.open_file(shelf, name) {
            let _ = file.set_modified(SystemTime::now());
        }
    }

    /// Keeps `bytes` under `name`, replacing what was there.
    pub fn put(&self, shelf: Shelf, name: &str, bytes: &[u8]) {
        if let Some(mut draft) = self.draft() {
            match io::Write::write_all(&mut draft, bytes) {
                Ok(()) => drop(self.keep(draft, shelf, name)),
                Err(error) => self.note("writing", error),
            }
        }
    }

    /// Begins a file that has no name yet.
    #[must_use]
    pub fn draft(&self) -> Option<Draft> {
        Draft::in_folder(&self.folder).map_err(|error| self.note("writing to", error)).ok()
    }

    /// Gives a finished draft of this cache its name, replacing what was there; true if it has it now.
    pub fn keep(&self, draft: Draft, shelf: Shelf, name: &str) -> bool {
        let Some(path) = self.path(shelf, name) else { return false };
        let kept = draft.rename_to(&path).map_err(|error| self.note("writing to", error));
        kept.is_ok()
    }

    /// Maps a cached file into memory.
    #[must_use]
    pub fn map(&self, shelf: Shelf, name: &str) -> Option<Mapped> {
        Mapped::file(&self.open_file(shelf, name)?).ok()
    }

    /// Removes a cached file.
    pub fn remove(&self, shelf: Shelf, name: &str) {
        if let Some(path) = self.path(shelf, name) {
            let _ = fs::remove_file(path);
        }
    }

    /// The names of the files on a shelf, sorted.
    #[must_use]
    pub fn names(&self, shelf: Shelf) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.join(shelf.folder())) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| is_plain(name)).collect();
        names.sort_unstable();
        names
    }

    /// Removes the files unused for longest until a shelf holds at most `bytes_max`; of more than `count_max` files,
    /// the smallest of the half that is unused for longer, since those hold least. Gives the names of what is gone.
    pub fn trim(&self, shelf: Shelf, bytes_max: u64, count_max: usize) -> Vec<String> {
        let stat = |name: String| {
            let metadata = fs::metadata(self.path(shelf, &name)?).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), name))
        };
        let mut files: Vec<_> = self.names(shelf).into_iter().filter_map(stat).collect();
        files.sort_unstable();
        let mut total: u64 = files.iter().map(|file| file.1).sum();
        let mut kept = 0;
        while total > bytes_max && kept < files.len() {
            total = total.saturating_sub(files[kept].1);
            kept += 1;
        }
        let kept = files.split_off(kept);
        let mut gone = std::mem::replace(&mut files, kept);
        while files.len() > count_max {
            let older = files.len().div_ceil(2);
            let smallest = (0..older).min_by_key(|place| files[*place].1).unwrap_or(0);
            gone.push(files.remove(smallest));
        }
        let remove = |(.., name): (SystemTime, u64, String)| {
            self.remove(shelf, &name);
            name
        };
        gone.into_iter().map(remove).collect()
    }

    /// Lets a file count as unused for so long.
    pub fn put_behind(&self, shelf: Shelf, name: &str, age: Duration) {
        let then = SystemTime::now().checked_sub(age);
        if let (Some(file), Some(then)) = (self.open_file(shelf, name), then) {
            let _ = file.set_modified(then);
        }
    }

    /// Bytes that may be written before the file system of the cache is as full as others should find it: a
    /// twentieth of it is left to them, at most a GiB. Less than zero if there is less; none if it cannot be told.
    #[must_use]
    pub fn room(&self) -> Option<i128> {
        let stat = rustix::fs::statvfs(&self.folder).ok()?;
        let (free, all) = (stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize);
        Some(i128::from(free) - i128::from((all / 20).min(RESERVE_LEN_MAX)))
    }

    /// Takes what went wrong since the last call, for the user to know.
    #[must_use]
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers that something could not be done in the cache.
    pub fn note(&self, doing: &str, error: impl std::fmt::Display) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTE_COUNT_MAX {
            notes.push(format!("{doing} the cache {}: {error}", self.folder.display()));
        }
    }

    fn open_file(&self, shelf: Shelf, name: &str) -> Option<File> {
        File::open(self.path(shelf, name)?).ok()
    }

    fn path(&self, shelf: Shelf, name: &str) -> Option<PathBuf> {
        is_plain(name).then(|| self.folder.join(shelf.folder()).join(name))
    }
}

/// Removes drafts that killed processes left.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_draft = entry.file_name().as_encoded_bytes().starts_with(b".tmp");
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = age.and_then(|modified| modified.elapsed().ok());
        if is_draft && age.is_some_and(|age| age.as_secs() > DRAFT_SECS_MAX) {
            // Who writes it has locked it.
            let file = File::open(entry.path());
            if file.is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// True for a name of one component that cannot lead elsewhere.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && !name.starts_with('.') && name.len() < 200 && name.bytes().all(plain)
}
