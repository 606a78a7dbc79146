//! The chunks of a file to a content: in the entry when few, otherwise a tree of id lists.

use super::PutNode;
use super::writer::put_node;
use crate::error::{Error, Kind, Result};
use crate::format::node::{Run, encode_id_list};
use crate::limits;
use crate::model::{Class, Content, NodeRef};

const LIST_RUNS_MIN: usize = 64;
/// Bits of the id of a run's chunk that are zero where a list is cut.
const LIST_CUT_BITS: u16 = 0x3ff;

/// Writes a content; holds one open id list per level.
#[derive(Debug, Clone)]
pub struct ContentWriter {
    class: Class,
    /// All chunks, as long as they are few.
    inline: Vec<Run>,
    inline_count: u64,
    /// Open id lists, of height 1 first.
    lists: Vec<OpenList>,
}

#[derive(Debug, Clone, Default)]
struct OpenList {
    runs: Vec<Run>,
    /// The run that may still grow.
    last: Option<Run>,
}

impl ContentWriter {
    /// Begins a content whose id lists, if it needs any, are of `class`.
    #[must_use]
    pub fn new(class: Class) -> Self {
        Self { class, inline: Vec::new(), inline_count: 0, lists: Vec::new() }
    }

    /// Adds a chunk of `len` bytes.
    ///
    /// # Errors
    /// Those of `put`; `Input` when `len` is 0 or above [`limits::CHUNK_LEN_MAX`].
    pub fn push(&mut self, chunk: NodeRef, len: u64, put: &mut PutNode<'_>) -> Result<()> {
        self.push_run(chunk, len, 1, put)
    }

    /// Adds a chunk of `len` bytes `repeat` times, at a cost that does not depend on `repeat`.
    ///
    /// # Errors
    /// As [`Self::push`]; also when the content would have 2^64 bytes or more.
    pub fn push_run(
        &mut self,
        chunk: NodeRef,
        len: u64,
        repeat: u64,
        put: &mut PutNode<'_>,
    ) -> Result<()> {
        if repeat == 0 {
            return Ok(());
        }
        if chunk.height != 0 || len == 0 || len > limits::CHUNK_LEN_MAX.into() {
            return Err(unsound());
        }
        let run = Run { node: chunk, repeat, len };
        let count = self.inline_count.checked_add(repeat).ok_or_else(unsound)?;
        if !self.lists.is_empty() {
            return self.add_run(0, run, put);
        }
        if count <= limits::INLINE_REFS_MAX as u64 {
            self.inline.push(run);
            self.inline_count = count;
            return Ok(());
        }
        for run in std::mem::take(&mut self.inline) {
            self.add_run(0, run, put)?;
        }
        self.add_run(0, run, put)
    }

    /// Writes what is open; gives the content.
    ///
    /// # Errors
    /// Those of `put`.
    pub fn finish(mut self, put: &mut PutNode<'_>) -> Result<Content> {
        if self.lists.is_empty() {
            let repeated = |run: &Run| (0..run.repeat).map(|_| run.node).collect::<Vec<_>>();
            return Ok(Content::Chunks(self.inline.iter().flat_map(repeated).collect()));
        }
        let mut level = 0;
        while let Some(list) = self.lists.get_mut(level) {
            let mut runs = std::mem::take(&mut list.runs);
            runs.extend(list.last.take());
            let is_top = level + 1 == self.lists.len();
            match runs.as_slice() {
                [Run { node, repeat: 1, .. }] if is_top && node.height > 0 => {
                    return Ok(Content::List(*node));
                }
                runs => {
                    let run = close_list(self.class, level, runs, put)?;
                    self.add_run(level + 1, run, put)?;
                }
            }
            level += 1;
        }
        unreachable!("the top list is never empty")
    }

    /// Writes what is open as an id list, however few the chunks; none without any.
    ///
    /// # Errors
    /// Those of `put`.
    pub fn finish_list(mut self, put: &mut PutNode<'_>) -> Result<Option<NodeRef>> {
        for run in std::mem::take(&mut self.inline) {
            self.add_run(0, run, put)?;
        }
        match self.finish(put)? {
            Content::List(root) => Ok(Some(root)),
            Content::Chunks(_) => Ok(None),
        }
    }

    /// Adds to the open list of height `level + 1`, which may close it, and so on upwards.
    fn add_run(&mut self, level: usize, run: Run, put: &mut PutNode<'_>) -> Result<()> {
        let (mut level, mut run) = (level, run);
        loop {
            if level == self.lists.len() {
                self.lists.push(OpenList::default());
            }
            let list = &mut self.lists[level];
            if let Some(last) = list.last.as_mut().filter(|last| last.node == run.node) {
                if last.len != run.len {
                    return Err(unsound());
                }
                last.repeat = last.repeat.checked_add(run.repeat).ok_or_else(unsound)?;
                return Ok(());
            }
            let Some(ended) = list.last.replace(run) else { return Ok(()) };
            list.runs.push(ended);
            if !is_cut(&list.runs, &ended) {
                return Ok(());
            }
            let runs = std::mem::take(&mut list.runs);
            run = close_list(self.class, level, &runs, put)?;
            level += 1;
        }
    }
}

fn is_cut(runs: &[Run], last: &Run) -> bool {
    let [low, high, ..] = *last.node.id.as_bytes();
    runs.len() >= limits::ID_LIST_REFS_MAX
        || runs.len() >= LIST_RUNS_MIN && u16::from_le_bytes([low, high]) & LIST_CUT_BITS == 0
}

fn close_list(class: Class, level: usize, runs: &[Run], put: &mut PutNode<'_>) -> Result<Run> {
    let height = u8::try_from(level + 1).unwrap_or(u8::MAX);
    let bytes = encode_id_list(height, runs).map_err(|_| unsound())?;
    let len = runs.iter().map(|run| run.repeat * run.len).sum();
    Ok(Run { node: put_node(class, height, bytes, put)?, repeat: 1, len })
}

fn unsound() -> Error {
    Error::new(Kind::Input, "a content's chunks do not fit: lengths or their sum are out of bounds")
}
