use clap::Args;

use super::FilterArgs;
use super::values::{SnapshotPath, SnapshotPathParser};

const HELP: &str = "\
SNAP is the first digits of an id, or `latest`, narrowed by --host, --tag and --job.

Examples:
  coffer ls latest
  coffer ls -l 1a2b3c4d:/etc/nginx
  coffer ls --facts latest
  coffer --json ls latest --host web1";

/// List what a snapshot holds
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct LsArgs {
    /// The snapshot, and the folder or file in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = SnapshotPathParser)]
    pub from: SnapshotPath,
    /// Show mode, owner, size and time
    #[arg(short, long)]
    pub long: bool,
    /// Look only into this source of the snapshot
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Show the snapshot's sources and what was measured of each, instead of its entries
    #[arg(long, conflicts_with = "long")]
    pub facts: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}
