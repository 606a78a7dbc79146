//! The live side, read: one module per kind of source.

mod command;
pub mod secrets;
pub mod stream;
pub mod tree;
