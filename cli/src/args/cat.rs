use clap::Args;

use super::FilterArgs;
use super::values::{SnapshotPath, SnapshotPathParser};

const HELP: &str = "\
SNAP is the first digits of an id, or `latest`, narrowed by --host, --tag and --job.

Examples:
  coffer cat latest:/etc/fstab
  coffer cat latest:app.sql --job app | psql app";

/// Write a stored file to standard output
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct CatArgs {
    /// The snapshot and the file in it
    #[arg(value_name = "SNAP:PATH", value_parser = clap::builder::TypedValueParser::try_map(
        SnapshotPathParser,
        with_path,
    ))]
    pub from: SnapshotPath,
    /// Look only into this source of the snapshot
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
}

fn with_path(from: SnapshotPath) -> Result<SnapshotPath, &'static str> {
    if from.path.is_empty() { Err("name a file, as in latest:/etc/fstab") } else { Ok(from) }
}
