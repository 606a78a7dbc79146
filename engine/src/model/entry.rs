//! One path of a source with its metadata and content.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{ChunkId, Class, EntryPath};

/// A moment: seconds since 1970-01-01T00:00:00 UTC and nanoseconds below 10^9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    pub secs: i64,
    pub nanos: u32,
}

/// Who owns an entry, by number and, if known, by name. Names are raw bytes, empty if unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
    pub user: Vec<u8>,
    pub group: Vec<u8>,
}

/// One extended attribute; POSIX ACLs are the attributes `system.posix_acl_*`, raw.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

/// The extended attributes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Xattrs {
    /// Names ascending; may be empty.
    Inline(Vec<Xattr>),
    /// An encoded attribute list of `len` bytes, stored as chunks of data.
    Stored { len: u64, chunks: Vec<NodeRef> },
}

impl Default for Xattrs {
    fn default() -> Self {
        Self::Inline(Vec::new())
    }
}

/// A reference to stored bytes: a chunk of data (height 0) or a node of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeRef {
    pub id: ChunkId,
    pub class: Class,
    pub height: u8,
}

impl Hash for NodeRef {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.id.hash(hasher);
    }
}

/// Where a file's bytes (without its holes) are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Chunks of data in order, at most [`crate::limits::INLINE_REFS_MAX`].
    Chunks(Vec<NodeRef>),
    /// The root of an id list, height at least 1.
    List(NodeRef),
}

/// A run of zeros in a file that has no stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    pub offset: u64,
    pub len: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// `size` counts holes, `content` does not hold them; holes ascend and do not touch.
    File {
        size: u64,
        content: Content,
        holes: Vec<Hole>,
    },
    Directory,
    Symlink {
        target: Vec<u8>,
    },
    Fifo,
    Socket,
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
}

/// One path with its metadata and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: EntryPath,
    pub kind: EntryKind,
    /// The low 12 bits of `st_mode`: permissions, set-user-id, set-group-id, sticky.
    pub mode: u32,
    pub owner: Arc<Owner>,
    pub mtime: Time,
    pub ctime: Time,
    pub inode: u64,
    /// The file may have changed since it was read: the next backup reads it again.
    pub racy: bool,
    /// The content is what SQLite read of a database; other files of SQLite beside it are none of it.
    pub database: bool,
    /// Entries of one manifest with equal non-zero numbers are names of one file.
    pub link_group: u64,
    pub xattrs: Xattrs,
}

impl Entry {
    /// The length of a file in bytes; 0 for anything else.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size, .. } => size,
            _ => 0,
        }
    }

    /// True for a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, EntryKind::Directory)
    }
}
