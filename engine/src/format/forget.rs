//! Forgets and their undoing.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::FormatError;
use super::codec::{self, VERSION};
use super::wire::Hashed;
use crate::limits;
use crate::model::{Forget, ForgottenObject, HostId, ObjectHash, SnapshotId};

#[derive(Serialize, Deserialize)]
struct Wire {
    v: u64,
    sid: ByteArray<16>,
    k: u64,
    undo: bool,
    objects: Vec<WireObject>,
    author: ByteArray<16>,
    created_ns: i64,
    ring: Hashed,
}

#[derive(Serialize, Deserialize)]
struct WireObject {
    #[serde(rename = "gen")]
    generation: u64,
    hash: ByteArray<32>,
}

/// The CBOR of a forget.
///
/// # Errors
/// If it exceeds a limit of the format.
pub fn encode(forget: &Forget) -> Result<Vec<u8>, FormatError> {
    let object =
        |it: &ForgottenObject| WireObject { generation: it.generation, hash: it.hash.0.into() };
    codec::encode(&Wire {
        v: VERSION,
        sid: forget.sid.0.into(),
        k: forget.k,
        undo: forget.undo,
        objects: forget.objects.iter().map(object).collect(),
        author: forget.author.0.into(),
        created_ns: forget.created_ns,
        ring: forget.ring.into(),
    })
}

/// Reads a forget.
///
/// # Errors
/// If it is not CBOR of the known version and form.
pub fn decode(bytes: &[u8]) -> Result<Forget, FormatError> {
    let wire: Wire = codec::decode("the forget", bytes, limits::CONTROL_LEN_MAX)?;
    let object =
        |it: &WireObject| ForgottenObject { generation: it.generation, hash: ObjectHash(*it.hash) };
    Ok(Forget {
        sid: SnapshotId(*wire.sid),
        k: wire.k,
        undo: wire.undo,
        objects: wire.objects.iter().map(object).collect(),
        author: HostId(*wire.author),
        created_ns: wire.created_ns,
        ring: wire.ring.into(),
    })
}
