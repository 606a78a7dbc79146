//! The only user of CBOR: under limits, strict about the form, before anything is believed.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
pub(super) use serde_cbor::Value;
use zeroize::Zeroizing;

use super::FormatError;
use super::scan::scan;
use super::strict::Strict;

/// The version of every body this program writes and reads.
pub(super) const VERSION: u64 = 1;

/// The CBOR of a wire struct.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FormatError> {
    let bytes = serde_cbor::to_vec(value).map_err(cbor)?;
    scan(&bytes)?;
    Ok(bytes)
}

/// The CBOR of a wire struct with secrets in it; no copy stays behind if `capacity` suffices.
pub(super) fn encode_secret<T: Serialize>(
    value: &T,
    capacity: usize,
) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    serde_cbor::to_writer(&mut *bytes, value).map_err(cbor)?;
    scan(&bytes)?;
    Ok(bytes)
}

/// Decodes a body of at most `len_max` bytes and of this program's version.
pub(super) fn decode<'a, T: Deserialize<'a>>(
    what: &'static str,
    bytes: &'a [u8],
    len_max: u64,
) -> Result<T, FormatError> {
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if len > len_max {
        return Err(FormatError::TooLong { what, len, len_max });
    }
    let found = scan(bytes)?;
    if found != VERSION {
        return Err(FormatError::Version { what, found, known: VERSION });
    }
    strictly(bytes).map_err(cbor)
}

/// Decodes a part of a body whose form depends on another field.
pub(super) fn decode_value<T: DeserializeOwned>(value: Value) -> Result<T, FormatError> {
    let bytes = serde_cbor::to_vec(&value).map_err(cbor)?;
    strictly(&bytes).map_err(cbor)
}

/// Decodes bytes that a scan has gone through.
fn strictly<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_cbor::Error> {
    T::deserialize(Strict(&mut serde_cbor::Deserializer::from_slice(bytes)))
}

fn cbor(error: serde_cbor::Error) -> FormatError {
    FormatError::Cbor(error.to_string().chars().take(200).collect())
}
