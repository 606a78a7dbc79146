//! What a repository holds: snapshots, entries, keys.

use std::collections::BTreeMap;

use coffer_engine::model::{
    Entry, EntryKind, SlotKind, Snapshot, SnapshotState, Source, SourceStatus,
};
use coffer_engine::repo::KeyInfo;
use serde::Serialize;

use super::{JsonPath, PathText};
use crate::output::{escape, table, units};

/// Digits of an id shown to people.
pub const SHORT_ID_LEN: usize = 8;

/// A snapshot in a list, or the first line of `ls`.
#[derive(Debug, Serialize)]
pub struct SnapshotLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub struct_type: Option<&'static str>,
    time: String,
    hostname: String,
    job: String,
    tags: Vec<String>,
    paths: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths_b64: Vec<String>,
    state: &'static str,
    program_version: String,
    sources: Vec<SourceLine>,
    summary: SnapshotTotals,
    id: String,
    short_id: String,
}

#[derive(Debug, Serialize)]
struct SourceLine {
    kind: String,
    name: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    entries: u64,
    bytes: u64,
    errors: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    facts: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct SnapshotTotals {
    backup_start: String,
    backup_end: String,
    files_new: u64,
    files_changed: u64,
    files_unmodified: u64,
    data_added: u64,
    data_added_packed: u64,
    total_files_processed: u64,
    total_bytes_processed: u64,
}

impl SnapshotLine {
    /// The line for `snapshot`.
    #[must_use]
    pub fn new(snapshot: &Snapshot) -> Self {
        let roots: Vec<Vec<u8>> = table::roots(snapshot);
        let not_text = roots.iter().any(|root| std::str::from_utf8(root).is_err());
        let id = snapshot.sid.to_string();
        Self {
            message_type: None,
            struct_type: None,
            time: units::rfc3339(snapshot.started_ns),
            hostname: snapshot.host.clone(),
            job: snapshot.job.clone(),
            tags: snapshot.tags.clone(),
            paths: roots.iter().map(|root| String::from_utf8_lossy(root).into_owned()).collect(),
            // All or none, so that the two lists stand in the same order.
            paths_b64: roots.iter().filter(|_| not_text).map(|r| escape::base64(r)).collect(),
            state: match snapshot.state {
                SnapshotState::Complete => "complete",
                SnapshotState::Partial => "partial",
                SnapshotState::Incomplete => "incomplete",
            },
            program_version: snapshot.tool.clone(),
            sources: snapshot.sources.iter().map(SourceLine::new).collect(),
            summary: SnapshotTotals::new(snapshot),
            short_id: short(&id).to_owned(),
            id,
        }
    }
}

impl SourceLine {
    fn new(source: &Source) -> Self {
        Self {
            kind: source.kind.clone(),
            name: source.name.clone(),
            status: source_status(source),
            message: source.message.clone(),
            entries: source.entries,
            bytes: source.bytes,
            errors: source.errors,
            facts: source.facts.clone(),
        }
    }
}

/// The word for how whole a source is.
#[must_use]
pub fn source_status(source: &Source) -> &'static str {
    match source.status {
        SourceStatus::Complete => "complete",
        SourceStatus::Failed => "failed",
    }
}

impl SnapshotTotals {
    fn new(snapshot: &Snapshot) -> Self {
        let totals = &snapshot.totals;
        // Counts come from a repository: advice, perhaps nonsense, never a panic.
        let changed = totals.files_new.saturating_add(totals.files_changed);
        Self {
            backup_start: units::rfc3339(snapshot.started_ns),
            backup_end: units::rfc3339(snapshot.finished_ns),
            files_new: totals.files_new,
            files_changed: totals.files_changed,
            files_unmodified: totals.files_unmodified,
            data_added: totals.data_added,
            data_added_packed: totals.data_stored,
            total_files_processed: changed.saturating_add(totals.files_unmodified),
            total_bytes_processed: totals.bytes,
        }
    }
}

/// The first digits of an id.
#[must_use]
pub fn short(id: &str) -> &str {
    id.get(..SHORT_ID_LEN).unwrap_or(id)
}

/// One entry of `ls`.
#[derive(Debug, Serialize)]
pub struct NodeLine {
    message_type: &'static str,
    struct_type: &'static str,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    path: JsonPath,
    source: String,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    mode: u32,
    permissions: String,
    mtime: String,
    ctime: String,
    inode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    linktarget: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    linktarget_b64: Option<String>,
}

impl NodeLine {
    /// The line for `entry` of the source called `source`.
    #[must_use]
    pub fn new(entry: &Entry, source: &str) -> Self {
        let target = match &entry.kind {
            EntryKind::Symlink { target } => Some(PathText::as_given(target)),
            _ => None,
        };
        let (linktarget, linktarget_b64) =
            target.map_or((None, None), |t| (Some(t.text), t.base64));
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            message_type: "node",
            struct_type: "node",
            name: lossy(entry.path.name()),
            kind: entry_type(entry),
            path: JsonPath::new(entry.path.as_bytes()),
            source: source.to_owned(),
            uid: entry.owner.uid,
            gid: entry.owner.gid,
            user: lossy(&entry.owner.user),
            group: lossy(&entry.owner.group),
            size: matches!(entry.kind, EntryKind::File { .. }).then(|| entry.file_size()),
            mode: entry.mode,
            permissions: table::permissions(entry),
            mtime: units::entry_rfc3339(entry.mtime),
            ctime: units::entry_rfc3339(entry.ctime),
            inode: entry.inode,
            linktarget,
            linktarget_b64,
        }
    }
}

/// The word for what an entry is.
#[must_use]
pub fn entry_type(entry: &Entry) -> &'static str {
    match entry.kind {
        EntryKind::File { .. } => "file",
        EntryKind::Directory => "dir",
        EntryKind::Symlink { .. } => "symlink",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        EntryKind::CharDevice { .. } => "chardev",
        EntryKind::BlockDevice { .. } => "dev",
    }
}

/// One key of `key list`.
#[derive(Debug, Serialize)]
pub struct KeyLine {
    current: bool,
    id: String,
    kind: &'static str,
    label: String,
    created: String,
    secrets: bool,
}

impl KeyLine {
    /// The line for `key`.
    #[must_use]
    pub fn new(key: &KeyInfo) -> Self {
        Self {
            current: key.current,
            id: key.slot.to_string(),
            kind: slot_kind(key.kind),
            label: key.label.clone(),
            created: units::rfc3339(key.created_ns),
            secrets: key.secrets,
        }
    }
}

/// The word for a kind of slot.
#[must_use]
pub fn slot_kind(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Password => "password",
        SlotKind::KeyFile => "key-file",
    }
}
