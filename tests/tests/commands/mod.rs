//! The commands, their exit codes and their words.

mod help;
pub mod interrupts;
mod keys;
mod lists;
mod memory;
mod output;
mod passwords;
mod tune;
