//! Bytes to words and back: no keys, no input, no output. Wire structs never leave this module.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::unwrap_used,
        clippy::expect_used
    )
)]

mod codec;
pub mod config;
mod error;
pub mod footer;
pub mod forget;
pub mod generation;
pub mod node;
pub mod reader;
pub mod record;
pub mod ring;
mod scan;
pub mod segment;
pub mod slot;
pub mod snapshot;
mod strict;
mod wire;

pub use error::FormatError;

#[cfg(test)]
mod tests;
