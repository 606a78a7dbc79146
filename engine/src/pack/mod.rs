//! Many sealed frames in one object, the footer last; without input or output.
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

mod build;
mod open;
#[cfg(test)]
mod tests;

pub use build::{NewFrame, PackBuilder, PlacedFrame, SealedFrame};
pub use open::{check_chunks, join_prefix, open_frame, read_footer};

use crate::error::{Error, Kind};

fn corrupt(what: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, what)
}
