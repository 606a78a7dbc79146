//! The beginning of every node: kind, height, references.

use std::collections::HashSet;

use super::super::reader::Reader;
use super::columns::{put_u32, to_u64, to_usize};
use super::{FormatError, Result};
use crate::limits;
use crate::model::{ChunkId, Class, NodeRef};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// Entries; refers to chunks of data (height 0) and to id lists.
    Page,
    /// First paths of pages (height 1) or of tables.
    Table,
    /// Chunks of data (height 1) or id lists, in the order of a content.
    IdList,
}

/// The beginning of a node: all that marking needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHead {
    pub kind: NodeKind,
    /// 0 for a page, at least 1 otherwise.
    pub height: u8,
    /// What the node needs, in the node's order.
    pub references: Vec<NodeRef>,
}

/// Reads the references of a node without decoding the rest.
///
/// # Errors
/// When the node's beginning breaks a rule of the format.
pub fn references(bytes: &[u8]) -> Result<NodeHead> {
    open(bytes).map(|(head, _)| head)
}

/// Reads the beginning of a node of `kind`; the reader stands behind it.
pub(super) fn open_kind(bytes: &[u8], kind: NodeKind) -> Result<(NodeHead, Reader<'_>)> {
    match open(bytes)? {
        (head, rest) if head.kind == kind => Ok((head, rest)),
        _ => Err(FormatError::Bad { field: "node kind" }),
    }
}

fn open(bytes: &[u8]) -> Result<(NodeHead, Reader<'_>)> {
    if bytes.len() > limits::NODE_LEN_MAX {
        return Err(FormatError::Excess { field: "node", count: to_u64(bytes.len()) });
    }
    let mut reader = Reader::new(bytes);
    let kind = match reader.u8("node kind")? {
        1 => NodeKind::Page,
        2 => NodeKind::Table,
        3 => NodeKind::IdList,
        _ => return Err(FormatError::Bad { field: "node kind" }),
    };
    let height = reader.u8("node height")?;
    if height > limits::NODE_HEIGHT_MAX || (height == 0) != (kind == NodeKind::Page) {
        return Err(FormatError::Bad { field: "node height" });
    }
    reader.reserved(2, "node reserved bytes")?;
    let count = to_usize(reader.u32("reference count")?.into(), "reference count")?;
    let references = read_references(&mut reader, count)?;
    check_references(kind, height, &references)?;
    Ok((NodeHead { kind, height, references }, reader))
}

fn read_references(reader: &mut Reader<'_>, count: usize) -> Result<Vec<NodeRef>> {
    let field = "references";
    let classes = reader.bytes(count, field)?;
    let heights = reader.bytes(count, field)?;
    let ids_len = count.checked_mul(ChunkId::LEN).ok_or(FormatError::Overflow { field })?;
    let (ids, _) = reader.bytes(ids_len, field)?.as_chunks();
    let refer = |((class, height), id): ((&u8, &u8), &[u8; 32])| {
        let class = match class {
            0 => Class::Ordinary,
            1 => Class::S,
            _ => return Err(FormatError::Bad { field: "reference class" }),
        };
        Ok(NodeRef { id: ChunkId(*id), class, height: *height })
    };
    classes.iter().zip(heights).zip(ids).map(refer).collect()
}

/// The rules of page 5 for the references of each kind of node.
pub(super) fn check_references(kind: NodeKind, height: u8, references: &[NodeRef]) -> Result<()> {
    let heights_fit = match kind {
        NodeKind::Page => references.iter().all(|one| one.height <= limits::NODE_HEIGHT_MAX),
        NodeKind::Table | NodeKind::IdList => {
            references.iter().all(|one| one.height.checked_add(1) == Some(height))
        }
    };
    if !heights_fit {
        return Err(FormatError::Bad { field: "reference height" });
    }
    let distinct = match kind {
        NodeKind::Page => {
            let mut seen = HashSet::with_capacity(references.len());
            references.iter().all(|one| seen.insert(one))
        }
        NodeKind::Table => true,
        NodeKind::IdList => references.windows(2).all(|pair| pair.first() != pair.last()),
    };
    if !distinct {
        return Err(FormatError::Bad { field: "repeated reference" });
    }
    let (least, most) = match kind {
        NodeKind::Page => (0, usize::MAX),
        NodeKind::Table => (1, usize::MAX),
        NodeKind::IdList => (1, limits::ID_LIST_REFS_MAX),
    };
    if references.len() < least || references.len() > most {
        let count = to_u64(references.len());
        return Err(FormatError::Excess { field: "reference count", count });
    }
    Ok(())
}

/// Writes the beginning of a node.
pub(super) fn put_head<'r>(
    out: &mut Vec<u8>,
    kind: NodeKind,
    height: u8,
    references: impl ExactSizeIterator<Item = &'r NodeRef> + Clone,
) -> Result<()> {
    let code = match kind {
        NodeKind::Page => 1,
        NodeKind::Table => 2,
        NodeKind::IdList => 3,
    };
    out.extend_from_slice(&[code, height, 0, 0]);
    put_u32(out, "reference count", references.len())?;
    out.extend(references.clone().map(|one| match one.class {
        Class::Ordinary => 0,
        Class::S => 1,
    }));
    out.extend(references.clone().map(|one| one.height));
    references.for_each(|one| out.extend_from_slice(one.id.as_bytes()));
    Ok(())
}

/// Gives `node` if it keeps the bound of a node.
pub(super) fn check_len(node: Vec<u8>) -> Result<Vec<u8>> {
    if node.len() > limits::NODE_LEN_MAX {
        return Err(FormatError::Excess { field: "node", count: to_u64(node.len()) });
    }
    Ok(node)
}
