//! Where in an older content the next chunk of a newer one stood.
//!
//! Both were cut by the same rule, so that cuts which no change has touched are in both: the end of a
//! chunk is taken for the older cut next to where it should be. Where that fails for a while, much was
//! added or removed: then a chunk both have, or the same lengths in a row, tell where to go on.

use std::collections::VecDeque;
use std::ops::Range;

use crate::model::ChunkId;

/// An older cut this many bytes from where it should be is taken for the same.
const NEAR_LEN: u64 = 4096;
/// Cuts that are found nowhere near before the position is searched for. A changed cut moves the next few too, as the rule
/// for one goes by the length since the last.
const MISSES_MAX: u32 = 4;
/// Two lengths that differ by no more may be those of one chunk before and after. Four in a row of 2000 are like four others
/// by chance once in 400 times.
const LIKE_LEN: u32 = 1024;
/// Lengths in a row that tell a position.
const ROW_COUNT: usize = 4;

/// A chunk of the older content.
#[derive(Debug, Clone, Copy)]
pub(super) struct OldChunk<T> {
    /// Bytes of the content before it.
    pub(super) start: u64,
    pub(super) len: u32,
    pub(super) id: ChunkId,
    /// What else is known of it.
    pub(super) known: T,
}

impl<T> OldChunk<T> {
    pub(super) fn end(&self) -> u64 {
        self.start + u64::from(self.len)
    }
}

/// Follows a newer content through the older one.
#[derive(Debug, Default)]
pub(super) struct Align {
    at: u64,
    misses: u32,
    /// Lengths of the last chunks, the newest last.
    lens: VecDeque<u32>,
}

impl Align {
    /// Bytes of the older content up to where the next chunk should begin.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// True if the position has to be searched for, should the next cut be nowhere near either.
    pub(super) fn is_lost(&self) -> bool {
        self.misses + 1 >= MISSES_MAX
    }

    /// The bytes of the older content that the next chunk came from. `window` are older chunks around
    /// [`Align::at`], in order.
    pub(super) fn next<T>(
        &mut self,
        window: &VecDeque<OldChunk<T>>,
        id: &ChunkId,
        len: u32,
    ) -> Range<u64> {
        self.lens.push_back(len);
        if self.lens.len() > ROW_COUNT {
            self.lens.pop_front();
        }
        let (start, wanted) = (self.at, self.at + u64::from(len));
        let end = match nearest_cut(window, wanted) {
            Some(cut) if cut > start && cut.abs_diff(wanted) <= NEAR_LEN => {
                self.misses = self.misses.saturating_sub(2);
                cut
            }
            _ => {
                self.misses += 1;
                wanted
            }
        };
        let found = if self.misses >= MISSES_MAX { self.search(window, id) } else { None };
        if found.is_some() {
            self.misses = 0;
        }
        let range = found.unwrap_or(start..end);
        self.at = range.end;
        range
    }

    /// The older chunk that the newest one is, going by its id, or by lengths up to it.
    fn search<T>(&self, window: &VecDeque<OldChunk<T>>, id: &ChunkId) -> Option<Range<u64>> {
        let distance = |old: &&OldChunk<T>| old.start.abs_diff(self.at);
        let same = window.iter().filter(|old| old.id == *id).min_by_key(distance);
        let like = || {
            let rows = (ROW_COUNT..=window.len()).filter(|end| self.is_row(window, *end));
            rows.filter_map(|end| window.get(end - 1)).min_by_key(distance)
        };
        same.or_else(like).map(|old| old.start..old.end())
    }

    /// True if the older chunks before number `end` are as long as the last ones.
    fn is_row<T>(&self, window: &VecDeque<OldChunk<T>>, end: usize) -> bool {
        // What is cut by place alone has the same length everywhere.
        let is_telling = self.lens.iter().any(|len| self.lens.front() != Some(len));
        self.lens.len() == ROW_COUNT
            && is_telling
            && window
                .range(end - ROW_COUNT..end)
                .zip(&self.lens)
                .all(|(old, len)| old.len.abs_diff(*len) <= LIKE_LEN)
    }
}

/// The end of a chunk next to `at`.
fn nearest_cut<T>(window: &VecDeque<OldChunk<T>>, at: u64) -> Option<u64> {
    let after = window.partition_point(|old| old.end() <= at);
    let before = after.checked_sub(1).and_then(|number| window.get(number));
    let cuts = [before.map(OldChunk::end), window.get(after).map(OldChunk::end)];
    cuts.into_iter().flatten().min_by_key(|cut| cut.abs_diff(at))
}
