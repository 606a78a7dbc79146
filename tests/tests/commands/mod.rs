//! The commands, their exit codes and their words.

mod help;
mod interrupts;
mod keys;
mod lists;
mod memory;
mod output;
mod passwords;
mod tune;
