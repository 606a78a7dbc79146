use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{KeepArgs, OldBytesArgs, PruningArgs, SqliteArgs, values};

const HELP: &str = "\
Databases are looked at every second. A snapshot of all that are named, at one moment, is made when
somebody has written to one of them, at most every --interval. It ends with Ctrl-C or SIGTERM.

Unless told otherwise it keeps all snapshots of the last hour, the newest of each of 360 minutes, 168
hours, 31 days and 12 months, and forgets and prunes the others from time to time.

Examples:
  coffer watch /srv/app/app.db
  coffer watch --interval 30s --job app '/srv/app/apps/*/app.db'
  coffer watch --keep-within 24h --keep-daily 31 /srv/app/app.db";

/// Make a snapshot of SQLite databases whenever they change, until interrupted
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct WatchArgs {
    /// The databases; may be patterns, which are looked at anew for every snapshot
    #[arg(value_name = "FILE|GLOB", required = true)]
    pub databases: Vec<PathBuf>,
    /// From the beginning of one snapshot to that of the next, at least: what may be lost
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = values::duration)]
    pub interval: Duration,
    /// How often to look whether somebody has written
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = values::duration)]
    pub poll: Duration,
    /// From one check of the databases, and count of their rows, to the next
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = values::duration)]
    pub check_interval: Duration,
    #[command(flatten)]
    pub reading: SqliteArgs,
    /// End after this many snapshots
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Tag the snapshots
    #[arg(short, long, value_name = "TAG", value_delimiter = ',')]
    pub tag: Vec<String>,
    /// Name of this host in the snapshots [default: the system's]
    #[arg(short = 'H', long, value_name = "HOST")]
    pub host: Option<String>,
    /// Name of the job [default: from the paths]
    #[arg(long, value_name = "JOB")]
    pub job: Option<String>,
    /// How hard to compress what is stored
    #[arg(long, value_enum, value_name = "HOW", default_value = "default")]
    pub compression: values::Compression,
    #[command(flatten)]
    pub old_bytes: OldBytesArgs,
    /// Forget and prune when so many snapshots are more than is kept, once a day, and when there is no room
    #[arg(long, value_name = "N", default_value = "2048", conflicts_with = "keep_all")]
    pub thin_after: u64,
    /// Forget and prune nothing
    #[arg(long, conflicts_with = "KeepArgs")]
    pub keep_all: bool,
    // Last: its heading would stand above what follows.
    #[command(flatten)]
    pub keep: KeepArgs,
    #[command(flatten)]
    pub pruning: PruningArgs,
}
