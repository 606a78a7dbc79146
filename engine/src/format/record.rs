//! Records.

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf, Bytes};

use super::FormatError;
use super::codec::{self, VERSION, Value};
use super::wire::{Hashed, Reference, packs, references};
use crate::limits;
use crate::model::{HostId, PackId, Record, RecordBody};

#[derive(Serialize)]
struct WireOut<'a, B> {
    v: u64,
    kind: &'a str,
    created_ns: i64,
    author: ByteArray<16>,
    ring: Hashed,
    roots: Vec<Reference>,
    manifests: Vec<Reference>,
    body: B,
}

#[derive(Deserialize)]
struct WireIn {
    kind: String,
    created_ns: i64,
    author: ByteArray<16>,
    ring: Hashed,
    roots: Vec<Reference>,
    manifests: Vec<Reference>,
    body: Value,
}

#[derive(Serialize)]
struct BadPackOut<'a> {
    pack: ByteArray<32>,
    reason: &'a str,
}

#[derive(Deserialize)]
struct BadPackIn {
    pack: ByteArray<32>,
    reason: String,
}

#[derive(Serialize)]
struct VerifiedOut<'a> {
    packs: &'a Bytes,
    finished_ns: i64,
}

#[derive(Deserialize)]
struct VerifiedIn {
    packs: ByteBuf,
    finished_ns: i64,
}

/// The CBOR of a record.
///
/// # Errors
/// If it exceeds a limit of the format, or its kind is unknown.
pub fn encode(record: &Record) -> Result<Vec<u8>, FormatError> {
    match &record.body {
        RecordBody::BadPack { pack, reason } => {
            wire(record, BadPackOut { pack: pack.0.into(), reason })
        }
        RecordBody::Verified { packs, finished_ns } => {
            let names: Vec<u8> = packs.iter().flat_map(|pack| pack.0).collect();
            wire(record, VerifiedOut { packs: Bytes::new(&names), finished_ns: *finished_ns })
        }
        RecordBody::Unknown { .. } => {
            Err(FormatError::Invalid { field: "kind", why: "an unknown kind is never written" })
        }
    }
}

fn wire<B: Serialize>(record: &Record, body: B) -> Result<Vec<u8>, FormatError> {
    codec::encode(&WireOut {
        v: VERSION,
        kind: record.body.kind(),
        created_ns: record.created_ns,
        author: record.author.0.into(),
        ring: record.ring.into(),
        roots: record.roots.iter().copied().map(Into::into).collect(),
        manifests: record.manifests.iter().copied().map(Into::into).collect(),
        body,
    })
}

/// Reads a record; of an unknown kind all but the body.
///
/// # Errors
/// If it is not CBOR of the known version and form.
pub fn decode(bytes: &[u8]) -> Result<Record, FormatError> {
    let wire: WireIn = codec::decode("the record", bytes, limits::CONTROL_LEN_MAX)?;
    let body = match wire.kind.as_str() {
        "bad-pack" => {
            let body: BadPackIn = codec::decode_value(wire.body)?;
            RecordBody::BadPack { pack: PackId(*body.pack), reason: body.reason }
        }
        "verified" => {
            let body: VerifiedIn = codec::decode_value(wire.body)?;
            let packs = packs(&body.packs, "packs")?;
            RecordBody::Verified { packs, finished_ns: body.finished_ns }
        }
        _ => RecordBody::Unknown { kind: wire.kind },
    };
    Ok(Record {
        created_ns: wire.created_ns,
        author: HostId(*wire.author),
        ring: wire.ring.into(),
        roots: references(wire.roots)?,
        manifests: references(wire.manifests)?,
        body,
    })
}
