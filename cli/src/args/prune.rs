use std::time::Duration;

use clap::Args;

use super::values;

const HELP: &str = "\
Backups may run meanwhile; nothing is locked. Without --hold what nothing needs is gone for good.

Examples:
  coffer prune -n
  coffer prune
  coffer prune --max-unused 10 --max-rewrite 20GiB
  coffer prune --hold 7d
  coffer prune --undo";

/// Delete what no snapshot needs
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct PruneArgs {
    /// Tell what would be done, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Take back what the last prune gave up, while it is held
    #[arg(long, conflicts_with_all = ["dry_run", "PruningArgs"])]
    pub undo: bool,
    // Last: its heading would stand above what follows.
    #[command(flatten)]
    pub how: PruningArgs,
}

/// How a prune works.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of pruning")]
pub struct PruningArgs {
    /// Garbage that may stay within packs that are needed, in percent of all that is stored
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = values::percent)]
    pub max_unused: u64,
    /// Rewrite at most this much, as in 500M or 20GiB; the rest is left for later
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub max_rewrite: Option<u64>,
    /// Keep what is given up for so long, in which it can be taken back; 0s ends what was said before [default: as this host
    /// was told before, else at once]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub hold: Option<Duration>,
    /// Leave what was stored in the last so long: a running backup may be about to need it
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = values::duration)]
    pub leave_newer: Duration,
}
