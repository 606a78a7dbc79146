//! What a restore reads, as the few verbs it needs of a repository.

use std::sync::Arc;

use crate::error::Result;
use crate::model::{Content, Entry, NodeRef, Xattr, Xattrs};
pub use crate::model::{FramePlace, PackNumber, Place};
use crate::source::sqlite::Facts;

/// Entries in manifest order; after an error the entries behind the damage may follow.
pub type EntryStream<'a> = Box<dyn Iterator<Item = Result<Entry>> + 'a>;
/// The chunks of a content in order, each with how often it stands in a row.
pub type ChunkStream<'a> = Box<dyn Iterator<Item = Result<(NodeRef, u64)>> + 'a>;

/// Proves that a chunk stands at its place in a frame's plaintext.
pub type Prove<'a> = dyn Fn(&NodeRef, &Place, &[u8]) -> Result<()> + Sync + 'a;

/// One source of a snapshot. Errors of kind `Corrupt`, `NotFound` and `Unsupported` cost the
/// entries that need what failed; `Unavailable` too, unless it goes on; any other ends the restore.
pub struct Origin<'a> {
    /// The entry of a folder and those below it; of an empty path, all. May be called twice.
    pub entries: &'a (dyn Fn(&[u8]) -> EntryStream<'a> + 'a),
    /// The chunks of a content.
    pub chunks: &'a (dyn Fn(&Content) -> ChunkStream<'a> + 'a),
    /// The attributes of an entry, wherever they are stored.
    pub attributes: &'a (dyn Fn(&Xattrs) -> Result<Vec<Xattr>> + 'a),
    /// Where a chunk of data is.
    pub place: &'a (dyn Fn(&NodeRef) -> Result<Place> + 'a),
    /// The plaintext of a frame, opened. Called from several threads.
    pub frame: &'a (dyn Fn(&Place) -> Result<Arc<Vec<u8>>> + Sync + 'a),
    /// Proves that the chunk stands at its place in the frame's plaintext, by naming it again.
    /// Called from several threads.
    pub prove: &'a Prove<'a>,
    /// True if these bytes are the chunk, by naming them.
    pub is_chunk: &'a (dyn Fn(&NodeRef, &[u8]) -> Result<bool> + Sync + 'a),
    /// The bytes of a chunk from any copy, proven: asked when the frame at its place failed.
    pub chunk: &'a (dyn Fn(&NodeRef) -> Result<Vec<u8>> + Sync + 'a),
    /// What was measured of the database at a path when it was captured.
    pub facts: &'a (dyn Fn(&[u8]) -> Option<Facts> + 'a),
    /// Nobody but their owner may see the files before they are complete.
    pub is_secret: bool,
    /// Plaintext of frames that may be opened at once, bytes.
    pub plain_len: u64,
    /// Bytes of all files as the snapshot tells them, if it does.
    pub bytes_total: Option<u64>,
    /// The same of entries.
    pub entries_total: Option<u64>,
    /// It is restored; of another one only is known that what it has is not extra.
    pub is_chosen: bool,
    /// The paths that were asked for in the backup, as entries have them; none of a stream.
    pub roots: Vec<Vec<u8>>,
    /// Everything below the roots could be read.
    pub is_complete: bool,
}
