//! Sources to a snapshot: capture, put, look at the fence, acknowledge.

mod assemble;
mod capture;
mod checkpoint;
mod database;
mod image;
mod job;
mod merge;
mod moment;
mod pages;
mod parent;
mod read;
mod run;
mod scan;
mod secrets;
mod sources;
mod spool;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use image::serve_sqlite;
pub use job::job_of;
pub use run::backup;

use crate::error::SourceError;
use crate::model::{SnapshotId, Totals};
use crate::repo::OldBytes;
use crate::source::secrets::SecretsSource;
use crate::source::sqlite::{SqliteOptions, shown};
use crate::source::stream::StreamSource;
use crate::source::tree::TreeOptions;

/// Something to back up: one source of the snapshot.
#[derive(Debug)]
pub enum SourceOptions {
    /// Files and directories, under the name of the source.
    Tree { name: String, options: TreeOptions },
    /// One database that was asked for by name or pattern: it must be one that SQLite reads.
    Sqlite(DatabaseSource),
    /// Standard input or the output of a command, as one file.
    Stream(StreamSource),
    /// Secrets, in class S: only keys that may read secrets open them. No tree has them too.
    Secrets(SecretsSource),
}

impl SourceOptions {
    /// Files and directories under their usual name.
    #[must_use]
    pub fn tree(options: TreeOptions) -> Self {
        Self::Tree { name: "files".to_owned(), options }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Tree { .. } => "tree",
            Self::Sqlite(_) => "sqlite",
            Self::Stream(stream) => stream.kind(),
            Self::Secrets(_) => "secrets",
        }
    }

    fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Tree { name, .. } => name.into(),
            Self::Sqlite(database) => database.path().to_string_lossy(),
            Self::Stream(stream) => stream.name.as_str().into(),
            Self::Secrets(secrets) => secrets.name.as_str().into(),
        }
    }

    /// What a watch was told that led to it, as given; nothing for anything but a database.
    pub fn watched_as(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let asked = match self {
            Self::Sqlite(database) => database.asked.as_slice(),
            _ => &[],
        };
        asked.iter().map(|asked| shown(asked.as_os_str().as_bytes()))
    }
}

/// A database among those that a path or pattern names.
#[derive(Debug)]
pub struct DatabaseSource {
    /// The paths and patterns that name it, as they were given: what they find changes, and the job
    /// does not.
    pub asked: Vec<PathBuf>,
    /// The file, or what is wrong: then the source fails, and the others are stored.
    pub found: Result<PathBuf, SourceError>,
}

impl DatabaseSource {
    /// The file, or else what was asked for.
    fn path(&self) -> &Path {
        match &self.found {
            Ok(path) => path,
            Err(problem) => Path::new(OsStr::from_bytes(&problem.path)),
        }
    }
}

/// What to back up, and how.
pub struct BackupOptions {
    /// Captured in this order; databases best come before the files they name.
    pub sources: Vec<SourceOptions>,
    /// How databases are read. Without it those of a tree are stored as plain files, and a source
    /// that is a database fails.
    pub sqlite: Option<SqliteOptions>,
    pub host: String,
    /// Groups runs of the same sources; derived from them when absent.
    pub job: Option<String>,
    pub tags: Vec<String>,
    /// Reads every file again.
    pub force: bool,
    /// Reads and cuts, but stores nothing.
    pub dry_run: bool,
    /// Tells which new files of trees look like secrets.
    pub secret_scan: bool,
    /// Stores changed chunks of databases, streams and long files as differences from what stood at
    /// their place before.
    pub deltas: bool,
    /// Where what stood there is taken from.
    pub old_bytes: OldBytes,
    /// By a watch: its databases bear the mark of one, and no snapshot is made if each is what the last has of it.
    pub watched: bool,
    /// zstd level of this run, −7 to 22, 0 to store data as it is; the repository's when absent.
    pub zstd_level: Option<i32>,
    /// How often a checkpoint is made while there is something new, from which an interrupted run goes
    /// on; none for never. Every GiB of new data brings one too.
    pub checkpoint_interval: Option<Duration>,
    /// How long before its reading a file's last change must be to be trusted, nanoseconds.
    pub racy_window_ns: i64,
    /// Name and version of the program.
    pub tool: String,
}

/// Default of [`BackupOptions::racy_window_ns`]: file systems stamp changes up to 2 s coarse (FAT, NFS).
pub const RACY_WINDOW_NS: i64 = 2_000_000_000;

/// Default of [`BackupOptions::checkpoint_interval`].
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// What a run did.
#[derive(Debug, Clone)]
pub struct BackupSummary {
    /// The acknowledged snapshot; none for a dry run, or if nothing has changed and that was asked for.
    pub snapshot_id: Option<SnapshotId>,
    pub parent: Option<SnapshotId>,
    /// Some source or file could not be read.
    pub partial: bool,
    /// Files and other entries that could not be read.
    pub errors: u64,
    /// Databases named as sources that are stored as they are, and damaged.
    pub damaged: u64,
    pub totals: Totals,
    pub directories: u64,
    pub started_ns: i64,
    pub finished_ns: i64,
}

impl BackupSummary {
    /// How long the run took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let nanos = self.finished_ns.saturating_sub(self.started_ns);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
    }
}
