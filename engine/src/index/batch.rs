//! Packs gathered in memory, to become a run.

use std::collections::HashMap;
use std::io::{self, Write};

use super::rows::{EntryRow, FrameRow, PackRow};
use super::write::RunWriter;
use crate::model::{Base, ChunkId, PackId, PackInfo, SegmentId};

/// Marks the end of a chain of entries with one id.
const END: u32 = u32::MAX;

/// Rows of some packs, found by id. Its numbers of packs and frames are those of insertion.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Each with the number of the entry before it that has the same id.
    entries: Vec<(EntryRow, u32)>,
    newest: HashMap<ChunkId, u32>,
    pub frames: Vec<FrameRow>,
    packs: Vec<PackRow>,
    bases: Vec<Base>,
    numbers: HashMap<PackId, u32>,
}

impl Batch {
    /// Adds a pack; one that is here already stays as it is.
    pub fn add(&mut self, info: &PackInfo) {
        let pack = number(self.packs.len());
        if *self.numbers.entry(info.id).or_insert(pack) != pack {
            return;
        }
        let frame_start = number(self.frames.len());
        for view in info.footer.views() {
            let frame = number(self.frames.len());
            let (base_start, base_count) = (number(self.bases.len()), number(view.bases.len()));
            self.frames.push(FrameRow { pack, place: view.place, base_start, base_count });
            self.bases.extend_from_slice(view.bases);
            for (chunk, range) in view.ranges() {
                let entry = EntryRow { id: chunk.id, frame, offset: range.start, len: chunk.len };
                let before = self.newest.insert(chunk.id, number(self.entries.len()));
                self.entries.push((entry, before.unwrap_or(END)));
            }
        }
        let frame_count = number(self.frames.len()) - frame_start;
        self.packs.push(PackRow { meta: info.meta(), frame_start, frame_count });
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bases of the frame at `position` of a pack; none if it is not here.
    pub fn bases(&self, pack: &PackId, position: u32) -> Option<&[Base]> {
        let row = self.packs.get(*self.numbers.get(pack)? as usize)?;
        let mut frames = self.frames.get(row.frames())?.iter();
        let frame = frames.find(|frame| frame.place.position == position)?;
        let start = frame.base_start as usize;
        self.bases.get(start..start + frame.base_count as usize)
    }

    pub fn find(&self, id: &ChunkId) -> impl Iterator<Item = EntryRow> {
        let mut next = self.newest.get(id).copied().unwrap_or(END);
        std::iter::from_fn(move || {
            let (entry, before) = *self.entries.get(next as usize)?;
            next = before;
            Some(entry)
        })
    }

    /// Writes the batch as a run of `segments`.
    pub fn write(&self, segments: &[SegmentId], out: &mut dyn Write) -> io::Result<()> {
        let mut order: Vec<&PackRow> = self.packs.iter().collect();
        order.sort_unstable_by_key(|pack| pack.meta.id);
        // For each pack, by its number here: its number and first frame in the run.
        let mut moved = vec![(0, 0); order.len()];
        let mut frame_start = 0;
        for (pack, to) in order.iter().zip(0..) {
            let from = self.numbers.get(&pack.meta.id).map_or(0, |number| *number as usize);
            moved[from] = (to, frame_start);
            frame_start += pack.frame_count;
        }
        let new_frame = |frame: u32| {
            let pack = self.frames[frame as usize].pack as usize;
            moved[pack].1 + (frame - self.packs[pack].frame_start)
        };
        let mut entries: Vec<EntryRow> = self
            .entries
            .iter()
            .map(|(entry, _)| EntryRow { frame: new_frame(entry.frame), ..*entry })
            .collect();
        entries.sort_unstable();

        let mut writer = RunWriter::new(out, entries.len() as u64);
        entries.iter().try_for_each(|entry| writer.entry(entry))?;
        writer.fan_out()?;
        let mut base_start = 0;
        for (pack, to) in order.iter().zip(0..) {
            for frame in &self.frames[pack.frames()] {
                writer.frame(&FrameRow { pack: to, base_start, ..*frame })?;
                base_start += frame.base_count;
            }
        }
        let mut frame_start = 0;
        for pack in &order {
            writer.pack(&PackRow { frame_start, ..**pack })?;
            frame_start += pack.frame_count;
        }
        for pack in &order {
            for frame in &self.frames[pack.frames()] {
                let start = frame.base_start as usize;
                let bases = &self.bases[start..start + frame.base_count as usize];
                bases.iter().try_for_each(|base| writer.base(base))?;
            }
        }
        writer.finish(segments)
    }
}

impl PackRow {
    fn frames(&self) -> std::ops::Range<usize> {
        let start = self.frame_start as usize;
        start..start + self.frame_count as usize
    }
}

/// A count of rows. A batch is far smaller than `u32`: it is written out long before.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(END)
}
