use std::path::PathBuf;

use clap::Args;

use super::{SelectionArgs, values};

const HELP: &str = "\
Files are chosen at random, of long ones ranges, and read once into memory. Then all that a backup does
with content is done with them, with other compression levels, chunk and frame lengths, on all cores and
in several rounds. The disk of the repository and the network are not measured. It takes one to a few
minutes; a smaller --sample takes less, and less memory.

Recommended is the smallest result that takes at most twice the default's time. Lengths and levels are
chosen when a repository is made: `coffer init --tuned FILE` takes those that --save wrote.

Examples:
  coffer tune /srv
  coffer tune --sample 2GiB --exclude '*.iso' /home /etc
  coffer tune /srv --save srv.json && coffer -r /mnt/backup init --tuned srv.json
  coffer --json tune /srv";

/// Measure which settings suit the files: a sample goes through all that a backup does
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct TuneArgs {
    /// Files and folders to sample
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Bytes to sample at most, as in 64M or 2GiB; they are held in memory
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = values::size)]
    pub sample: u64,
    /// Another number chooses another sample
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
    /// Write what is recommended to this new file, for `init --tuned`
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    #[command(flatten)]
    pub selection: SelectionArgs,
}
