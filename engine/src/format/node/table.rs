//! Tables: the first path of each page or table below.

use super::columns::{Column, put_column, put_u32, put_varint, to_u64, to_usize};
use super::head::{NodeKind, check_len, check_references, open_kind, put_head};
use super::paths::{PathReader, PathWriter};
use super::{FormatError, Result};
use crate::limits;
use crate::model::{EntryPath, NodeRef};

/// What a child costs in a table besides its path: bytes, an upper bound.
const FIXED_LEN: usize = 64;

/// One page or table below a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    pub node: NodeRef,
    /// The path of the first entry below.
    pub first: EntryPath,
    /// Entries below, at least 1.
    pub entries: u64,
}

/// A table; its children ascend and are at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// At least 1; children have one less.
    pub height: u8,
    pub children: Vec<Child>,
}

/// The length of a child with this first path in bytes as counted for cutting.
#[must_use]
pub fn child_len(first: &EntryPath) -> usize {
    FIXED_LEN.saturating_add(first.as_bytes().len())
}

/// Encodes a table of `height`.
///
/// # Errors
/// When the children break a rule of the format.
pub fn encode_table(height: u8, children: &[Child]) -> Result<Vec<u8>> {
    if height == 0 || height > limits::NODE_HEIGHT_MAX {
        return Err(FormatError::Bad { field: "node height" });
    }
    let references: Vec<_> = children.iter().map(|child| child.node).collect();
    check_references(NodeKind::Table, height, &references)?;
    let mut sums = Sums::default();
    let mut paths = PathWriter::default();
    let mut counts = Vec::new();
    for child in children {
        sums.add(&child.first, child.entries)?;
        paths.push(&child.first)?;
        put_varint(&mut counts, child.entries);
    }
    let mut node = Vec::new();
    put_head(&mut node, NodeKind::Table, height, references.iter())?;
    put_u32(&mut node, "children", children.len())?;
    paths.put(&mut node)?;
    put_column(&mut node, "entry counts", &counts)?;
    check_len(node)
}

/// Decodes a table.
///
/// # Errors
/// When the bytes break a rule of the format.
pub fn decode_table(bytes: &[u8]) -> Result<Table> {
    let (head, mut reader) = open_kind(bytes, NodeKind::Table)?;
    let count = to_usize(reader.u32("children")?.into(), "children")?;
    if count != head.references.len() {
        return Err(FormatError::Bad { field: "children" });
    }
    let mut paths = PathReader::open(&mut reader)?;
    let mut counts = Column::open(&mut reader, "entry counts")?;
    reader.finish("table")?;
    let mut sums = Sums::default();
    let mut children = Vec::with_capacity(count);
    for node in head.references {
        let (first, entries) = (paths.next()?, counts.varint()?);
        sums.add(&first, entries)?;
        children.push(Child { node, first, entries });
    }
    paths.finish()?;
    counts.finish()?;
    Ok(Table { height: head.height, children })
}

/// What adds up over the children.
#[derive(Debug, Default)]
struct Sums {
    len: usize,
    entries: u64,
}

impl Sums {
    fn add(&mut self, first: &EntryPath, entries: u64) -> Result<()> {
        let field = "entry counts";
        if entries == 0 {
            return Err(FormatError::Bad { field });
        }
        self.entries = self.entries.checked_add(entries).ok_or(FormatError::Overflow { field })?;
        self.len = self.len.saturating_add(child_len(first));
        if self.len > limits::NODE_LEN_MAX {
            return Err(FormatError::Excess { field: "table as counted", count: to_u64(self.len) });
        }
        Ok(())
    }
}
