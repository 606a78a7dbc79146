use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use super::FilterArgs;
use super::values::{SnapshotPath, SnapshotPathParser};

const HELP: &str = "\
SNAP restores every path below the target (/etc/fstab becomes DIR/etc/fstab); SNAP:PATH restores that
folder's contents, or that file, right into the target. SNAP is the first digits of an id, or
`latest`, narrowed by --host, --tag and --job. Globs use the grammar of .gitignore.

Examples:
  coffer restore latest --target /tmp/restored
  coffer restore latest:/srv/app --target /srv/app --overwrite if-changed
  coffer restore 1a2b3c4d --target /tmp/r --include '/etc/**' --exclude '*.bak'
  coffer restore latest --target /tmp/r -n -v
  coffer restore latest:/srv/app --target /srv/app --delete -n -v
  coffer restore latest:/srv/app --target /srv/app --delete --verify
  coffer restore latest:/srv/app/app.db --to-sqlite /tmp/look.db
  coffer restore latest --source /srv/app/app.db --to-sqlite /srv/app/app.db --verify

--to-sqlite writes the database at PATH, or without PATH the only one of the snapshot or source, to
exactly FILE, and nothing else. Where FILE is gone and its -wal, -shm or -journal is not, --force
removes those.

Before --delete removes something, or --to-sqlite replaces a FILE, its path is asked for on a
terminal; elsewhere --yes is needed, or nothing is done (exit code 5). Differences that --verify
finds are exit code 4.";

/// Write a snapshot, or a part of it, into a folder, or one database of it to a file
#[derive(Debug, Args)]
#[command(after_help = HELP)]
#[command(group = ArgGroup::new("into").required(true).args(["target", "to_sqlite"]))]
pub struct RestoreArgs {
    /// The snapshot, and the folder or file in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = SnapshotPathParser)]
    pub from: SnapshotPath,
    /// The folder to write into; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    pub target: Option<PathBuf>,
    /// The file to write a single SQLite database to
    #[arg(long, value_name = "FILE", conflicts_with_all = ["include", "exclude", "overwrite", "delete", "devices"])]
    pub to_sqlite: Option<PathBuf>,
    /// Restore only what matches
    #[arg(short, long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave out what matches
    #[arg(short, long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Restore only this source of the snapshot (`files` is the tree)
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// What to do with files that exist
    #[arg(long, value_enum, value_name = "WHEN", default_value = "always")]
    pub overwrite: OverwriteArg,
    /// Leave runs of zeros as holes
    #[arg(long)]
    pub sparse: bool,
    /// Write nothing; tell what would be written
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Remove from the target what the snapshot does not have, below the restored paths
    #[arg(long)]
    pub delete: bool,
    /// Do not ask before something is removed or replaced
    #[arg(long)]
    pub yes: bool,
    /// Read everything back from the disk and compare it with the snapshot
    #[arg(long)]
    pub verify: bool,
    /// Begin even if it does not seem to fit
    #[arg(long)]
    pub no_space_check: bool,
    /// Leave owners and groups as the system gives them
    #[arg(long)]
    pub no_owner: bool,
    /// Replace SQLite databases even if other processes use them
    #[arg(long)]
    pub force: bool,
    /// Give files their set-user-id and set-group-id bits
    #[arg(long)]
    pub setuid: bool,
    /// Make character and block devices
    #[arg(long)]
    pub devices: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What happens to files that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OverwriteArg {
    /// Compare their content, fetch and write what differs
    Always,
    /// The same, but believe those of equal size and time to be equal without reading them
    IfChanged,
    /// Leave them
    Never,
}
