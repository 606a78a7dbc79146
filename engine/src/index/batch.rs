//! Packs gathered in memory, to become a run.

use std::collections::HashMap;
use std::io::{self, Write};

use super::rows::{EntryRow, FrameRow, PackRow, SEVERAL};
use super::write::{RunWriter, Scratch};
use crate::model::{Base, ChunkId, PackId, PackInfo, PackMeta, SegmentId};

/// Marks the end of a chain of entries with one id.
const END: u32 = u32::MAX;

/// Rows of some packs, in the order of insertion until they are sorted.
#[derive(Debug, Default, Clone)]
pub(super) struct Batch {
    entries: Vec<EntryRow>,
    frames: Vec<FrameRow>,
    packs: Vec<PackRow>,
    bases: Vec<Base>,
    segments: Vec<SegmentId>,
    numbers: HashMap<PackId, u32>,
}

impl Batch {
    /// Adds what a segment tells.
    pub fn add_segment(&mut self, id: SegmentId, packs: Vec<PackInfo>) {
        let segment = number(self.segments.len());
        self.segments.push(id);
        // One by one: a long segment shall not stand in memory twice.
        packs.into_iter().for_each(|pack| self.add(&pack, segment));
    }

    /// Adds a pack; one that is here already stays as it is.
    pub fn add(&mut self, info: &PackInfo, segment: u32) {
        let pack = number(self.packs.len());
        let known = *self.numbers.entry(info.id).or_insert(pack);
        if known != pack {
            if let Some(row) = self.packs.get_mut(known as usize)
                && row.segment != segment
            {
                row.segment = SEVERAL;
            }
            return;
        }
        let frame_start = number(self.frames.len());
        for view in info.footer.views() {
            let frame = number(self.frames.len());
            let (base_start, base_count) = (number(self.bases.len()), number(view.bases.len()));
            self.frames.push(FrameRow { pack, place: view.place, base_start, base_count });
            self.bases.extend_from_slice(view.bases);
            let entry = |(chunk, range): (&crate::model::Chunk, std::ops::Range<u32>)| EntryRow {
                id: chunk.id,
                frame,
                offset: range.start,
                len: chunk.len,
            };
            self.entries.extend(view.ranges().map(entry));
        }
        let frame_count = number(self.frames.len()) - frame_start;
        self.packs.push(PackRow { meta: info.meta(), frame_start, frame_count, segment });
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Brings everything into the order of a run.
    pub fn sort(&mut self) {
        let mut segments: Vec<u32> = (0..number(self.segments.len())).collect();
        segments.sort_unstable_by_key(|at| self.segments[*at as usize]);
        let mut new_segment = vec![0; segments.len()];
        segments.iter().zip(0..).for_each(|(old, new)| new_segment[*old as usize] = new);
        self.segments.sort_unstable();

        let mut order: Vec<u32> = (0..number(self.packs.len())).collect();
        order.sort_unstable_by_key(|at| self.packs[*at as usize].meta.id);
        let (mut packs, mut frames, mut bases) = (Vec::new(), Vec::new(), Vec::new());
        let mut new_start = vec![0; order.len()];
        for (old, pack) in order.iter().zip(0..) {
            let row = self.packs[*old as usize];
            new_start[*old as usize] = number(frames.len());
            let segment = new_segment.get(row.segment as usize).copied().unwrap_or(SEVERAL);
            packs.push(PackRow { frame_start: number(frames.len()), segment, ..row });
            self.numbers.insert(row.meta.id, pack);
            for frame in &self.frames[row.frames()] {
                frames.push(FrameRow { pack, base_start: number(bases.len()), ..*frame });
                bases.extend_from_slice(&self.bases[frame.bases()]);
            }
        }
        for entry in &mut self.entries {
            let pack = self.frames[entry.frame as usize].pack as usize;
            entry.frame = new_start[pack] + (entry.frame - self.packs[pack].frame_start);
        }
        self.entries.sort_unstable();
        (self.packs, self.frames, self.bases) = (packs, frames, bases);
    }

    /// Writes the sorted batch as a run.
    pub fn write(&self, scratch: &Scratch<'_>, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = RunWriter::new(out, scratch, self.entries.len() as u64);
        self.entries.iter().try_for_each(|entry| writer.entry(entry))?;
        writer.end_entries()?;
        self.frames.iter().try_for_each(|frame| writer.frame(frame))?;
        self.packs.iter().try_for_each(|pack| writer.pack(pack))?;
        self.bases.iter().try_for_each(|base| writer.base(base))?;
        writer.finish(&self.segments)
    }

    /// The segments of the batch.
    pub fn segments(&self) -> &[SegmentId] {
        &self.segments
    }
}

/// The packs of this process that are in no run yet, found by id.
#[derive(Debug, Default)]
pub(super) struct Recent {
    batch: Batch,
    /// For each entry the one before it that has the same id.
    before: Vec<u32>,
    newest: HashMap<ChunkId, u32>,
}

impl Recent {
    pub fn add(&mut self, info: &PackInfo) {
        self.batch.add(info, SEVERAL);
        for at in self.before.len()..self.batch.len() {
            let before = self.newest.insert(self.batch.entries[at].id, number(at));
            self.before.push(before.unwrap_or(END));
        }
    }

    pub fn len(&self) -> usize {
        self.batch.len()
    }

    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    pub fn find(&self, id: &ChunkId) -> impl Iterator<Item = (EntryRow, FrameRow)> {
        let mut next = self.newest.get(id).copied().unwrap_or(END);
        std::iter::from_fn(move || {
            let entry = *self.batch.entries.get(next as usize)?;
            next = self.before[next as usize];
            Some((entry, self.batch.frames[entry.frame as usize]))
        })
    }

    /// The number of the newest entry of a chunk.
    pub fn entry_number(&self, id: &ChunkId) -> Option<u32> {
        self.newest.get(id).copied()
    }

    pub fn find_pack(&self, id: &PackId) -> Option<u32> {
        self.batch.numbers.get(id).copied()
    }

    pub fn packs(&self) -> impl ExactSizeIterator<Item = &PackMeta> {
        self.batch.packs.iter().map(|row| &row.meta)
    }

    pub fn pack(&self, number: u32) -> Option<PackMeta> {
        self.batch.packs.get(number as usize).map(|row| row.meta)
    }

    /// The bases of the frame at `position` of a pack; none if it is not here.
    pub fn bases(&self, pack: u32, position: u32) -> Option<Vec<Base>> {
        let row = self.batch.packs.get(pack as usize)?;
        let mut frames = self.batch.frames.get(row.frames())?.iter();
        let frame = frames.find(|frame| frame.place.position == position)?;
        self.batch.bases.get(frame.bases()).map(<[Base]>::to_vec)
    }
}

impl PackRow {
    fn frames(&self) -> std::ops::Range<usize> {
        let start = self.frame_start as usize;
        start..start + self.frame_count as usize
    }
}

impl FrameRow {
    fn bases(&self) -> std::ops::Range<usize> {
        let start = self.base_start as usize;
        start..start + self.base_count as usize
    }
}

/// A count of rows. A batch is far smaller than `u32`: it is written out long before.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(END)
}
