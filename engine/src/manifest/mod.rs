//! A source's sorted table of entries, as a tree of nodes: writing, reading, merging, walking.
//!
//! Nothing here reads or writes by itself: nodes go out through [`PutNode`] and come in through
//! [`GetNode`]. Writers hold one open node per level, readers one decoded node per level.

mod chunks;
mod content;
mod cursor;
mod entries;
mod locate;
mod merge;
mod union;
mod walk;
mod writer;

#[cfg(test)]
mod content_tests;
#[cfg(test)]
mod cursor_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use chunks::{ChunkRuns, chunks_of};
pub use content::ContentWriter;
pub use cursor::{Ahead, Cursor};
pub use entries::{Entries, find};
pub use locate::{Located, Locator};
pub use merge::{Follower, Merge, Merged};
pub use union::Union;
pub use walk::{Names, Start, walk_references};
pub use writer::ManifestWriter;

pub use crate::format::node::{check_entry, decode_xattrs, encode_xattrs, stored_len};

use crate::error::{Error, Result};
use crate::format::FormatError;
use crate::model::{ChunkId, Class, NodeRef};

/// Takes a node's bytes into storage; gives its name.
pub type PutNode<'a> = dyn FnMut(Class, Vec<u8>) -> Result<ChunkId> + 'a;

/// Gives a stored node's bytes, proven to have the name asked for.
pub type GetNode<'a> = dyn Fn(&NodeRef) -> Result<Arc<Vec<u8>>> + Send + Sync + 'a;

/// The top of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    pub node: NodeRef,
    /// Entries of the manifest.
    pub entries: u64,
}

/// Loads a node and decodes it; errors name the node.
fn load<T>(
    get: &GetNode<'_>,
    node: &NodeRef,
    decode: impl Fn(&[u8]) -> std::result::Result<T, FormatError>,
) -> Result<T> {
    let bytes = get(node)?;
    decode(&bytes).map_err(|error| Error::from(error).context(format_args!("node {}", node.id)))
}
