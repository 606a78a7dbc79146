use clap::Args;

use super::FilterArgs;

const HELP: &str = "\
With --verbose each snapshot is followed by its sources and what was measured of each.

Examples:
  coffer snapshots
  coffer snapshots --verbose --job nightly
  coffer snapshots --latest 1 --host web1
  coffer --json snapshots --tag nightly";

/// List the snapshots, oldest first
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct SnapshotsArgs {
    /// Show checkpoints of unfinished backups too
    #[arg(long)]
    pub all: bool,
    /// Only the newest N of every host and job
    #[arg(long, value_name = "N")]
    pub latest: Option<usize>,
    #[command(flatten)]
    pub filter: FilterArgs,
}
