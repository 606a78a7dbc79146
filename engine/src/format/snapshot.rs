//! Snapshots and checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, Bytes};

use super::FormatError;
use super::codec::{self, VERSION};
use super::wire::{Hashed, Reference, ensure, references};
use crate::limits;
use crate::model::{
    HostId, ObjectHash, ParentRef, Snapshot, SnapshotId, SnapshotState, Source, SourceStatus,
    Totals,
};

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    v: u64,
    sid: ByteArray<16>,
    seq: u64,
    #[serde(rename = "gen")]
    generation: u64,
    state: &'a str,
    host: &'a str,
    job: &'a str,
    #[serde(borrow)]
    tags: Vec<&'a str>,
    started_ns: i64,
    finished_ns: i64,
    tool: &'a str,
    author: ByteArray<16>,
    ring: Hashed,
    head: Hashed,
    bad_seen: Vec<ByteArray<32>>,
    totals: WireTotals,
    #[serde(borrow)]
    sources: Vec<WireSource<'a>>,
    pending: Vec<Reference>,
}

#[derive(Serialize, Deserialize)]
struct WireTotals {
    entries: u64,
    bytes: u64,
    files_new: u64,
    files_changed: u64,
    files_unmodified: u64,
    data_added: u64,
    data_stored: u64,
}

#[derive(Serialize, Deserialize)]
struct WireSource<'a> {
    kind: &'a str,
    name: &'a str,
    #[serde(borrow)]
    roots: Vec<&'a Bytes>,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    errors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<Reference>,
    entries: u64,
    bytes: u64,
    profile: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<WireParent>,
    #[serde(borrow)]
    facts: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s_data_ids: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s_node_ids: Option<Reference>,
}

#[derive(Serialize, Deserialize)]
struct WireParent {
    sid: ByteArray<16>,
    hash: ByteArray<32>,
}

/// The CBOR of a snapshot.
///
/// # Errors
/// If it exceeds a limit of the format.
pub fn encode(snapshot: &Snapshot) -> Result<Vec<u8>, FormatError> {
    let it = snapshot;
    check(&it.sources)?;
    codec::encode(&Wire {
        v: VERSION,
        sid: it.sid.0.into(),
        seq: it.seq,
        generation: it.generation,
        state: match it.state {
            SnapshotState::Complete => "complete",
            SnapshotState::Partial => "partial",
            SnapshotState::Incomplete => "incomplete",
        },
        host: &it.host,
        job: &it.job,
        tags: it.tags.iter().map(String::as_str).collect(),
        started_ns: it.started_ns,
        finished_ns: it.finished_ns,
        tool: &it.tool,
        author: it.author.0.into(),
        ring: it.ring.into(),
        head: it.head.into(),
        bad_seen: it.bad_seen.iter().map(|hash| hash.0.into()).collect(),
        totals: wire_totals(&it.totals),
        sources: it.sources.iter().map(wire_source).collect(),
        pending: it.pending.iter().copied().map(Into::into).collect(),
    })
}

/// Reads a snapshot.
///
/// # Errors
/// If it is not CBOR of the known version and form, or a source contradicts itself.
pub fn decode(bytes: &[u8]) -> Result<Snapshot, FormatError> {
    let wire: Wire<'_> = codec::decode("the snapshot", bytes, limits::SNAPSHOT_LEN_MAX)?;
    let sources = wire.sources.into_iter().map(source).collect::<Result<Vec<_>, _>>()?;
    check(&sources)?;
    Ok(Snapshot {
        sid: SnapshotId(*wire.sid),
        seq: wire.seq,
        generation: wire.generation,
        state: match wire.state {
            "complete" => SnapshotState::Complete,
            "partial" => SnapshotState::Partial,
            "incomplete" => SnapshotState::Incomplete,
            _ => return Err(FormatError::Invalid { field: "state", why: "an unknown word" }),
        },
        host: wire.host.into(),
        job: wire.job.into(),
        tags: wire.tags.into_iter().map(Into::into).collect(),
        started_ns: wire.started_ns,
        finished_ns: wire.finished_ns,
        tool: wire.tool.into(),
        author: HostId(*wire.author),
        ring: wire.ring.into(),
        head: wire.head.into(),
        bad_seen: wire.bad_seen.into_iter().map(|hash| ObjectHash(*hash)).collect(),
        totals: totals(&wire.totals),
        sources,
        pending: references(wire.pending)?,
    })
}

fn check(sources: &[Source]) -> Result<(), FormatError> {
    let count_max = limits::SNAPSHOT_SOURCE_COUNT_MAX;
    ensure(sources.len() <= count_max, "sources", "more than 4096")?;
    let names: BTreeSet<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    ensure(names.len() == sources.len(), "sources", "two have one name")?;
    let whole = |it: &Source| (it.status == SourceStatus::Complete) == it.root.is_some();
    ensure(sources.iter().all(whole), "sources", "a root goes with a complete source only")
}

fn wire_totals(it: &Totals) -> WireTotals {
    WireTotals {
        entries: it.entries,
        bytes: it.bytes,
        files_new: it.files_new,
        files_changed: it.files_changed,
        files_unmodified: it.files_unmodified,
        data_added: it.data_added,
        data_stored: it.data_stored,
    }
}

fn totals(wire: &WireTotals) -> Totals {
    Totals {
        entries: wire.entries,
        bytes: wire.bytes,
        files_new: wire.files_new,
        files_changed: wire.files_changed,
        files_unmodified: wire.files_unmodified,
        data_added: wire.data_added,
        data_stored: wire.data_stored,
    }
}

fn wire_source(it: &Source) -> WireSource<'_> {
    WireSource {
        kind: &it.kind,
        name: &it.name,
        roots: it.roots.iter().map(|root| Bytes::new(root)).collect(),
        status: match it.status {
            SourceStatus::Complete => "complete",
            SourceStatus::Failed => "failed",
        },
        message: it.message.as_deref(),
        errors: it.errors,
        root: it.root.map(Into::into),
        entries: it.entries,
        bytes: it.bytes,
        profile: &it.profile,
        parent: it
            .parent
            .map(|parent| WireParent { sid: parent.sid.0.into(), hash: parent.hash.0.into() }),
        facts: it.facts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        s_data_ids: it.s_data_ids.map(Into::into),
        s_node_ids: it.s_node_ids.map(Into::into),
    }
}

fn source(wire: WireSource<'_>) -> Result<Source, FormatError> {
    Ok(Source {
        kind: wire.kind.into(),
        name: wire.name.into(),
        roots: wire.roots.into_iter().map(|root| root.to_vec()).collect(),
        status: match wire.status {
            "complete" => SourceStatus::Complete,
            "failed" => SourceStatus::Failed,
            _ => return Err(FormatError::Invalid { field: "status", why: "an unknown word" }),
        },
        message: wire.message.map(Into::into),
        errors: wire.errors,
        root: wire.root.map(TryInto::try_into).transpose()?,
        entries: wire.entries,
        bytes: wire.bytes,
        profile: wire.profile.into(),
        parent: wire
            .parent
            .map(|it| ParentRef { sid: SnapshotId(*it.sid), hash: ObjectHash(*it.hash) }),
        facts: wire
            .facts
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        s_data_ids: wire.s_data_ids.map(TryInto::try_into).transpose()?,
        s_node_ids: wire.s_node_ids.map(TryInto::try_into).transpose()?,
    })
}
