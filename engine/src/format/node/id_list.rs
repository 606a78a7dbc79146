//! Id lists: the chunks of a long content, equal neighbours counted.

use super::columns::{Column, put_column, put_varint};
use super::head::{NodeKind, check_len, check_references, open_kind, put_head};
use super::{FormatError, Result};
use crate::limits;
use crate::model::NodeRef;

/// A reference that stands in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub node: NodeRef,
    /// How often it stands in a row, at least 1.
    pub repeat: u64,
    /// Bytes of content of one occurrence, at least 1.
    pub len: u64,
}

/// An id list; its runs are 1 to [`limits::ID_LIST_REFS_MAX`], and neighbours differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdList {
    /// At least 1; references have one less.
    pub height: u8,
    pub runs: Vec<Run>,
    /// Bytes of content.
    pub len: u64,
}

/// Encodes an id list of `height`.
///
/// # Errors
/// When the runs break a rule of the format.
pub fn encode_id_list(height: u8, runs: &[Run]) -> Result<Vec<u8>> {
    if height == 0 || height > limits::NODE_HEIGHT_MAX {
        return Err(FormatError::Bad { field: "node height" });
    }
    let references: Vec<_> = runs.iter().map(|run| run.node).collect();
    check_references(NodeKind::IdList, height, &references)?;
    content_len(height, runs)?;
    let (mut repeats, mut lens) = (Vec::new(), Vec::new());
    for run in runs {
        put_varint(&mut repeats, run.repeat);
        put_varint(&mut lens, run.len);
    }
    let mut node = Vec::new();
    put_head(&mut node, NodeKind::IdList, height, references.iter())?;
    put_column(&mut node, "repeats", &repeats)?;
    put_column(&mut node, "lengths", &lens)?;
    check_len(node)
}

/// Decodes an id list.
///
/// # Errors
/// When the bytes break a rule of the format.
pub fn decode_id_list(bytes: &[u8]) -> Result<IdList> {
    let (head, mut reader) = open_kind(bytes, NodeKind::IdList)?;
    let mut repeats = Column::open(&mut reader, "repeats")?;
    let mut lens = Column::open(&mut reader, "lengths")?;
    reader.finish("id list")?;
    let run = |node| Ok(Run { node, repeat: repeats.varint()?, len: lens.varint()? });
    let runs: Vec<_> = head.references.into_iter().map(run).collect::<Result<_>>()?;
    repeats.finish()?;
    lens.finish()?;
    let len = content_len(head.height, &runs)?;
    Ok(IdList { height: head.height, runs, len })
}

/// Checks the numbers of the runs; gives the bytes of content.
fn content_len(height: u8, runs: &[Run]) -> Result<u64> {
    let mut sum = 0_u64;
    for run in runs {
        if run.repeat == 0 {
            return Err(FormatError::Bad { field: "repeats" });
        }
        if run.len == 0 || (height == 1 && run.len > limits::CHUNK_LEN_MAX.into()) {
            return Err(FormatError::Bad { field: "lengths" });
        }
        sum = (run.repeat.checked_mul(run.len))
            .and_then(|len| sum.checked_add(len))
            .ok_or(FormatError::Overflow { field: "lengths" })?;
    }
    Ok(sum)
}
