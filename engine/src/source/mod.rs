//! The live side, read: one module per kind of source.

mod command;
pub mod pipe;
pub mod sqlite;
pub mod stream;
pub mod tree;
