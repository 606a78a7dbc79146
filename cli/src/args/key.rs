use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::PasswordPolicyArgs;

const HELP: &str = "\
Examples:
  coffer key list
  coffer key add --new-key-file /etc/coffer/key --label hourly
  coffer key passwd
  coffer key remove 1a2b3c4d";

const LIST_HELP: &str = "\
Examples:
  coffer key list
  coffer --json key list";

const ADD_HELP: &str = "\
Without one of the three options a new password is asked for.

Examples:
  coffer key add --label alice
  coffer key add --new-key-file /etc/coffer/key --label hourly
  coffer key add --new-key-file /etc/coffer/hourly.key --no-secrets --label hourly
  coffer key add --new-password-command 'pass show backup'";

const REMOVE_HELP: &str = "\
What the removed key could read it may have read: a former holder with a copy of the repository and of
the keys keeps what is there. New data is sealed under new keys.

Examples:
  coffer key remove 1a2b3c4d";

const PASSWD_HELP: &str = "\
Replaces the key the repository was opened with. Without one of the three options a new password is
asked for.

Examples:
  coffer key passwd
  coffer key passwd --new-password-file /etc/coffer/new-password";

/// Manage the passwords and key files that open the repository
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct KeyArgs {
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the keys; the one in use is marked *
    #[command(after_help = LIST_HELP)]
    List,
    Add(KeyAddArgs),
    Remove(KeyRemoveArgs),
    Passwd(KeyPasswdArgs),
}

/// Add a password or a key file
#[derive(Debug, Args)]
#[command(after_help = ADD_HELP)]
pub struct KeyAddArgs {
    #[command(flatten)]
    pub new: NewKeyArgs,
    /// A name for the key, for `key list`
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub label: String,
    /// A key that stores and restores all but secrets, and changes no keys
    #[arg(long)]
    pub no_secrets: bool,
}

/// Remove a key
#[derive(Debug, Args)]
#[command(after_help = REMOVE_HELP)]
pub struct KeyRemoveArgs {
    /// The key, by the first digits of its slot in `key list`
    #[arg(value_name = "SLOT")]
    pub slot: String,
}

/// Replace the key in use by a new one
#[derive(Debug, Args)]
#[command(after_help = PASSWD_HELP)]
pub struct KeyPasswdArgs {
    #[command(flatten)]
    pub new: NewKeyArgs,
}

/// Where a new key comes from.
#[derive(Debug, Clone, Args)]
pub struct NewKeyArgs {
    /// Read the new password from this file
    #[arg(long, value_name = "FILE", group = "new_key")]
    pub new_password_file: Option<PathBuf>,
    /// Take the new password from what this shell command prints
    #[arg(long, value_name = "COMMAND", group = "new_key")]
    pub new_password_command: Option<OsString>,
    /// Use the key in this file; it is made if it does not exist
    #[arg(long, value_name = "FILE", group = "new_key")]
    pub new_key_file: Option<PathBuf>,
    #[command(flatten)]
    pub policy: PasswordPolicyArgs,
}
