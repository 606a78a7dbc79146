use clap::Args;

use super::FilterArgs;
use super::values::{SnapshotPath, SnapshotPathParser};

const HELP: &str = "\
Each line has a mark and a path:
  +  added     only in the second
  -  removed   only in the first
  M  changed   another content, link target or device
  T  type      as in a file that became a folder
  U  metadata  only mode, owner, time or attributes differ (with --metadata)

With SNAP:PATH, what is in the two folders is compared, wherever they are. What both snapshots share is
not read. SNAP is the first digits of an id, or `latest`, narrowed by --host, --tag and --job.

Examples:
  coffer diff 1a2b3c4d latest
  coffer diff --metadata 1a2b3c4d:/etc latest:/etc
  coffer --json diff 1a2b3c4d 5e6f7a8b";

/// Show what differs between two snapshots
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct DiffArgs {
    /// The first snapshot, and the folder or file in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = SnapshotPathParser)]
    pub old: SnapshotPath,
    /// The second snapshot, and the folder or file in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = SnapshotPathParser)]
    pub new: SnapshotPath,
    /// Show entries of which only metadata differ
    #[arg(long)]
    pub metadata: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}
