//! Generations, closes and fates.

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, Bytes};

use super::FormatError;
use super::codec::{self, VERSION};
use super::wire::{
    Hashed, ensure, forgets, forgets_bytes, pack_set, pack_set_bytes, snapshot_set,
    snapshot_set_bytes,
};
use crate::limits;
use crate::model::{Close, Fate, FateKind, Features, Generation, HostId, ObjectHash};

#[derive(Serialize, Deserialize)]
struct WireGeneration<'a> {
    v: u64,
    n: u64,
    prev: ByteArray<32>,
    #[serde(borrow)]
    condemned: &'a Bytes,
    features: WireFeatures,
    author: ByteArray<16>,
    created_ns: i64,
    ring: Hashed,
}

#[derive(Serialize, Deserialize)]
struct WireFeatures {
    read: u64,
    write: u64,
    prune: u64,
}

/// The CBOR of a generation.
///
/// # Errors
/// If it exceeds a limit of the format.
pub fn encode(generation: &Generation) -> Result<Vec<u8>, FormatError> {
    let it = generation;
    let features =
        WireFeatures { read: it.features.read, write: it.features.write, prune: it.features.prune };
    codec::encode(&WireGeneration {
        v: VERSION,
        n: it.number,
        prev: it.previous.0.into(),
        condemned: Bytes::new(&pack_set_bytes(&it.condemned)),
        features,
        author: it.author.0.into(),
        created_ns: it.created_ns,
        ring: it.ring.into(),
    })
}

/// Reads a generation.
///
/// # Errors
/// If it is not CBOR of the known version and form, or a set is not ascending.
pub fn decode(bytes: &[u8]) -> Result<Generation, FormatError> {
    let len_max = limits::GENERATION_LEN_MAX;
    let wire: WireGeneration<'_> = codec::decode("the generation", bytes, len_max)?;
    let features = Features {
        read: wire.features.read,
        write: wire.features.write,
        prune: wire.features.prune,
    };
    Ok(Generation {
        number: wire.n,
        previous: ObjectHash(*wire.prev),
        condemned: pack_set(wire.condemned, "condemned")?,
        features,
        author: HostId(*wire.author),
        created_ns: wire.created_ns,
        ring: wire.ring.into(),
    })
}

#[derive(Serialize, Deserialize)]
struct WireClose<'a> {
    v: u64,
    n: u64,
    #[serde(rename = "gen")]
    generation: ByteArray<32>,
    full: bool,
    prev: ByteArray<32>,
    #[serde(borrow)]
    valid_add: &'a Bytes,
    #[serde(borrow)]
    valid_drop: &'a Bytes,
    #[serde(borrow)]
    deleted_add: &'a Bytes,
    #[serde(borrow)]
    deleted_drop: &'a Bytes,
    #[serde(borrow)]
    forgets: &'a Bytes,
    author: ByteArray<16>,
    created_ns: i64,
    ring: Hashed,
}

/// The CBOR of a close.
///
/// # Errors
/// If it exceeds a limit of the format.
pub fn encode_close(close: &Close) -> Result<Vec<u8>, FormatError> {
    let it = close;
    check_full(it)?;
    codec::encode(&WireClose {
        v: VERSION,
        n: it.number,
        generation: it.generation.0.into(),
        full: it.full,
        prev: it.previous.0.into(),
        valid_add: Bytes::new(&snapshot_set_bytes(&it.valid_add)),
        valid_drop: Bytes::new(&snapshot_set_bytes(&it.valid_drop)),
        deleted_add: Bytes::new(&pack_set_bytes(&it.deleted_add)),
        deleted_drop: Bytes::new(&pack_set_bytes(&it.deleted_drop)),
        forgets: Bytes::new(&forgets_bytes(&it.forgets)),
        author: it.author.0.into(),
        created_ns: it.created_ns,
        ring: it.ring.into(),
    })
}

/// Reads a close.
///
/// # Errors
/// If it is not CBOR of the known version and form, or a set is not ascending.
pub fn decode_close(bytes: &[u8]) -> Result<Close, FormatError> {
    let wire: WireClose<'_> = codec::decode("the close", bytes, limits::GENERATION_LEN_MAX)?;
    let close = Close {
        number: wire.n,
        generation: ObjectHash(*wire.generation),
        full: wire.full,
        previous: ObjectHash(*wire.prev),
        valid_add: snapshot_set(wire.valid_add, "valid_add")?,
        valid_drop: snapshot_set(wire.valid_drop, "valid_drop")?,
        deleted_add: pack_set(wire.deleted_add, "deleted_add")?,
        deleted_drop: pack_set(wire.deleted_drop, "deleted_drop")?,
        forgets: forgets(wire.forgets, "forgets")?,
        author: HostId(*wire.author),
        created_ns: wire.created_ns,
        ring: wire.ring.into(),
    };
    check_full(&close)?;
    Ok(close)
}

fn check_full(close: &Close) -> Result<(), FormatError> {
    let drops = !close.valid_drop.is_empty() || !close.deleted_drop.is_empty();
    ensure(!(close.full && drops), "close", "a full one drops nothing")
}

#[derive(Serialize, Deserialize)]
struct WireFate<'a> {
    v: u64,
    n: u64,
    close: ByteArray<32>,
    fate: &'a str,
    author: ByteArray<16>,
    created_ns: i64,
    ring: Hashed,
}

/// The CBOR of a fate.
///
/// # Errors
/// Never for a fate made by this program.
pub fn encode_fate(fate: &Fate) -> Result<Vec<u8>, FormatError> {
    codec::encode(&WireFate {
        v: VERSION,
        n: fate.number,
        close: fate.close.0.into(),
        fate: match fate.fate {
            FateKind::Delete => "delete",
            FateKind::Undo => "undo",
        },
        author: fate.author.0.into(),
        created_ns: fate.created_ns,
        ring: fate.ring.into(),
    })
}

/// Reads a fate.
///
/// # Errors
/// If it is not CBOR of the known version and form.
pub fn decode_fate(bytes: &[u8]) -> Result<Fate, FormatError> {
    let wire: WireFate<'_> = codec::decode("the fate", bytes, limits::CONTROL_LEN_MAX)?;
    Ok(Fate {
        number: wire.n,
        close: ObjectHash(*wire.close),
        fate: match wire.fate {
            "delete" => FateKind::Delete,
            "undo" => FateKind::Undo,
            _ => return Err(FormatError::Invalid { field: "fate", why: "an unknown word" }),
        },
        author: HostId(*wire.author),
        created_ns: wire.created_ns,
        ring: wire.ring.into(),
    })
}
