use std::time::Duration;

use clap::Args;

use super::values;
use super::{FilterArgs, PruningArgs};

const HELP: &str = "\
A rule is applied to each host and job by itself; what any of its parts keeps is kept. Days begin at
midnight in the system's time zone. What is forgotten is no longer listed; its data stays until a prune.

Examples:
  coffer forget -n --keep-daily 7 --keep-weekly 5 --keep-monthly 12
  coffer forget --keep-within 14d --keep-tag release --job app --prune
  coffer forget 1a2b3c4d latest --tag nightly
  coffer forget --undo 1a2b3c4d";

/// The options that have a meaning only with `--prune`.
const OF_PRUNING: [&str; 4] = ["max_unused", "max_rewrite", "hold", "leave_newer"];

/// Take snapshots out of the list, by a rule or by name, or put them back
#[derive(Debug, Args)]
#[command(after_help = HELP, mut_args(with_prune_only))]
pub struct ForgetArgs {
    /// Snapshots to forget: the first digits of an id, or `latest`
    #[arg(value_name = "SNAP", value_parser = values::snapshot_name, conflicts_with = "KeepArgs")]
    pub snapshots: Vec<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Tell what would be forgotten, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Put forgotten snapshots back; possible until a prune
    #[arg(long, requires = "snapshots", conflicts_with_all = ["dry_run", "prune", "FilterArgs"])]
    pub undo: bool,
    /// Prune afterwards: delete what no snapshot needs
    #[arg(long)]
    pub prune: bool,
    // Last: their headings would stand above what follows.
    #[command(flatten)]
    pub keep: KeepArgs,
    #[command(flatten)]
    pub pruning: PruningArgs,
}

/// What a rule keeps.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = true)]
#[command(next_help_heading = "What to keep, of each host and job")]
pub struct KeepArgs {
    /// The newest N
    #[arg(long, value_name = "N")]
    pub keep_last: Option<u64>,
    /// All that are at most this much older than the newest, as in 36h, 14d or 8w
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub keep_within: Option<Duration>,
    /// The newest of each of the last N minutes that have one
    #[arg(long, value_name = "N")]
    pub keep_minutely: Option<u64>,
    /// The newest of each of the last N hours that have one
    #[arg(long, value_name = "N")]
    pub keep_hourly: Option<u64>,
    /// The newest of each of the last N days that have one
    #[arg(long, value_name = "N")]
    pub keep_daily: Option<u64>,
    /// The newest of each of the last N weeks that have one, Monday to Sunday
    #[arg(long, value_name = "N")]
    pub keep_weekly: Option<u64>,
    /// The newest of each of the last N months that have one
    #[arg(long, value_name = "N")]
    pub keep_monthly: Option<u64>,
    /// The newest of each of the last N years that have one
    #[arg(long, value_name = "N")]
    pub keep_yearly: Option<u64>,
    /// All with this tag; several: with one of them
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub keep_tag: Vec<String>,
}

fn with_prune_only(argument: clap::Arg) -> clap::Arg {
    if OF_PRUNING.contains(&argument.get_id().as_str()) {
        return argument.requires("prune");
    }
    argument
}
