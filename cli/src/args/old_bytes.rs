use clap::Args;

use super::values;

/// Where the bytes come from that changed chunks are stored as differences from.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OldBytesArgs {
    /// Where to take what changed bytes are stored as differences from [env: COFFER_OLD_BYTES] [default: auto]
    #[arg(long, value_enum, value_name = "WHERE")]
    pub old_bytes: Option<values::OldBytes>,
    /// Keep at most this much of it in the cache, 16M or more [env: COFFER_OLD_BYTES_LIMIT] [default: 2G]
    #[arg(long, value_name = "SIZE", value_parser = values::old_bytes_limit)]
    pub old_bytes_limit: Option<u64>,
}
