//! The live side, read: one module per kind of source.

pub mod stream;
pub mod tree;
