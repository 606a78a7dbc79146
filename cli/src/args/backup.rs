use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{OldBytesArgs, SelectionArgs, SqliteArgs, values};

const HELP: &str = "\
Excludes use the grammar of .gitignore. A file that cannot be read is told, the rest is stored, and
the exit code is 3.

Examples:
  coffer backup /etc /srv
  coffer backup --tag nightly --exclude '*.tmp' --exclude-caches /home
  pg_dump app | coffer backup --stdin --stdin-filename app.sql --job app
  coffer backup /srv/app --command 'pg_dump app' --name app.sql
  coffer backup /srv/app --sqlite '/srv/app/apps/*/app.db'
  coffer backup /srv/app --secrets /srv/app/.env --secrets /run/secrets
  find /srv -name '*.db' -print0 | coffer backup --files-from0 -
  coffer backup -n -v /srv";

/// Store files, folders or a stream as a new snapshot
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct BackupArgs {
    /// Files and folders to store
    #[arg(value_name = "PATH", required_unless_present_any = ["stdin", "command", "sqlite", "files_from", "files_from0", "secrets", "secret_env", "secret_command"])]
    pub paths: Vec<PathBuf>,
    /// Store what comes on standard input
    #[arg(long)]
    pub stdin: bool,
    /// Name of the file that standard input becomes
    #[arg(long, value_name = "NAME", default_value = "stdin", requires = "stdin")]
    pub stdin_filename: String,
    /// Store this SQLite database, live or not, as a source of its own; may be a pattern
    #[arg(long, value_name = "FILE|GLOB")]
    pub sqlite: Vec<PathBuf>,
    /// Store SQLite databases among the files as plain files, torn if they are in use
    #[arg(long)]
    pub no_sqlite: bool,
    #[command(flatten)]
    pub reading: SqliteArgs,
    /// Store what this shell command prints; if it fails, so does this source
    #[arg(long, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Name of the file that the output of the --command becomes
    #[arg(long, value_name = "NAME", requires = "command")]
    pub name: Vec<String>,
    /// Store this file or folder as a secret: only keys that may read secrets open it
    #[arg(long, value_name = "PATH")]
    pub secrets: Vec<PathBuf>,
    /// Store this file of settings, and the files its settings NAME_FILE=PATH name, as secrets
    #[arg(long, value_name = "FILE")]
    pub secret_env: Vec<PathBuf>,
    /// Store what this shell command prints as a secret
    #[arg(long, value_name = "COMMAND")]
    pub secret_command: Vec<String>,
    /// Name of the file that the output of the --secret-command becomes
    #[arg(long, value_name = "NAME", requires = "secret_command")]
    pub secret_name: Vec<String>,
    /// Read more paths from this file, one a line; - is standard input
    #[arg(long, value_name = "FILE")]
    pub files_from: Vec<PathBuf>,
    /// Read more paths from this file, each ended by a zero byte; - is standard input
    #[arg(long, value_name = "FILE")]
    pub files_from0: Vec<PathBuf>,

    /// Tag the snapshot
    #[arg(short, long, value_name = "TAG", value_delimiter = ',')]
    pub tag: Vec<String>,
    /// Name of this host in the snapshot [default: the system's]
    #[arg(short = 'H', long, value_name = "HOST")]
    pub host: Option<String>,
    /// Name of the job; its last snapshot is the one compared with [default: from the paths]
    #[arg(long, value_name = "JOB")]
    pub job: Option<String>,

    #[command(flatten)]
    pub selection: SelectionArgs,

    /// Read a file again next time if it changed this shortly before it was read
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = values::duration)]
    pub racy_window: Duration,
    /// How often to note what is done, so that an interrupted backup goes on from there; 0s for never
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = values::duration)]
    pub checkpoint_interval: Duration,
    /// How hard to compress what this backup stores
    #[arg(long, value_enum, value_name = "HOW", default_value = "default")]
    pub compression: values::Compression,
    /// Store all that changed anew, not as differences from what stood at its place before (in databases,
    /// streams, and files above 256 KiB): more to store, less to read for a restore
    #[arg(long, conflicts_with_all = ["old_bytes", "old_bytes_limit"])]
    pub no_delta: bool,
    #[command(flatten)]
    pub old_bytes: OldBytesArgs,
    /// Read every file, whatever the last snapshot says
    #[arg(short, long)]
    pub force: bool,
    /// Do not tell which ordinary files look like secrets
    #[arg(long)]
    pub no_secret_scan: bool,
    /// Store nothing; tell what would be stored
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Make the repository first if there is none
    #[arg(long, conflicts_with = "dry_run")]
    pub init: bool,
    /// With --init: take compression and chunk lengths from this file of `coffer tune --save`
    #[arg(long, value_name = "FILE", requires = "init")]
    pub tuned: Option<PathBuf>,
    /// With --init: strength of the key derivation of the password
    #[arg(long, value_enum, value_name = "STRENGTH", requires = "init")]
    pub kdf: Option<values::Kdf>,
    /// With --init: take a password that is short or easy to guess
    #[arg(long, requires = "init")]
    pub allow_weak_password: bool,
}
