use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
  coffer restore latest --target /tmp/r -n -v";

/// Write a snapshot, or a part of it, into a folder
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct RestoreArgs {
    /// The snapshot, and the folder or file in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = SnapshotPathParser)]
    pub from: SnapshotPath,
    /// The folder to write into; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    pub target: PathBuf,
    /// Restore only what matches
    #[arg(short, long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave out what matches
    #[arg(short, long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// What to do with files that exist
    #[arg(long, value_enum, value_name = "WHEN", default_value = "always")]
    pub overwrite: OverwriteArg,
    /// Leave runs of zeros as holes
    #[arg(long)]
    pub sparse: bool,
    /// Write nothing; tell what would be written
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What happens to files that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OverwriteArg {
    /// Replace them
    Always,
    /// Replace those whose size or time differs
    IfChanged,
    /// Leave them
    Never,
}
