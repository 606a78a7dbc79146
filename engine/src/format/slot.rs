//! What a slot seals.

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, Bytes};
use zeroize::Zeroizing;

use super::FormatError;
use super::codec::{self, VERSION};
use super::wire::{number32, secret};
use crate::limits;
use crate::model::SlotBody;

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    v: u64,
    #[serde(borrow)]
    x25519: &'a Bytes,
    ring: u64,
    ring_public: ByteArray<32>,
    label: &'a str,
    created_ns: i64,
}

/// The CBOR of a slot's body.
///
/// # Errors
/// If the label is too long.
pub fn encode(body: &SlotBody) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let wire = Wire {
        v: VERSION,
        x25519: Bytes::new(body.x25519.as_bytes()),
        ring: body.ring.into(),
        ring_public: body.ring_public.into(),
        label: &body.label,
        created_ns: body.created_ns,
    };
    codec::encode_secret(&wire, body.label.len().saturating_add(1024))
}

/// Reads a slot's body.
///
/// # Errors
/// If it is not CBOR of the known version and form.
pub fn decode(bytes: &[u8]) -> Result<SlotBody, FormatError> {
    let wire: Wire<'_> = codec::decode("the slot", bytes, limits::SLOT_LEN_MAX)?;
    Ok(SlotBody {
        x25519: secret(wire.x25519, "x25519")?,
        ring: number32(wire.ring, "number of a ring")?,
        ring_public: *wire.ring_public,
        label: wire.label.into(),
        created_ns: wire.created_ns,
    })
}
