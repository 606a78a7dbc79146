//! Entries in order to pages, and pages to tables, up to one root.

use super::{PutNode, Root};
use crate::error::{Error, Kind, Result};
use crate::format::node::{Child, PageBuilder, child_len, encode_table};
use crate::model::{Class, Entry, EntryPath, NodeRef};

/// Bytes as counted for cutting: no page is cut below, and every page and table at the maximum.
const PAGE_LEN_MIN: usize = 16 << 10;
const NODE_LEN_FULL: usize = 128 << 10;
const TABLE_CHILDREN_MIN: usize = 64;
/// Bits of the keyed hash of a path that are zero where a node is cut.
const PAGE_CUT_BITS: u64 = 0xff;
const TABLE_CUT_BITS: u64 = 0x7f;

/// Writes a manifest; holds one page and one open table per level.
#[derive(Debug, Clone)]
pub struct ManifestWriter {
    class: Class,
    cut_key: [u8; 32],
    entries: u64,
    page: PageBuilder,
    page_first: Option<EntryPath>,
    /// Open tables, of height 1 first.
    tables: Vec<OpenTable>,
}

#[derive(Debug, Clone, Default)]
struct OpenTable {
    children: Vec<Child>,
    counted_len: usize,
}

impl ManifestWriter {
    /// Begins a manifest whose nodes are of `class`, cut with the repository's page cut key.
    #[must_use]
    pub fn new(class: Class, cut_key: [u8; 32]) -> Self {
        let (page, tables) = (PageBuilder::default(), Vec::new());
        Self { class, cut_key, entries: 0, page, page_first: None, tables }
    }

    /// Adds an entry; its path must be above all paths before.
    ///
    /// # Errors
    /// `Input` when the entry cannot be stored as it is or is out of order: the writer is unchanged
    /// and may go on. Errors of `put` end the writing.
    pub fn push(&mut self, entry: &Entry, put: &mut PutNode<'_>) -> Result<()> {
        self.page
            .push(entry)
            .map_err(|error| Error::new(Kind::Input, format!("entry {:?}: {error}", entry.path)))?;
        self.entries += 1;
        if self.page_first.is_none() {
            self.page_first = Some(entry.path.clone());
        }
        let len = self.page.counted_len();
        let full = len >= NODE_LEN_FULL
            || len >= PAGE_LEN_MIN && is_cut(&self.cut_key, &entry.path, PAGE_CUT_BITS);
        if full { self.close_page(put) } else { Ok(()) }
    }

    /// Writes what is open; gives the root.
    ///
    /// # Errors
    /// Those of `put`.
    pub fn finish(mut self, put: &mut PutNode<'_>) -> Result<Root> {
        if self.entries == 0 {
            let node = put_node(self.class, 0, self.page.finish()?, put)?;
            return Ok(Root { node, entries: 0 });
        }
        self.close_page(put)?;
        let mut level = 0;
        while let Some(table) = self.tables.get_mut(level) {
            let open = std::mem::take(&mut table.children);
            let is_top = level + 1 == self.tables.len();
            match open.as_slice() {
                [root] if is_top => return Ok(Root { node: root.node, entries: self.entries }),
                [] => {}
                _ => {
                    let child = close_table(self.class, level, &open, put)?;
                    self.add_child(level + 1, child, put)?;
                }
            }
            level += 1;
        }
        unreachable!("the top table is never empty")
    }

    fn close_page(&mut self, put: &mut PutNode<'_>) -> Result<()> {
        let Some(first) = self.page_first.take() else { return Ok(()) };
        let entries = self.page.entry_count() as u64;
        let node = put_node(self.class, 0, self.page.finish()?, put)?;
        self.add_child(0, Child { node, first, entries }, put)
    }

    /// Adds a child to the open table of height `level + 1`, which may close it, and so on upwards.
    fn add_child(&mut self, level: usize, child: Child, put: &mut PutNode<'_>) -> Result<()> {
        let (mut level, mut child) = (level, child);
        loop {
            if level == self.tables.len() {
                self.tables.push(OpenTable::default());
            }
            let table = &mut self.tables[level];
            table.counted_len += child_len(&child.first);
            let full = table.counted_len >= NODE_LEN_FULL
                || table.children.len() + 1 >= TABLE_CHILDREN_MIN
                    && is_cut(&self.cut_key, &child.first, TABLE_CUT_BITS);
            table.children.push(child);
            if !full {
                return Ok(());
            }
            let OpenTable { children, .. } = std::mem::take(table);
            child = close_table(self.class, level, &children, put)?;
            level += 1;
        }
    }
}

fn close_table(
    class: Class,
    level: usize,
    children: &[Child],
    put: &mut PutNode<'_>,
) -> Result<Child> {
    let height = u8::try_from(level + 1).unwrap_or(u8::MAX);
    let node = put_node(class, height, encode_table(height, children)?, put)?;
    let entries = children.iter().map(|child| child.entries).sum();
    Ok(Child { node, first: children[0].first.clone(), entries })
}

/// Puts a node; gives the reference to it.
pub(super) fn put_node(
    class: Class,
    height: u8,
    bytes: Vec<u8>,
    put: &mut PutNode<'_>,
) -> Result<NodeRef> {
    Ok(NodeRef { id: put(class, bytes)?, class, height })
}

fn is_cut(cut_key: &[u8; 32], path: &EntryPath, bits: u64) -> bool {
    let hash = blake3::keyed_hash(cut_key, path.as_bytes());
    let [first, ..] = hash.as_bytes().as_chunks().0 else { return false };
    u64::from_le_bytes(*first) & bits == 0
}
