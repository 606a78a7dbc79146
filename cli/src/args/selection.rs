use std::path::PathBuf;

use clap::Args;

use super::values;

/// What of a tree is left out.
#[derive(Debug, Clone, Args)]
pub struct SelectionArgs {
    /// Leave out what matches
    #[arg(short, long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Leave out what matches a line of this file
    #[arg(long, value_name = "FILE")]
    pub exclude_file: Vec<PathBuf>,
    /// Leave out the contents of folders that hold a file of this name
    #[arg(long, value_name = "NAME")]
    pub exclude_if_present: Vec<String>,
    /// Leave out the contents of folders with a CACHEDIR.TAG
    #[arg(long)]
    pub exclude_caches: bool,
    /// Leave out files larger than this, as in 10M or 1GiB
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub exclude_larger_than: Option<u64>,
    /// Stay on the file systems of the given paths
    #[arg(short = 'x', long)]
    pub one_file_system: bool,
}
