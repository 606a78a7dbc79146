//! Gathers entries into the columns of a page.

use std::collections::HashMap;
use std::sync::Arc;

use super::Result;
use super::columns::{put_column, put_run, put_svarint, put_u32, put_varint, to_u64};
use super::head::{NodeKind, check_len, put_head};
use super::paths::PathWriter;
use super::rules::check_entry;
use super::xattrs::put_xattrs;
use crate::model::{BuildIdHasher, Content, Entry, EntryKind, Hole, NodeRef, Owner, Time, Xattrs};

/// Bits of the flags column.
pub(super) const RACY: u64 = 1;
pub(super) const LINK_GROUP: u64 = 2;
pub(super) const XATTRS_INLINE: u64 = 4;
pub(super) const XATTRS_STORED: u64 = 8;
pub(super) const HOLES: u64 = 16;
pub(super) const ID_LIST: u64 = 32;
pub(super) const DATABASE: u64 = 64;

/// A page being gathered, and after [`PageBuilder::finish`] the next one.
#[derive(Debug, Clone, Default)]
pub struct PageBuilder {
    entry_count: usize,
    counted_len: usize,
    paths: PathWriter,
    columns: Columns,
    references: References,
    owners: Owners,
    previous_secs: i64,
    previous_inode: u64,
    /// The attributes column, encoded last: its references are numbered after all others.
    attributes: Vec<Attributes>,
}

#[derive(Debug, Clone, Default)]
struct Columns {
    kinds: Vec<u8>,
    flags: Vec<u8>,
    modes: Vec<u8>,
    mtimes: Vec<u8>,
    ctimes: Vec<u8>,
    inodes: Vec<u8>,
    sizes: Vec<u8>,
    contents: Vec<u8>,
    targets: Vec<u8>,
    devices: Vec<u8>,
    link_groups: Vec<u8>,
    holes: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Attributes {
    Inline(Vec<u8>),
    Stored { len: u64, chunks: Vec<NodeRef> },
}

impl PageBuilder {
    /// Entries in the page.
    #[must_use]
    pub fn entry_count(&self) -> usize {
        self.entry_count
    }

    /// Length in bytes as counted for cutting: what is encoded is not longer.
    #[must_use]
    pub fn counted_len(&self) -> usize {
        self.counted_len
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// When the entry breaks a rule of the format, or its path is not above the one before it, in
    /// this page or the last. Nothing has changed then.
    pub fn push(&mut self, entry: &Entry) -> Result<()> {
        let len = check_entry(entry)?;
        self.paths.push(&entry.path)?;
        self.counted_len = self.counted_len.saturating_add(len);
        self.entry_count = self.entry_count.saturating_add(1);
        let kind_flags = self.push_kind(&entry.kind);
        let racy = if entry.racy { RACY } else { 0 };
        let database = if entry.database { DATABASE } else { 0 };
        let group = self.push_link_group(entry.link_group);
        let attributes = self.push_attributes(&entry.xattrs);
        put_varint(&mut self.columns.flags, kind_flags | racy | database | group | attributes);
        put_varint(&mut self.columns.modes, entry.mode.into());
        self.owners.push(&entry.owner);
        put_time(&mut self.columns.mtimes, entry.mtime, self.previous_secs);
        put_time(&mut self.columns.ctimes, entry.ctime, entry.mtime.secs);
        self.previous_secs = entry.mtime.secs;
        let inode_delta = entry.inode.wrapping_sub(self.previous_inode).cast_signed();
        put_svarint(&mut self.columns.inodes, inode_delta);
        self.previous_inode = entry.inode;
        Ok(())
    }

    /// Encodes the page and begins the next one.
    ///
    /// # Errors
    /// When the page would be longer than a node may be: more was pushed than the rules of cutting
    /// allow.
    pub fn finish(&mut self) -> Result<Vec<u8>> {
        let attributes = self.encode_attributes();
        let columns = std::mem::take(&mut self.columns);
        let owners = std::mem::take(&mut self.owners);
        let references = std::mem::take(&mut self.references).list;
        let mut node = Vec::with_capacity(self.counted_len.saturating_add(128));
        put_head(&mut node, NodeKind::Page, 0, references.iter())?;
        put_u32(&mut node, "entries", self.entry_count)?;
        put_column(&mut node, "kinds", &columns.kinds)?;
        put_column(&mut node, "flags", &columns.flags)?;
        self.paths.put(&mut node)?;
        put_column(&mut node, "modes", &columns.modes)?;
        put_column(&mut node, "owners", &owners.numbers)?;
        put_column(&mut node, "owner table", &owners.table())?;
        put_column(&mut node, "mtimes", &columns.mtimes)?;
        put_column(&mut node, "ctimes", &columns.ctimes)?;
        put_column(&mut node, "inodes", &columns.inodes)?;
        put_column(&mut node, "sizes", &columns.sizes)?;
        put_column(&mut node, "contents", &columns.contents)?;
        put_column(&mut node, "link targets", &columns.targets)?;
        put_column(&mut node, "devices", &columns.devices)?;
        put_column(&mut node, "link groups", &columns.link_groups)?;
        put_column(&mut node, "attributes", &attributes)?;
        put_column(&mut node, "holes", &columns.holes)?;
        (self.entry_count, self.counted_len) = (0, 0);
        (self.previous_secs, self.previous_inode) = (0, 0);
        check_len(node)
    }

    /// Writes what the kind needs; gives its flags.
    fn push_kind(&mut self, kind: &EntryKind) -> u64 {
        let (code, flags) = match kind {
            EntryKind::File { size, content, holes } => {
                put_varint(&mut self.columns.sizes, *size);
                (1, self.push_content(content) | self.push_holes(holes))
            }
            EntryKind::Directory => (2, 0),
            EntryKind::Symlink { target } => {
                put_run(&mut self.columns.targets, target);
                (3, 0)
            }
            EntryKind::Fifo => (4, 0),
            EntryKind::Socket => (5, 0),
            EntryKind::CharDevice { major, minor } => (6, self.push_device(*major, *minor)),
            EntryKind::BlockDevice { major, minor } => (7, self.push_device(*major, *minor)),
        };
        self.columns.kinds.push(code);
        flags
    }

    fn push_content(&mut self, content: &Content) -> u64 {
        match content {
            Content::Chunks(chunks) => {
                self.references.put_chunks(&mut self.columns.contents, chunks);
                0
            }
            Content::List(list) => {
                self.references.put(&mut self.columns.contents, *list);
                ID_LIST
            }
        }
    }

    fn push_holes(&mut self, holes: &[Hole]) -> u64 {
        if holes.is_empty() {
            return 0;
        }
        let out = &mut self.columns.holes;
        put_varint(out, to_u64(holes.len()));
        let mut end = 0_u64;
        for hole in holes {
            put_varint(out, hole.offset.saturating_sub(end));
            put_varint(out, hole.len);
            end = hole.offset.saturating_add(hole.len);
        }
        HOLES
    }

    fn push_device(&mut self, major: u32, minor: u32) -> u64 {
        put_varint(&mut self.columns.devices, major.into());
        put_varint(&mut self.columns.devices, minor.into());
        0
    }

    fn push_link_group(&mut self, link_group: u64) -> u64 {
        if link_group == 0 {
            return 0;
        }
        self.columns.link_groups.extend_from_slice(&link_group.to_le_bytes());
        LINK_GROUP
    }

    fn push_attributes(&mut self, xattrs: &Xattrs) -> u64 {
        match xattrs {
            Xattrs::Inline(list) if list.is_empty() => 0,
            Xattrs::Inline(list) => {
                let mut bytes = Vec::new();
                put_xattrs(&mut bytes, list);
                self.attributes.push(Attributes::Inline(bytes));
                XATTRS_INLINE
            }
            Xattrs::Stored { len, chunks } => {
                let chunks = chunks.clone();
                self.attributes.push(Attributes::Stored { len: *len, chunks });
                XATTRS_STORED
            }
        }
    }

    fn encode_attributes(&mut self) -> Vec<u8> {
        let mut column = Vec::new();
        for attributes in self.attributes.drain(..) {
            match attributes {
                Attributes::Inline(list) => put_run(&mut column, &list),
                Attributes::Stored { len, chunks } => {
                    put_varint(&mut column, len);
                    self.references.put_chunks(&mut column, &chunks);
                }
            }
        }
        column
    }
}

fn put_time(out: &mut Vec<u8>, time: Time, base_secs: i64) {
    put_svarint(out, time.secs.wrapping_sub(base_secs));
    put_varint(out, time.nanos.into());
}

/// The references of a page, numbered in the order of first use.
#[derive(Debug, Clone, Default)]
struct References {
    list: Vec<NodeRef>,
    numbers: HashMap<NodeRef, u64, BuildIdHasher>,
    /// One more than the number used last.
    expected: u64,
}

impl References {
    fn put(&mut self, out: &mut Vec<u8>, reference: NodeRef) {
        let next = to_u64(self.list.len());
        let number = *self.numbers.entry(reference).or_insert(next);
        if number == next {
            self.list.push(reference);
        }
        put_svarint(out, number.wrapping_sub(self.expected).cast_signed());
        self.expected = number.saturating_add(1);
    }

    fn put_chunks(&mut self, out: &mut Vec<u8>, chunks: &[NodeRef]) {
        put_varint(out, to_u64(chunks.len()));
        chunks.iter().for_each(|chunk| self.put(out, *chunk));
    }
}

/// The owners of a page, numbered in the order of first use.
#[derive(Debug, Clone, Default)]
struct Owners {
    list: Vec<Arc<Owner>>,
    by_owner: HashMap<Arc<Owner>, u64>,
    last: Option<(Arc<Owner>, u64)>,
    numbers: Vec<u8>,
}

impl Owners {
    fn push(&mut self, owner: &Arc<Owner>) {
        let number = match &self.last {
            Some((last, number)) if last == owner => *number,
            _ => self.number(owner),
        };
        put_varint(&mut self.numbers, number);
    }

    fn number(&mut self, owner: &Arc<Owner>) -> u64 {
        let next = to_u64(self.list.len());
        let number = *self.by_owner.entry(Arc::clone(owner)).or_insert(next);
        if number == next {
            self.list.push(Arc::clone(owner));
        }
        self.last = Some((Arc::clone(owner), number));
        number
    }

    fn table(&self) -> Vec<u8> {
        let mut table = Vec::new();
        put_varint(&mut table, to_u64(self.list.len()));
        for owner in &self.list {
            put_varint(&mut table, owner.uid.into());
            put_varint(&mut table, owner.gid.into());
            put_run(&mut table, &owner.user);
            put_run(&mut table, &owner.group);
        }
        table
    }
}
