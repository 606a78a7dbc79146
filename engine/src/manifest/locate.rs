//! Which chunk holds a byte of a content, without reading the chunks before it.

use super::chunks::damage;
use super::{GetNode, load};
use crate::error::{Error, Kind, Result};
use crate::format::node::{IdList, Run, decode_id_list};
use crate::model::{Content, NodeRef};

/// A chunk within a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    pub chunk: NodeRef,
    /// Bytes of content before the chunk.
    pub start: u64,
    /// Bytes of the chunk, at least 1.
    pub len: u64,
}

/// Finds chunks by offset; holds one id list per level, so that neighbours cost nothing.
#[derive(Debug, Default)]
pub struct Locator {
    levels: Vec<Level>,
    /// The chunks of a short content with their lengths, once they are known.
    inline: Option<Vec<Run>>,
}

/// An id list that was read, and where its content begins.
#[derive(Debug)]
struct Level {
    start: u64,
    list: IdList,
}

impl Locator {
    /// The chunk that holds byte `offset` of `content`, always the same one; none behind its end.
    /// `len_of` gives the length of a chunk of data: only short contents need it.
    ///
    /// # Errors
    /// When an id list or a length cannot be had or is damaged.
    pub fn locate(
        &mut self,
        content: &Content,
        offset: u64,
        get: &GetNode<'_>,
        len_of: &dyn Fn(&NodeRef) -> Result<u64>,
    ) -> Result<Option<Located>> {
        match content {
            Content::Chunks(chunks) => {
                let runs = match &mut self.inline {
                    Some(runs) => runs,
                    unknown => unknown.insert(with_lens(chunks, len_of)?),
                };
                Ok(within(runs, 0, offset).map(Located::from))
            }
            Content::List(root) => self.in_lists(root, offset, get),
        }
    }

    fn in_lists(
        &mut self,
        root: &NodeRef,
        offset: u64,
        get: &GetNode<'_>,
    ) -> Result<Option<Located>> {
        let holds = |level: &Level| offset >= level.start && offset - level.start < level.list.len;
        while self.levels.last().is_some_and(|level| !holds(level)) {
            self.levels.pop();
        }
        if self.levels.is_empty() {
            let list = load_list(root, get)?;
            self.levels.push(Level { start: 0, list });
        }
        while let Some(level) = self.levels.last() {
            let Some((run, start)) = within(&level.list.runs, level.start, offset) else {
                return Ok(None);
            };
            if run.node.height == 0 {
                return Ok(Some((run, start).into()));
            }
            let list = load_list(&run.node, get)?;
            if list.len != run.len {
                return Err(damage(&run.node, "length differs from the list above"));
            }
            self.levels.push(Level { start, list });
        }
        Ok(None)
    }
}

impl From<(Run, u64)> for Located {
    fn from((run, start): (Run, u64)) -> Self {
        Self { chunk: run.node, start, len: run.len }
    }
}

/// The run with byte `offset`, and where its occurrence begins; runs begin at `start`.
fn within(runs: &[Run], start: u64, offset: u64) -> Option<(Run, u64)> {
    let mut at = start;
    for run in runs {
        let end = at.checked_add(run.len.checked_mul(run.repeat)?)?;
        if offset < end {
            let passed = offset.checked_sub(at)? / run.len.max(1);
            return Some((*run, at + passed * run.len));
        }
        at = end;
    }
    None
}

fn with_lens(chunks: &[NodeRef], len_of: &dyn Fn(&NodeRef) -> Result<u64>) -> Result<Vec<Run>> {
    let with_len = |chunk: &NodeRef| match len_of(chunk)? {
        0 => Err(Error::new(Kind::Corrupt, format!("chunk {} is empty", chunk.id))),
        len => Ok(Run { node: *chunk, repeat: 1, len }),
    };
    chunks.iter().map(with_len).collect()
}

fn load_list(node: &NodeRef, get: &GetNode<'_>) -> Result<IdList> {
    let list = load(get, node, decode_id_list)?;
    if list.height != node.height {
        return Err(damage(node, "height differs from its reference"));
    }
    Ok(list)
}
