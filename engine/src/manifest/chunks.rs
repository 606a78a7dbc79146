//! A content back to its chunks.

use super::{GetNode, load};
use crate::error::{Error, Kind, Result};
use crate::format::node::{IdList, Run, decode_id_list};
use crate::model::{Content, NodeRef};

/// The chunks of a content in order, as (chunk, how often it stands in a row); ends after an error.
pub struct ChunkRuns<'a> {
    get: &'a GetNode<'a>,
    inline: std::vec::IntoIter<NodeRef>,
    /// The id list to begin with.
    root: Option<NodeRef>,
    levels: Vec<Level>,
}

/// An id list being read.
struct Level {
    list: IdList,
    next: usize,
    /// How often to begin again at the end.
    again: u64,
}

/// Reads the chunks of a content in order.
#[must_use]
pub fn chunks_of<'a>(content: &Content, get: &'a GetNode<'a>) -> ChunkRuns<'a> {
    let (inline, root) = match content {
        Content::Chunks(chunks) => (chunks.clone(), None),
        Content::List(root) => (Vec::new(), Some(*root)),
    };
    ChunkRuns { get, inline: inline.into_iter(), root, levels: Vec::new() }
}

impl Iterator for ChunkRuns<'_> {
    type Item = Result<(NodeRef, u64)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(chunk) = self.inline.next() {
            return Some(Ok((chunk, 1)));
        }
        if let Some(root) = self.root.take() {
            match self.open(&root) {
                Ok(list) => self.levels.push(Level { list, next: 0, again: 0 }),
                Err(error) => return Some(Err(error)),
            }
        }
        loop {
            let run = self.next_run()?;
            if run.node.height == 0 {
                return Some(Ok((run.node, run.repeat)));
            }
            match self.open(&run.node) {
                Ok(list) if list.len == run.len => {
                    self.levels.push(Level { list, next: 0, again: run.repeat - 1 });
                }
                Ok(_) => return self.fail(damage(&run.node, "length differs from the list above")),
                Err(error) => return self.fail(error),
            }
        }
    }
}

impl ChunkRuns<'_> {
    /// The next run of the lowest list that has one.
    fn next_run(&mut self) -> Option<Run> {
        loop {
            let level = self.levels.last_mut()?;
            if let Some(run) = level.list.runs.get(level.next) {
                level.next += 1;
                return Some(*run);
            }
            if level.again > 0 {
                level.again -= 1;
                level.next = 0;
            } else {
                self.levels.pop();
            }
        }
    }

    fn open(&self, node: &NodeRef) -> Result<IdList> {
        let list = load(self.get, node, decode_id_list)?;
        if list.height != node.height {
            return Err(damage(node, "height differs from its reference"));
        }
        Ok(list)
    }

    fn fail(&mut self, error: Error) -> Option<Result<(NodeRef, u64)>> {
        self.levels.clear();
        Some(Err(error))
    }
}

pub(super) fn damage(node: &NodeRef, what: &str) -> Error {
    Error::new(Kind::Corrupt, format!("node {}: {what}", node.id))
}
