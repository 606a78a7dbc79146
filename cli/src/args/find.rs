use clap::{Args, ValueEnum};

use super::FilterArgs;
use super::values::snapshot_name;

const HELP: &str = "\
Globs use the grammar of .gitignore: one without a slash names entries in any folder, one with a leading
slash is a path from the top. Quote them, or the shell expands them here.

Examples:
  coffer find 'nginx.conf'
  coffer find -l '/etc/**/*.conf' --host web1
  coffer find '*.sqlite' --type file --snapshot latest
  coffer --json find '/srv/app/uploads/'";

/// Find entries by name in every snapshot, oldest first
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct FindArgs {
    /// What to look for
    #[arg(value_name = "GLOB", required = true)]
    pub globs: Vec<String>,
    /// Only in this snapshot; may be given again
    #[arg(short, long, value_name = "SNAP", value_parser = snapshot_name)]
    pub snapshot: Vec<String>,
    /// Show mode, owner, size and time
    #[arg(short, long)]
    pub long: bool,
    /// Only entries of this type; may be given again
    #[arg(short = 't', long = "type", value_enum, value_name = "TYPE")]
    pub types: Vec<TypeArg>,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TypeArg {
    #[value(alias = "f")]
    File,
    #[value(alias = "d")]
    Dir,
    #[value(alias = "l")]
    Symlink,
    #[value(alias = "p")]
    Fifo,
    #[value(alias = "s")]
    Socket,
    /// A character device
    #[value(alias = "c")]
    Chardev,
    /// A block device
    #[value(alias = "b")]
    Dev,
}
