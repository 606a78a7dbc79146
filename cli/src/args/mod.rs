//! The command line, one file per command.

mod backup;
mod cat;
mod completions;
mod diff;
mod find;
mod forget;
mod init;
mod key;
mod ls;
mod man;
mod mount;
mod old_bytes;
mod prune;
mod restore;
mod selection;
mod snapshots;
mod sqlite;
mod stats;
mod tune;
pub mod values;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

pub use backup::BackupArgs;
pub use cat::CatArgs;
pub use completions::CompletionsArgs;
pub use diff::DiffArgs;
pub use find::{FindArgs, TypeArg};
pub use forget::{ForgetArgs, KeepArgs};
pub use init::InitArgs;
pub use key::{KeyAddArgs, KeyArgs, KeyCommand, KeyPasswdArgs, KeyRemoveArgs, NewKeyArgs};
pub use ls::LsArgs;
pub use man::ManArgs;
pub use mount::MountArgs;
pub use old_bytes::OldBytesArgs;
pub use prune::{PruneArgs, PruningArgs};
pub use restore::{OverwriteArg, RestoreArgs};
pub use selection::SelectionArgs;
pub use snapshots::SnapshotsArgs;
pub use sqlite::SqliteArgs;
pub use stats::StatsArgs;
pub use tune::TuneArgs;
pub use watch::WatchArgs;

const ROOT_HELP: &str = "\
Exit codes:
    0  success
    1  failed
    2  usage: a mistake in the options or the environment
    3  partial: some source or file could not be read or written
    4  damage found
    5  refused by a safety rule
    6  the repository was rolled back or forked
   10  there is no repository
   12  wrong password or key file
  130  interrupted

Environment:
  COFFER_REPOSITORY   where the repository is (-r)
  COFFER_PASSWORD     the password
  COFFER_KEY_FILE     path of a key file (--key-file)
                      Each of these also as …_FILE, a file that holds the value, and as …_COMMAND,
                      a command that prints it; COFFER_KEY_FILE_COMMAND prints the key itself.
  COFFER_CACHE_DIR    folder of the cache (--cache-dir)
  COFFER_STATE_DIR    folder of this host's identity and memory (--state-dir)
  COFFER_OLD_BYTES    where backups take what changed bytes are differences from (--old-bytes)
  COFFER_OLD_BYTES_LIMIT
                      how much of that is kept in the cache (--old-bytes-limit)

With --json, results are lines of JSON on stdout and errors are lines of JSON on stderr.

Examples:
  coffer -r /mnt/backup init
  coffer -r /mnt/backup --password-file /etc/coffer/password backup /etc /srv
  coffer -r /mnt/backup snapshots
  coffer -r /mnt/backup restore latest --target /tmp/restored";

/// Encrypted, deduplicating backups of self-hosted applications.
#[derive(Debug, Parser)]
#[command(name = "coffer", version, after_long_help = ROOT_HELP, max_term_width = 100)]
#[command(after_help = "`coffer --help` has the exit codes, the environment and examples.")]
#[command(disable_help_subcommand = true, infer_subcommands = false)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses a command line.
    ///
    /// # Errors
    /// Help, the version, or the mistake that was made.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let cli = Self::try_parse_from(args)?;
        let reading = match &cli.command {
            Command::Backup(args) => Some(&args.reading),
            Command::Watch(args) => Some(&args.reading),
            _ => None,
        };
        match reading.and_then(SqliteArgs::mistake) {
            Some(what) => Err(Self::command().error(ErrorKind::ArgumentConflict, what)),
            None => Ok(cli),
        }
    }
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// The repository: a path or a file:// URL [env: COFFER_REPOSITORY]
    #[arg(short, long, global = true, value_name = "REPOSITORY")]
    pub repo: Option<OsString>,
    /// Write JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but errors and the result asked for
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice names every file
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Unlock with the key in this file [env: COFFER_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Read the password from this file [env: COFFER_PASSWORD_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "password_command")]
    pub password_file: Option<PathBuf>,
    /// Take the password from what this shell command prints [env: COFFER_PASSWORD_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND")]
    pub password_command: Option<OsString>,
    /// Folder of the cache; may be deleted at any time [env: COFFER_CACHE_DIR]
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "no_cache")]
    pub cache_dir: Option<PathBuf>,
    /// Use no cache
    #[arg(long, global = true)]
    pub no_cache: bool,
    /// Folder of this host's signing key and of what it has seen; keep it [env: COFFER_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Keep to this much memory, 64M or more, at some cost of speed; a key derivation is not in it [default: about 128M]
    #[arg(long, global = true, value_name = "SIZE", value_parser = values::memory)]
    pub memory: Option<u64>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(InitArgs),
    Backup(Box<BackupArgs>),
    Watch(WatchArgs),
    Snapshots(SnapshotsArgs),
    Ls(LsArgs),
    Find(FindArgs),
    Diff(DiffArgs),
    Stats(StatsArgs),
    Cat(CatArgs),
    Restore(RestoreArgs),
    Mount(MountArgs),
    #[command(after_help = CHECK_HELP)]
    /// Check that everything the repository needs is there and agrees, without reading file data
    Check,
    #[command(after_help = VERIFY_HELP)]
    /// Read everything back: open, expand and compare every stored byte
    Verify,
    Forget(ForgetArgs),
    Prune(PruneArgs),
    Key(KeyArgs),
    Tune(TuneArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

const CHECK_HELP: &str = "\
Damage is told object by object, with the snapshots and paths it touches; the exit code is then 4.

Examples:
  coffer check
  coffer --json check";

const VERIFY_HELP: &str = "\
Damage is told object by object, with the snapshots and paths it touches; the exit code is then 4.

Examples:
  coffer verify
  coffer --json verify";

/// Which snapshots `latest` and lists choose from.
#[derive(Debug, Clone, Default, Args)]
pub struct FilterArgs {
    /// Only snapshots of this host
    #[arg(short = 'H', long, value_name = "HOST")]
    pub host: Option<String>,
    /// Only snapshots with this tag; several: with all of them
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub tag: Vec<String>,
    /// Only snapshots of this job
    #[arg(long, value_name = "JOB")]
    pub job: Option<String>,
}

/// How a new password is taken.
#[derive(Debug, Clone, Args)]
pub struct PasswordPolicyArgs {
    /// Strength of the key derivation of the password
    #[arg(long, value_enum, value_name = "STRENGTH", default_value = "default")]
    pub kdf: values::Kdf,
    /// Take a password that is short or easy to guess
    #[arg(long)]
    pub allow_weak_password: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn visit(command: &clap::Command) {
            let help = command.get_after_long_help().or(command.get_after_help());
            let help = help.map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{} has no examples", command.get_name());
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }

    #[test]
    fn global_options_stand_before_and_after_the_command() {
        for line in ["coffer -r /r --json snapshots", "coffer snapshots --json -r /r"] {
            let cli = parse(line).unwrap();
            assert!(cli.global.json && cli.global.repo == Some("/r".into()), "{line}");
        }
    }

    #[test]
    fn mistakes_are_usage_errors() {
        for line in [
            "coffer",
            "coffer prune --undo --hold 1d",
            "coffer prune --max-unused 101",
            "coffer prune 1a2b3c4d",
            "coffer forget 1a2b3c4d --keep-last 1",
            "coffer forget --keep-last some",
            "coffer forget --keep-last 1 --hold 1d",
            "coffer forget --undo",
            "coffer forget --undo 1a2b3c4d --prune",
            "coffer forget --undo 1a2b3c4d --keep-last 1",
            "coffer -q -v snapshots",
            "coffer --password-file a --password-command b snapshots",
            "coffer backup",
            "coffer backup /a --kdf strong",
            "coffer backup /a --init -n",
            "coffer backup /a --stdin-filename x",
            "coffer backup --exclude-larger-than huge /a",
            "coffer ls xyz",
            "coffer cat latest",
            "coffer restore latest",
            "coffer restore latest --target /t --overwrite sometimes",
            "coffer key remove",
            "coffer tune",
            "coffer tune --sample much /a",
            "coffer tune --seed x /a",
            "coffer backup /a --tuned f",
            "coffer backup /a --old-bytes somewhere",
            "coffer backup /a --old-bytes-limit 15M",
            "coffer backup /a --no-delta --old-bytes cache",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_rule_and_the_options_of_pruning_are_taken() {
        let line = "coffer forget --keep-within 2w --keep-tag a,b --tag c -n --prune --hold 1d";
        let Command::Forget(args) = parse(line).unwrap().command else { panic!("not a forget") };
        assert_eq!((args.keep.keep_tag.len(), args.filter.tag.len()), (2, 1));
        assert_eq!(args.keep.keep_within, args.pruning.hold.map(|day| day * 14));
        assert_eq!(args.pruning.max_unused, 5);
        assert!(parse("coffer prune --max-unused 7% --leave-newer 0s").is_ok());
    }

    #[test]
    fn the_options_of_a_backup_are_taken() {
        let line = "coffer backup --stdin --stdin-filename db.sql -t a,b -t c \
                    --exclude-larger-than 10M --racy-window 5s -x -f -n -e *.tmp --job j -H h";
        let Command::Backup(args) = parse(line).unwrap().command else { panic!("not a backup") };
        assert_eq!(args.tag, ["a", "b", "c"]);
        assert_eq!(args.selection.exclude_larger_than, Some(10 << 20));
        assert!(args.stdin && args.selection.one_file_system && args.force && args.dry_run);
    }
}
