use std::path::PathBuf;

use clap::Args;

use super::FilterArgs;
use super::values::{size, snapshot_name};

const HELP: &str = "\
Under DIR are `snapshots/` with a folder for each snapshot, named by its time in UTC, and links to them:
`latest`, `ids/`, `hosts/` and `tags/`. With SNAP, DIR shows that snapshot alone. What is shown is what
there was when the command began. It runs until Ctrl-C, or `fusermount -u DIR`.

Examples:
  coffer mount /mnt/snapshots
  coffer mount latest /mnt/yesterday --host web1
  cp -a /mnt/snapshots/latest/etc/nginx /tmp/";

/// Show snapshots as read-only folders (FUSE)
#[derive(Debug, Args)]
#[command(after_help = HELP, allow_missing_positional = true)]
pub struct MountArgs {
    /// Show this snapshot alone
    #[arg(value_name = "SNAP", value_parser = snapshot_name)]
    pub snapshot: Option<String>,
    /// An empty folder to show them in
    #[arg(value_name = "DIR", required = true)]
    pub target: PathBuf,
    /// Let other users in too, by the modes and owners stored
    #[arg(long)]
    pub allow_other: bool,
    /// Show secrets too, to whoever can read the folder, if the key in use may read them
    #[arg(long)]
    pub secrets: bool,
    /// Memory for data that was opened, as in 64M
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64M")]
    pub frame_cache: u64,
    #[command(flatten)]
    pub filter: FilterArgs,
}
