//! The live side, read: one module per kind of source.

mod command;
mod open_files;
pub mod pipe;
pub mod secrets;
pub mod sqlite;
pub mod stream;
pub mod tree;
