//! A recovery point of one run.

use std::collections::BTreeMap;

use super::{HostId, NodeRef, ObjectHash, SnapshotId};

/// How whole a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotState {
    Complete,
    /// Some source or file could not be read.
    Partial,
    /// A checkpoint to resume from.
    Incomplete,
}

/// Whether a source was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceStatus {
    Complete,
    Failed,
}

/// A number of a ring or generation with the hash of its object; number 0 and zeros for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashedNumber {
    pub number: u64,
    pub hash: ObjectHash,
}

impl HashedNumber {
    /// The value that stands for "no generation yet".
    pub const NONE: Self = Self { number: 0, hash: ObjectHash([0; 32]) };
}

/// The snapshot object a source was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParentRef {
    pub sid: SnapshotId,
    pub hash: ObjectHash,
}

/// One snapshot object in the store: `snapshots/<generation>/<sid>-<hash>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotRef {
    pub generation: u64,
    pub sid: SnapshotId,
    pub hash: ObjectHash,
}

/// One source within a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `tree`, `stream`; later kinds are kept as they are.
    pub kind: String,
    pub name: String,
    /// The absolute paths asked for, raw.
    pub roots: Vec<Vec<u8>>,
    pub status: SourceStatus,
    pub message: Option<String>,
    /// Entries that could not be read and are absent.
    pub errors: u64,
    /// The manifest's root; absent when the source failed.
    pub root: Option<NodeRef>,
    pub entries: u64,
    pub bytes: u64,
    pub profile: String,
    pub parent: Option<ParentRef>,
    pub facts: BTreeMap<String, String>,
    /// Class S: the id list of every chunk of data of class S the source needs.
    pub s_data_ids: Option<NodeRef>,
    /// Class S: the id list of every node of class S the source needs.
    pub s_node_ids: Option<NodeRef>,
}

impl Source {
    /// The fact that marks a database which a watch stored: the path or pattern that it was told to watch.
    pub const WATCHED: &'static str = "watched";
}

/// Counts of a run, for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub entries: u64,
    pub bytes: u64,
    pub files_new: u64,
    pub files_changed: u64,
    pub files_unmodified: u64,
    /// Plaintext bytes of new chunks.
    pub data_added: u64,
    /// Bytes those took in packs.
    pub data_stored: u64,
}

/// One recovery point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub sid: SnapshotId,
    /// Number of this object within its run.
    pub seq: u64,
    pub generation: u64,
    pub state: SnapshotState,
    pub host: String,
    pub job: String,
    pub tags: Vec<String>,
    /// Nanoseconds since 1970-01-01T00:00:00 UTC.
    pub started_ns: i64,
    pub finished_ns: i64,
    pub tool: String,
    pub author: HostId,
    pub ring: HashedNumber,
    pub head: HashedNumber,
    pub bad_seen: Vec<ObjectHash>,
    pub totals: Totals,
    pub sources: Vec<Source>,
    pub pending: Vec<NodeRef>,
}
