//! Keys, keyed names, seals and signatures: the format's pages 2 and 3.
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

mod bytes;
mod cipher;
pub mod config;
mod error;
mod header;
mod keyring;
mod keys;
mod object;
mod pack;
mod place;
mod random;
pub mod ring;
mod sign;
pub mod slot;
mod spool;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

pub use crate::model::Secret32;
pub use bytes::padded_len;
pub use cipher::SEAL_OVERHEAD;
pub use error::CryptoError;
pub use header::{HEADER_LEN, Header};
pub use keyring::{Keyring, KeyringParts};
pub use keys::object_hash;
pub use pack::{PackOpener, PackSealer};
pub use place::Place;
pub use sign::{Author, SIGNATURE_LEN, SignatureState, Signed, signing_public};
pub use slot::{Credential, KdfStrength};
pub use spool::SpoolKey;
