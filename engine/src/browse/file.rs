//! A file's bytes from any offset on.

use std::sync::{Arc, Mutex, PoisonError};

use super::frames::Frames;
use crate::error::{Error, Kind, Result};
use crate::manifest::{Located, Locator};
use crate::model::{Content, Entry, EntryKind, Hole, NodeRef};
use crate::repo::ChunkReader;

/// Bytes compared at once.
const COMPARE_LEN: usize = 1 << 20;
/// Frames kept while two files are compared, bytes.
const COMPARE_FRAMES_LEN: usize = 32 << 20;
/// How far behind the reader content is opened ahead of it, bytes: four frames.
const AHEAD_LEN: u64 = 16 << 20;
/// A read that begins this near to the end of the last one goes on with it: several threads read at once.
const NEAR_LEN: u64 = 2 << 20;

/// A file that is being read; one for each time it was opened.
pub struct OpenFile {
    entry: Arc<Entry>,
    state: Mutex<Place>,
}

#[derive(Default)]
struct Place {
    locator: Locator,
    /// Where the last read ended, in content.
    end: u64,
    /// Content up to here was asked for ahead.
    asked: u64,
}

impl OpenFile {
    /// Opens `entry`.
    ///
    /// # Errors
    /// `Input` when it is no file.
    pub fn new(entry: Arc<Entry>) -> Result<Self> {
        if !matches!(entry.kind, EntryKind::File { .. }) {
            return Err(Error::new(Kind::Input, format!("{:?} is not a file", entry.path)));
        }
        Ok(Self { entry, state: Mutex::default() })
    }

    /// What is open.
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Reads up to `len` bytes from `offset` on: fewer only at the end of the file. Holes are zeros.
    /// Chunks worth opening ahead go to `ahead`.
    ///
    /// # Errors
    /// `Corrupt` or `NotFound` naming what is damaged; no bytes are given then.
    pub(super) fn read(
        &self,
        frames: &Frames<'_>,
        offset: u64,
        len: usize,
        ahead: &mut dyn FnMut(NodeRef),
    ) -> Result<Vec<u8>> {
        let EntryKind::File { size, content, holes } = &self.entry.kind else {
            return Ok(Vec::new());
        };
        let rest = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut out = Vec::with_capacity(len.min(rest).min(16 << 20));
        let wanted = len.min(rest);
        while out.len() < wanted {
            let at = offset + out.len() as u64;
            let room = wanted - out.len();
            match part_at(holes, at, *size) {
                Part::Hole { len } => {
                    let len = usize::try_from(len).unwrap_or(usize::MAX).min(room);
                    out.resize(out.len() + len, 0);
                }
                Part::Content { offset, len } => {
                    let room = usize::try_from(len).unwrap_or(usize::MAX).min(room);
                    self.read_content(frames, content, offset, room, &mut out)?;
                }
            }
        }
        self.look_ahead(frames, content, holes, offset, out.len() as u64, ahead);
        Ok(out)
    }

    /// Appends 1 to `room` bytes of content from `offset` on.
    fn read_content(
        &self,
        frames: &Frames<'_>,
        content: &Content,
        offset: u64,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let located = self.locate(frames, content, offset)?.ok_or_else(|| {
            let what = format!("{:?}: its content is shorter than its size", self.entry.path);
            Error::new(Kind::Corrupt, what)
        })?;
        let bytes = frames.chunk(&located.chunk)?;
        let skip = usize::try_from(offset - located.start).unwrap_or(usize::MAX);
        let there = bytes
            .get(skip..)
            .filter(|there| !there.is_empty() && bytes.len() as u64 == located.len);
        let there = there.ok_or_else(|| {
            let what = format!("chunk {} has another length than its list says", located.chunk.id);
            Error::new(Kind::Corrupt, what)
        })?;
        out.extend_from_slice(there.get(..room).unwrap_or(there));
        Ok(())
    }

    fn locate(
        &self,
        frames: &Frames<'_>,
        content: &Content,
        offset: u64,
    ) -> Result<Option<Located>> {
        let get = |node: &NodeRef| frames.reader().node(node);
        let len_of = |chunk: &NodeRef| frames.len_of(chunk);
        self.state().locator.locate(content, offset, &get, &len_of)
    }

    /// Asks for what a reader that goes on will need next. Errors are for the read that meets them.
    fn look_ahead(
        &self,
        frames: &Frames<'_>,
        content: &Content,
        holes: &[Hole],
        offset: u64,
        len: u64,
        ahead: &mut dyn FnMut(NodeRef),
    ) {
        let begin = offset.saturating_sub(hole_bytes(holes, offset));
        let end = begin.saturating_add(len);
        let mut at = {
            let mut state = self.state();
            let goes_on = begin.abs_diff(state.end) <= NEAR_LEN && begin > 0;
            state.end = end;
            if !goes_on {
                state.asked = end;
                return;
            }
            state.asked.max(end)
        };
        // What is opened ahead must not push out what comes before it.
        let reach = AHEAD_LEN.min(frames.len_max() / 4);
        // In steps, so that not every read looks.
        if at > end.saturating_add(reach / 2) {
            return;
        }
        while at < end.saturating_add(reach) {
            let Ok(Some(located)) = self.locate(frames, content, at) else { break };
            ahead(located.chunk);
            at = located.start.saturating_add(located.len);
        }
        let mut state = self.state();
        state.asked = state.asked.max(at);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Place> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is at one byte of a file.
enum Part {
    Hole {
        len: u64,
    },
    /// Content from `offset` on, for at most `len` bytes until the next hole or the end.
    Content {
        offset: u64,
        len: u64,
    },
}

fn part_at(holes: &[Hole], at: u64, size: u64) -> Part {
    let mut passed = 0_u64;
    for hole in holes {
        if at < hole.offset {
            let len = hole.offset.min(size) - at;
            return Part::Content { offset: at.saturating_sub(passed), len: len.max(1) };
        }
        let end = hole.offset.saturating_add(hole.len);
        if at < end {
            return Part::Hole { len: end - at };
        }
        passed = passed.saturating_add(hole.len);
    }
    Part::Content { offset: at.saturating_sub(passed), len: size.saturating_sub(at).max(1) }
}

/// Bytes of holes before `at`.
fn hole_bytes(holes: &[Hole], at: u64) -> u64 {
    let before = |hole: &Hole| hole.len.min(at.saturating_sub(hole.offset));
    holes.iter().map(before).fold(0, u64::saturating_add)
}

/// True if two files have the same bytes. With `same_cuts`, both were cut alike: then bytes are read only
/// when holes differ.
///
/// # Errors
/// As [`OpenFile::read`].
pub(super) fn same_bytes(
    reader: &ChunkReader<'_>,
    old: &Entry,
    new: &Entry,
    same_cuts: bool,
) -> Result<bool> {
    let (
        EntryKind::File { size, content, holes },
        EntryKind::File { size: new_size, content: new_content, holes: new_holes },
    ) = (&old.kind, &new.kind)
    else {
        return Ok(false);
    };
    if size != new_size {
        return Ok(false);
    }
    if holes == new_holes && (content == new_content || same_cuts) {
        return Ok(content == new_content);
    }
    let frames = Frames::new(reader, COMPARE_FRAMES_LEN);
    let files = [OpenFile::new(Arc::new(old.clone()))?, OpenFile::new(Arc::new(new.clone()))?];
    let mut at = 0;
    while at < *size {
        let read = |file: &OpenFile| file.read(&frames, at, COMPARE_LEN, &mut |_| {});
        let (left, right) = (read(&files[0])?, read(&files[1])?);
        if left != right || left.is_empty() {
            return Ok(false);
        }
        at += left.len() as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_and_content_share_a_file() {
        let holes = [Hole { offset: 0, len: 10 }, Hole { offset: 15, len: 5 }];
        let part = |at| match part_at(&holes, at, 25) {
            Part::Hole { len } => (None, len),
            Part::Content { offset, len } => (Some(offset), len),
        };
        assert_eq!(part(0), (None, 10));
        assert_eq!(part(10), (Some(0), 5));
        assert_eq!(part(14), (Some(4), 1));
        assert_eq!(part(16), (None, 4));
        assert_eq!(part(20), (Some(5), 5));
        assert_eq!([0, 4, 12, 17, 25].map(|at| hole_bytes(&holes, at)), [0, 4, 10, 12, 15]);
    }
}
