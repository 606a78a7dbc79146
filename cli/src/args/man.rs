use std::path::PathBuf;

use clap::Args;

const HELP: &str = "\
Examples:
  coffer man | man -l -
  coffer man /usr/local/share/man/man1";

/// Write the manual page to standard output, or the pages of all commands into a folder
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ManArgs {
    /// Folder for one page per command
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}
