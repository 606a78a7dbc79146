//! What is left out of a walk, and why.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::OFlags;

use super::TreeOptions;
use super::directory::Directory;
use super::stat::Stat;
use crate::error::SourceError;
use crate::source::sqlite::{base_of, files_of};

/// The file that marks a cache directory, and how its content begins (bford.info/cachedir).
pub(super) const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Why something was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusion {
    /// A pattern matched its path.
    Pattern,
    /// A file longer than the bound.
    TooLarge,
    /// The contents of a directory on another filesystem than its root.
    OtherFilesystem,
    /// The contents of a directory with a valid `CACHEDIR.TAG`, except that file.
    CacheTag,
    /// The contents of a directory that holds a file of a given name.
    Marker,
    /// It belongs to this program: a repository, its cache or its state.
    Reserved,
    /// Another source has it; its path is not for everyone.
    Claimed,
    /// A database that another source has, or a file that belongs to one.
    Database,
}

impl fmt::Display for Exclusion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Pattern => "excluded by a pattern",
            Self::TooLarge => "larger than the bound",
            Self::OtherFilesystem => "on another filesystem",
            Self::CacheTag => "contents of a cache directory",
            Self::Marker => "contents of a directory with a marker file",
            Self::Reserved => "belongs to the backup itself",
            Self::Claimed => "belongs to another source",
            Self::Database => "a database of another source",
        })
    }
}

/// The rules of one walk.
#[derive(Debug)]
pub(super) struct Rules {
    patterns: Gitignore,
    markers: Vec<Vec<u8>>,
    caches: bool,
    larger_than: Option<u64>,
    pub(super) one_file_system: bool,
    /// Device and inode of what is never read.
    reserved: Vec<(u64, u64)>,
    /// The same, and raw paths relative to `/`, of what another source has: a file that is replaced
    /// has a new inode. Files beside databases go by their paths alone, since their inodes are soon
    /// those of other files.
    claimed: Vec<(u64, u64)>,
    claimed_paths: Vec<Vec<u8>>,
    /// The same of databases.
    databases: Vec<(u64, u64)>,
    database_paths: Vec<Vec<u8>>,
}

/// Device and inode of what is there, symbolic links followed.
fn inodes(paths: &[PathBuf]) -> Vec<(u64, u64)> {
    let found = paths.iter().filter_map(|path| fs::metadata(path).ok());
    found.map(|metadata| (metadata.dev(), metadata.ino())).collect()
}

impl Rules {
    pub(super) fn new(options: &TreeOptions) -> Result<Self, SourceError> {
        for marker in &options.exclude_if_present {
            if marker.is_empty() || marker.contains('/') {
                return Err(SourceError::new(marker.as_bytes(), "not the name of a file"));
            }
        }
        let is_beside = |path: &&PathBuf| {
            let base = base_of(path.as_os_str().as_bytes()).map(OsStr::from_bytes);
            base.is_some_and(|base| options.claimed.iter().any(|it| it.as_os_str() == base))
        };
        let claimed: Vec<_> =
            options.claimed.iter().filter(|path| !is_beside(path)).cloned().collect();
        Ok(Self {
            patterns: patterns(options)?,
            markers: options.exclude_if_present.iter().map(|name| name.clone().into()).collect(),
            caches: options.exclude_caches,
            larger_than: options.exclude_larger_than,
            one_file_system: options.one_file_system,
            reserved: inodes(&options.skip),
            claimed: inodes(&claimed),
            claimed_paths: options.claimed.iter().map(|path| relative(path)).collect(),
            databases: inodes(&options.databases),
            database_paths: options
                .databases
                .iter()
                .flat_map(|path| files_of(path))
                .map(|path| relative(&path))
                .collect(),
        })
    }

    /// True if a pattern excludes this path, relative to `/`.
    pub(super) fn excludes(&self, path: &[u8], is_directory: bool) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        self.patterns.matched(path, is_directory).is_ignore()
    }

    /// True if there are patterns at all.
    pub(super) fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    pub(super) fn is_reserved(&self, stat: &Stat) -> bool {
        self.reserved.contains(&(stat.dev, stat.inode))
    }

    /// True if another source has what stands under `name` in `directory`.
    pub(super) fn is_claimed(&self, directory: &Directory, name: &[u8], stat: &Stat) -> bool {
        !self.claimed_paths.is_empty()
            && (self.claimed.contains(&(stat.dev, stat.inode))
                || self.claimed_paths.contains(&directory.join(name)))
    }

    /// True if a database of another source stands under `name`, or a file that belongs to one.
    pub(super) fn is_database(&self, directory: &Directory, name: &[u8], stat: &Stat) -> bool {
        !self.database_paths.is_empty()
            && (self.databases.contains(&(stat.dev, stat.inode))
                || self.database_paths.contains(&directory.join(name)))
    }

    pub(super) fn is_too_large(&self, size: u64) -> bool {
        self.larger_than.is_some_and(|bound| size > bound)
    }

    /// Why the contents of a directory are left out because of a file in it; `has` tells names in it.
    pub(super) fn bars(
        &self,
        directory: &Directory,
        handle: &OwnedFd,
        has: impl Fn(&[u8]) -> bool,
    ) -> Option<Exclusion> {
        if self.markers.iter().any(|marker| has(marker)) {
            return Some(Exclusion::Marker);
        }
        let is_cache = self.caches && has(CACHE_TAG) && is_signed(directory, handle);
        is_cache.then_some(Exclusion::CacheTag)
    }
}

fn relative(path: &Path) -> Vec<u8> {
    let raw = path.as_os_str().as_bytes();
    raw.strip_prefix(b"/").unwrap_or(raw).to_vec()
}

/// True if the directory's cache tag is a regular file with the signature.
fn is_signed(directory: &Directory, handle: &OwnedFd) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = directory.shared().open(handle, CACHE_TAG, flags, directory.stat().uid);
    let Ok(file) = opened else {
        return false;
    };
    let mut start = [0; CACHE_SIGNATURE.len()];
    let is_file = Stat::of(&file).is_ok_and(|stat| stat.file_type().is_file());
    is_file
        && rustix::io::pread(&file, &mut start[..], 0).is_ok_and(|len| len == start.len())
        && start == CACHE_SIGNATURE
}

/// The patterns of the options, files of patterns first: a later pattern wins.
fn patterns(options: &TreeOptions) -> Result<Gitignore, SourceError> {
    let mut builder = GitignoreBuilder::new("/");
    for file in &options.exclude_files {
        if let Some(error) = builder.add(file) {
            let path = file.as_os_str().as_bytes();
            return Err(SourceError::new(path, format!("cannot be used for patterns: {error}")));
        }
    }
    for pattern in &options.excludes {
        let bad = |why: &str| SourceError::new(pattern.as_bytes(), format!("bad pattern: {why}"));
        if pattern.trim().is_empty() {
            return Err(bad("it is empty"));
        }
        if pattern.starts_with('#') {
            return Err(bad("it is a comment; write \\# for a name that begins with #"));
        }
        builder.add_line(None, pattern).map_err(|error| bad(&error.to_string()))?;
    }
    builder.build().map_err(|error| SourceError::new(&b"/"[..], format!("patterns: {error}")))
}
