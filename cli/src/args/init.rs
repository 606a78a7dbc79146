use std::path::PathBuf;

use clap::Args;

use super::{PasswordPolicyArgs, values};

const HELP: &str = "\
A password, a key file, or both unlock the repository; each gets a slot of its own. With --key-file
the file is made if it does not exist. Losing the password and every key file loses the data.

Examples:
  coffer -r /mnt/backup init
  coffer -r /mnt/backup --key-file /etc/coffer/key init
  coffer -r /mnt/backup --password-file /etc/coffer/password --key-file /etc/coffer/key init
  coffer tune /srv --save srv.json && coffer -r /mnt/backup init --tuned srv.json";

/// Make a new repository
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct InitArgs {
    /// Take compression and chunk lengths from this file, which `coffer tune --save` wrote
    #[arg(long, value_name = "FILE")]
    pub tuned: Option<PathBuf>,
    /// How hard backups compress unless they say otherwise
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        default_value = "default",
        conflicts_with = "tuned"
    )]
    pub compression: values::Compression,
    #[command(flatten)]
    pub policy: PasswordPolicyArgs,
}
