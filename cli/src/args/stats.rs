use clap::Args;

use super::FilterArgs;
use super::values::snapshot_name;

const HELP: &str = "\
Without SNAP, every snapshot is measured. Files are bytes as a restore writes them; unique are bytes of
chunks, each once; stored are bytes these take in packs. Garbage is what no snapshot needs: it is told
when all snapshots are measured.

Examples:
  coffer stats
  coffer stats latest --host web1
  coffer --json stats 1a2b3c4d 5e6f7a8b";

/// Show what snapshots hold and take, and what the repository takes
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct StatsArgs {
    /// The first digits of an id, or `latest`
    #[arg(value_name = "SNAP", value_parser = snapshot_name)]
    pub snapshots: Vec<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
}
