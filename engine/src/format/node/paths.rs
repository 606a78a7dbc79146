//! The three columns of paths: bytes shared with the path before, suffix lengths, suffixes.

use super::super::reader::Reader;
use super::columns::{Column, put_column, put_varint, to_u64, to_usize};
use super::{FormatError, Result};
use crate::limits;
use crate::model::EntryPath;

/// Writes ascending paths.
#[derive(Debug, Clone, Default)]
pub(super) struct PathWriter {
    /// The path before; it outlives a node so that order is checked across nodes.
    previous: Vec<u8>,
    shared: Vec<u8>,
    suffix_lens: Vec<u8>,
    suffixes: Vec<u8>,
}

impl PathWriter {
    /// Adds a path; without effect if it is not above the one before.
    pub fn push(&mut self, path: &EntryPath) -> Result<()> {
        let path = path.as_bytes();
        let common = common_len(&self.previous, path);
        if !ascends(self.previous.get(common), path.get(common)) {
            return Err(FormatError::Bad { field: "order of paths" });
        }
        let shared = if self.shared.is_empty() { 0 } else { common };
        let suffix = path.get(shared..).unwrap_or_default();
        put_varint(&mut self.shared, to_u64(shared));
        put_varint(&mut self.suffix_lens, to_u64(suffix.len()));
        self.suffixes.extend_from_slice(suffix);
        self.previous.truncate(common);
        self.previous.extend_from_slice(path.get(common..).unwrap_or_default());
        Ok(())
    }

    /// Writes the columns and begins anew.
    pub fn put(&mut self, out: &mut Vec<u8>) -> Result<()> {
        put_column(out, "shared", &self.shared)?;
        put_column(out, "suffix lengths", &self.suffix_lens)?;
        put_column(out, "suffixes", &self.suffixes)?;
        self.shared.clear();
        self.suffix_lens.clear();
        self.suffixes.clear();
        Ok(())
    }
}

/// Reads ascending paths.
#[derive(Debug)]
pub(super) struct PathReader<'a> {
    previous: Vec<u8>,
    shared: Column<'a>,
    suffix_lens: Column<'a>,
    suffixes: Column<'a>,
}

impl<'a> PathReader<'a> {
    pub fn open(node: &mut Reader<'a>) -> Result<Self> {
        Ok(Self {
            previous: Vec::new(),
            shared: Column::open(node, "shared")?,
            suffix_lens: Column::open(node, "suffix lengths")?,
            suffixes: Column::open(node, "suffixes")?,
        })
    }

    pub fn next(&mut self) -> Result<EntryPath> {
        let shared = to_usize(self.shared.varint()?, "shared")?;
        let suffix_len = to_usize(self.suffix_lens.varint()?, "suffix lengths")?;
        let suffix = self.suffixes.bytes(suffix_len)?;
        if shared > self.previous.len() {
            return self.shared.bad();
        }
        let (old, new) = (self.previous.get(shared), suffix.first());
        if old.is_some() && old == new {
            return self.shared.bad();
        }
        if !ascends(old, new) {
            return Err(FormatError::Bad { field: "order of paths" });
        }
        let len = shared.saturating_add(suffix_len);
        if len > limits::PATH_LEN_MAX {
            return Err(FormatError::Excess { field: "path", count: to_u64(len) });
        }
        self.previous.truncate(shared);
        self.previous.extend_from_slice(suffix);
        EntryPath::new(self.previous.as_slice()).map_err(|_| FormatError::Bad { field: "path" })
    }

    pub fn finish(self) -> Result<()> {
        self.shared.finish()?;
        self.suffix_lens.finish()?;
        self.suffixes.finish()
    }
}

fn common_len(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(a, b)| a == b).count()
}

/// True if a path goes up where its first byte that differs, or its end, changes so.
fn ascends(old: Option<&u8>, new: Option<&u8>) -> bool {
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { u16::from(*byte).saturating_add(1) };
    old.map(rank) < new.map(rank)
}
