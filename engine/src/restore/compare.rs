//! An existing file held against the content it should have: what is equal is neither fetched nor, if
//! everything is, written.

use std::os::fd::OwnedFd;

use super::content::Run;
use super::origin::Origin;
use crate::error::Result;
use crate::model::{Hole, NodeRef};
use crate::target::{FileFacts, is_zero_at, read_exactly};

/// The comparison of one file, chunk by chunk.
pub(super) struct Comparison {
    pub(super) handle: OwnedFd,
    pub(super) facts: FileFacts,
    /// Equal runs before the first difference: copied only if there is one.
    equal: Vec<(u64, u64)>,
    differs: bool,
    buffer: Vec<u8>,
}

impl Comparison {
    pub(super) fn new(handle: OwnedFd, facts: FileFacts) -> Self {
        Self { handle, facts, equal: Vec::new(), differs: false, buffer: Vec::new() }
    }

    /// True if the file has the bytes of `chunk` where `runs` say.
    ///
    /// # Errors
    /// When the chunk cannot be named.
    pub(super) fn has(
        &mut self,
        origin: &Origin<'_>,
        chunk: &NodeRef,
        runs: &[Run],
    ) -> Result<bool> {
        self.buffer.clear();
        for run in runs {
            let start = self.buffer.len();
            if run.at + u64::from(run.len) > self.facts.size {
                return Ok(false);
            }
            self.buffer.resize(start + run.len as usize, 0);
            if !read_exactly(&self.handle, run.at, &mut self.buffer[start..]) {
                return Ok(false);
            }
        }
        (origin.is_chunk)(chunk, &self.buffer)
    }

    /// Notes an equal run; what must be copied now, as the file differs somewhere.
    pub(super) fn keep(&mut self, run: Run) -> Option<(u64, u64)> {
        let (at, len) = (run.at, u64::from(run.len));
        if self.differs {
            return Some((at, len));
        }
        match self.equal.last_mut() {
            Some((start, known)) if *start + *known == at => *known += len,
            _ => self.equal.push((at, len)),
        }
        None
    }

    /// The file differs: the runs that were equal until now, to be copied.
    pub(super) fn differ(&mut self) -> Vec<(u64, u64)> {
        self.differs = true;
        std::mem::take(&mut self.equal)
    }

    /// True if the file reads as zeros where `holes` are.
    pub(super) fn has_holes(&self, holes: &[Hole]) -> bool {
        holes.iter().all(|hole| is_zero_at(&self.handle, hole.offset, hole.len))
    }

    /// True if the file as it stands is what is wanted: it can be kept.
    pub(super) fn is_equal(&self, size: u64, holes: &[Hole]) -> bool {
        !self.differs
            && self.facts.size == size
            && self.facts.is_alone
            && self.has_holes(holes)
            && self.facts.check(&self.handle).is_ok()
    }
}
