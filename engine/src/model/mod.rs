//! The words of the engine: plain data, valid by construction, without input or output.

mod clock;
mod control;
mod entropy;
mod entry;
mod id;
mod id_hasher;
mod keys;
mod located;
mod memory;
mod path;
mod place;
mod snapshot;

pub use clock::Clock;
pub use control::{
    Close, ConfigBody, ConfigHead, Fate, FateKind, Features, Forget, ForgottenObject, Generation,
    Profile, Record, RecordBody,
};
pub use entropy::Entropy;
pub use entry::{Content, Entry, EntryKind, Hole, NodeRef, Owner, Time, Xattr, Xattrs};
pub use id::{
    ChunkId, HostId, ObjectHash, PackId, RepositoryId, SegmentId, SlotId, SnapshotId, parse_hex,
};
pub use id_hasher::{BuildIdHasher, IdHasher};
pub use keys::{
    EnrolledAuthor, Epoch, Recipient, RingBody, RingSecrets, Secret32, SecretBytes, SlotBody,
    SlotKind,
};
pub use located::{FramePlace, FrameView, PACK_HEADER_LEN, PackMeta, PackNumber, Place};
pub use memory::MemoryBound;
pub use path::{EntryPath, PathProblem, compare_paths};
pub use place::{
    Base, Chunk, Class, Codec, Footer, Frame, FrameKind, ObjectKind, PackInfo, Purpose,
};
pub use snapshot::{
    HashedNumber, ParentRef, Snapshot, SnapshotRef, SnapshotState, Source, SourceStatus, Totals,
};
