//! Old bytes for new chunks: what stood at their place in an older content, as ranges of full chunks,
//! against which they are stored as differences.

mod align;
mod cached;
mod kept;
mod load;
mod ranges;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::Range;

use align::{Align, OldChunk};
pub(super) use cached::CachedBases;
pub use cached::{OldBytes, OldBytesFrom};
pub(super) use load::BaseLoader;

use super::Known;
use crate::manifest::{ChunkRuns, GetNode, chunks_of};
use crate::model::{Base, ChunkId, Content, FrameKind, NodeRef, Place};

/// Older chunks behind and before the position of the next one in which it is searched for: at 64 KiB a chunk,
/// it is found again after 32 MiB were added or 128 MiB removed.
const BEHIND_COUNT: usize = 512;
const AHEAD_COUNT: usize = 2048;
/// Ranges of bases for one chunk: with more, so little is in one piece that it is stored anew.
const RANGE_COUNT_MAX: usize = 16;

/// What a chunk may be stored as the difference from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Older {
    /// Ranges of chunks, of which a full copy may be stored; none if nothing is known.
    pub bases: Vec<Base>,
    /// Sealed bytes that the older chunk took as a difference itself, about; 0 if it was full.
    pub delta_len: u32,
}

impl Older {
    /// Bytes of the bases together.
    #[must_use]
    pub fn prefix_len(&self) -> u64 {
        self.bases.iter().map(|base| u64::from(base.len)).sum()
    }

    /// Adds what chunk `number` of a frame came from.
    pub(super) fn add(&mut self, older: &Self, number: u32) {
        self.bases.extend(older.bases.iter().map(|base| Base { chunk: number, ..*base }));
        self.delta_len = self.delta_len.saturating_add(older.delta_len);
    }
}

/// Follows a newer content through an older one.
pub struct OlderContent<'r> {
    known: Known<'r>,
    /// None once the content has ended, or a part of it cannot be had: what follows is stored anew.
    runs: Option<ChunkRuns<'r>>,
    repeat: Option<(OldChunk<Place>, u64)>,
    window: VecDeque<OldChunk<Place>>,
    align: Align,
}

impl<'r> OlderContent<'r> {
    /// Begins at the start of `content`.
    #[must_use]
    pub fn new(known: Known<'r>, content: &Content, get: &'r GetNode<'r>) -> Self {
        let runs = Some(chunks_of(content, get));
        Self { known, runs, repeat: None, window: VecDeque::new(), align: Align::default() }
    }

    /// What the next chunk of the newer content, which has this id and length, came from.
    pub fn next(&mut self, id: &ChunkId, len: u32) -> Older {
        self.fill(u64::from(len));
        let range = self.align.next(&self.window, id, len);
        let first = self.window.partition_point(|old| old.end() <= range.start);
        let mut older = Older::default();
        for old in self.window.range(first..).take_while(|old| old.start < range.end) {
            if old.id == *id {
                return Older::default();
            }
            self.add(old, &range, &mut older);
            if older.bases.len() > RANGE_COUNT_MAX {
                return Older::default();
            }
        }
        older
    }

    /// Adds what is known of the part of `old` that `range` covers.
    fn add(&self, old: &OldChunk<Place>, range: &Range<u64>, older: &mut Older) {
        let within = |at: u64| {
            let at = at.clamp(old.start, old.end()) - old.start;
            u32::try_from(at).unwrap_or(u32::MAX)
        };
        let part = within(range.start)..within(range.end);
        let Place { frame, offset, len, .. } = old.known;
        match frame.kind {
            FrameKind::Full => {
                let (offset, len) = (part.start, part.end - part.start);
                older.bases.push(Base { id: old.id, chunk: 0, offset, len });
            }
            FrameKind::Delta => {
                let share = u64::from(frame.sealed_len) * u64::from(part.end - part.start)
                    / u64::from(frame.plain_len.max(1));
                let share = u32::try_from(share).unwrap_or(u32::MAX);
                older.delta_len = older.delta_len.saturating_add(share);
                let bases = self.known.index.bases(&old.known);
                let of_part = ranges::of_part(&bases, frame.plain_len, (offset, len), part);
                older.bases.extend(of_part);
            }
        }
    }

    /// Reads on so far that the next chunk, of `len` bytes, finds what it needs, and drops what is far
    /// behind.
    fn fill(&mut self, len: u64) {
        let place = self.window.partition_point(|old| old.end() <= self.align.at());
        self.window.drain(..place.saturating_sub(BEHIND_COUNT));
        let wanted = self.align.at() + 2 * len;
        loop {
            let is_near = self.window.back().is_none_or(|last| last.start <= wanted);
            let ahead = self.window.len().saturating_sub(BEHIND_COUNT);
            if ahead >= AHEAD_COUNT || !is_near && !self.align.is_lost() {
                return;
            }
            let Some(old) = self.read() else { return };
            self.window.push_back(old);
        }
    }

    /// The next chunk of the older content.
    fn read(&mut self) -> Option<OldChunk<Place>> {
        let start = self.window.back().map_or(0, OldChunk::end);
        if let Some((old, left)) = &mut self.repeat
            && *left > 0
        {
            *left -= 1;
            return Some(OldChunk { start, ..*old });
        }
        let next = self.runs.as_mut()?.next();
        let found = match next {
            Some(Ok((NodeRef { id, .. }, count))) => self
                .known
                .place(&id)
                .map(|place| (OldChunk { start, len: place.len, id, known: place }, count)),
            _ => None,
        };
        let Some((old, count)) = found else {
            self.runs = None;
            return None;
        };
        self.repeat = Some((old, count.saturating_sub(1)));
        Some(old)
    }
}
