//! The small bodies that govern a repository: config, forgets, records, generations.

use super::keys::Secret32;
use super::{
    HashedNumber, HostId, NodeRef, ObjectHash, PackId, RepositoryId, SnapshotId, SnapshotRef,
};

/// Feature bits a program must know to read, to write, to prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    pub read: u64,
    pub write: u64,
    pub prune: u64,
}

impl Features {
    /// Adds the bits of `other`.
    pub fn add(&mut self, other: Self) {
        self.read |= other.read;
        self.write |= other.write;
        self.prune |= other.prune;
    }
}

/// The clear head of a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigHead {
    pub repository: RepositoryId,
    /// Length of ring 0, bytes.
    pub ring_len: u32,
    pub features: Features,
}

/// How a kind of content is cut; lengths in bytes, even, `min` ≤ `avg` ≤ `max`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub name: String,
    pub min: u32,
    pub avg: u32,
    pub max: u32,
    /// Whether changed chunks may be stored as differences.
    pub delta: bool,
}

/// The sealed body of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigBody {
    pub repository: RepositoryId,
    /// Nanoseconds since 1970-01-01T00:00:00 UTC.
    pub created_ns: i64,
    /// Number of the chunker; 1 is FastCDC with a secret gear table.
    pub chunker: u64,
    pub chunker_secret: Secret32,
    pub profiles: Vec<Profile>,
    /// Advice to writers: zstd level, −7 to 22; 0 stores data as it is.
    pub zstd_level: i32,
    /// Advice to writers: plaintext target of a frame, bytes.
    pub frame_len: u64,
    /// Advice to writers: target of a data pack, bytes.
    pub pack_len: u64,
}

/// A snapshot object without its `sid`, as a forget names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ForgottenObject {
    pub generation: u64,
    pub hash: ObjectHash,
}

/// Takes objects of a snapshot out of the valid ones, or back in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    pub sid: SnapshotId,
    /// Counts from 0; the highest is in force.
    pub k: u64,
    pub undo: bool,
    pub objects: Vec<ForgottenObject>,
    pub author: HostId,
    pub created_ns: i64,
    pub ring: HashedNumber,
}

/// An append-only fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub created_ns: i64,
    pub author: HostId,
    pub ring: HashedNumber,
    /// What marks keep, whether the kind is known or not.
    pub roots: Vec<NodeRef>,
    /// Manifests that marks keep, by their roots.
    pub manifests: Vec<NodeRef>,
    pub body: RecordBody,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordBody {
    /// The pack failed verification; look-ups of writers ignore it.
    BadPack { pack: PackId, reason: String },
    /// These packs were proven intact.
    Verified { packs: Vec<PackId>, finished_ns: i64 },
    /// A kind this program does not know; it is read, never written.
    Unknown { kind: String },
}

impl RecordBody {
    /// The word of the kind, which stands in the object's name.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::BadPack { .. } => "bad-pack",
            Self::Verified { .. } => "verified",
            Self::Unknown { kind } => kind,
        }
    }
}

/// The state between two prunes begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub number: u64,
    /// Hash of the generation before; zeros for number 1.
    pub previous: ObjectHash,
    /// Packs that may be deleted, ascending.
    pub condemned: Vec<PackId>,
    pub features: Features,
    pub author: HostId,
    pub created_ns: i64,
    pub ring: HashedNumber,
}

/// What a generation settled, as differences or, if `full`, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    pub number: u64,
    /// Hash of the generation object.
    pub generation: ObjectHash,
    pub full: bool,
    /// Hash of the close before; zeros for number 1.
    pub previous: ObjectHash,
    /// Ascending in the order of (generation as little-endian bytes, sid, hash).
    pub valid_add: Vec<SnapshotRef>,
    pub valid_drop: Vec<SnapshotRef>,
    pub deleted_add: Vec<PackId>,
    pub deleted_drop: Vec<PackId>,
    /// Applied forgets: sid and k.
    pub forgets: Vec<(SnapshotId, u64)>,
    pub author: HostId,
    pub created_ns: i64,
    pub ring: HashedNumber,
}

/// What became of a closed generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FateKind {
    Delete,
    Undo,
}

/// The final word on a closed generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    pub number: u64,
    /// Hash of the close object.
    pub close: ObjectHash,
    pub fate: FateKind,
    pub author: HostId,
    pub created_ns: i64,
    pub ring: HashedNumber,
}
