use std::time::Duration;

use clap::Args;

use super::values;

/// How databases are read.
#[derive(Debug, Args)]
pub struct SqliteArgs {
    /// How long to wait for a database's lock, and to hold writers up that do not use a WAL
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration)]
    pub lock_max: Duration,
    /// What SQLite checks of a database before it is acknowledged
    #[arg(long, value_enum, value_name = "HOW", default_value = "quick")]
    pub sqlite_check: values::SqliteCheck,
    /// Do not count and hash the rows of every table of databases
    #[arg(long)]
    pub no_table_facts: bool,
    /// Store free pages of databases as zeros: deleted rows may still stand in them. Takes a check
    #[arg(long)]
    pub zero_free_pages: bool,
}

impl SqliteArgs {
    /// What is wrong with the options together.
    pub(super) fn mistake(&self) -> Option<&'static str> {
        let is_unsafe = self.zero_free_pages && self.sqlite_check == values::SqliteCheck::None;
        is_unsafe.then_some(
            "--zero-free-pages cannot be used with --sqlite-check none: the list of free pages of a \
             database that is damaged may name pages in use, and only a check shows that",
        )
    }
}
