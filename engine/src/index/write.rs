//! Writing runs: from rows in order, or merged from other runs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io::{self, Write};

use super::filter::{FilterWriter, block_count};
use super::rows::{EntryRow, FrameRow, PackRow, Row, SEVERAL};
use super::run::{Counts, Run, fan_out_bits, fan_out_slot};
use crate::cache::Draft;
use crate::model::{Base, PackId, SegmentId};

/// Gives a file for what has to wait until the run is written; none if there is no disk.
pub(super) type Scratch<'a> = dyn Fn() -> Option<Draft> + 'a;

/// Bytes that are hashed and written together.
const BUFFER_LEN: usize = 64 << 10;

/// Writes the sections of a run one after the other.
pub(super) struct RunWriter<'a> {
    out: &'a mut dyn Write,
    hasher: blake3::Hasher,
    counts: Counts,
    /// Entries before each leading value of an id.
    fan_out: Vec<u32>,
    filter: Option<FilterWriter<'a>>,
    buffer: Vec<u8>,
}

impl<'a> RunWriter<'a> {
    /// Begins a run of at most `entries` entries.
    pub fn new(out: &'a mut dyn Write, scratch: &'a Scratch<'a>, entries: u64) -> Self {
        let (fan_out_bits, filter_blocks) = (fan_out_bits(entries), block_count(entries));
        let counts = Counts { fan_out_bits, filter_blocks, ..Counts::default() };
        let fan_out = vec![0; (1 << fan_out_bits) + 1];
        let filter = Some(FilterWriter::new(scratch, filter_blocks));
        Self { out, hasher: blake3::Hasher::new(), counts, fan_out, filter, buffer: Vec::new() }
    }

    /// The next entry, in ascending order.
    pub fn entry(&mut self, entry: &EntryRow) -> io::Result<()> {
        count(&mut self.counts.entries)?;
        self.fan_out[fan_out_slot(&entry.id, self.counts.fan_out_bits) + 1] += 1;
        if let Some(filter) = &mut self.filter {
            filter.add(&entry.id)?;
        }
        self.row(entry)
    }

    /// Ends the entries.
    pub fn end_entries(&mut self) -> io::Result<()> {
        let mut sum = 0;
        for slot in &self.fan_out {
            sum += slot;
            self.buffer.extend(u32::to_le_bytes(sum));
        }
        self.put()?;
        let filter = self.filter.take();
        filter.map_or(Ok(()), |filter| {
            filter.finish(&mut |blocks| {
                self.hasher.update(blocks);
                self.out.write_all(blocks)
            })
        })
    }

    pub fn frame(&mut self, frame: &FrameRow) -> io::Result<()> {
        count(&mut self.counts.frames)?;
        self.row(frame)
    }

    pub fn pack(&mut self, pack: &PackRow) -> io::Result<()> {
        count(&mut self.counts.packs)?;
        self.row(pack)
    }

    pub fn base(&mut self, base: &Base) -> io::Result<()> {
        count(&mut self.counts.bases)?;
        self.row(base)
    }

    /// Ends the run, which is of these segments, in ascending order.
    pub fn finish(mut self, segments: &[SegmentId]) -> io::Result<()> {
        for segment in segments {
            count(&mut self.counts.segments)?;
            self.buffer.extend(segment.as_bytes());
        }
        self.counts.put(&mut self.buffer);
        self.put()?;
        let hash = self.hasher.finalize();
        self.out.write_all(hash.as_bytes())
    }

    fn row(&mut self, row: &impl Row) -> io::Result<()> {
        row.put(&mut self.buffer);
        if self.buffer.len() >= BUFFER_LEN { self.put() } else { Ok(()) }
    }

    fn put(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

fn count(rows: &mut u32) -> io::Result<()> {
    *rows = rows.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
    Ok(())
}

/// A run to be merged, with what is left out of it.
pub(super) struct Part<'a> {
    pub run: &'a Run,
    /// True for a pack, by its number, that no segment tells of any more.
    pub is_void: &'a dyn Fn(u32) -> bool,
}

/// Merges `parts` into one run of `segments`, which ascend; a pack that several have is taken once. Takes
/// 12 bytes of memory a pack, and those of a few rows of each part.
pub(super) fn merge(
    parts: &[Part<'_>],
    segments: &[SegmentId],
    scratch: &Scratch<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    parts.iter().for_each(|part| part.run.expect_all());
    // For each part and pack its first frame before and after; none if the pack is taken elsewhere.
    let mut moved: Vec<Vec<Option<(u32, u32)>>> =
        parts.iter().map(|part| vec![None; part.run.counts().packs as usize]).collect();
    let mut frame_start = 0_u32;
    each_pack(parts, &mut |pack| {
        moved[pack.part][pack.number as usize] = Some((pack.row.frame_start, frame_start));
        frame_start = frame_start.checked_add(pack.row.frame_count).ok_or_else(damaged)?;
        Ok(())
    })?;

    let total = parts.iter().map(|part| u64::from(part.run.counts().entries)).sum();
    let mut writer = RunWriter::new(out, scratch, total);
    each_entry(parts, &mut |part, entry| {
        let frame = parts[part].run.frame(entry.frame).ok_or_else(damaged)?;
        let Some((before, after)) = moved[part].get(frame.pack as usize).ok_or_else(damaged)?
        else {
            return Ok(());
        };
        let inside = entry.frame.checked_sub(*before).ok_or_else(damaged)?;
        let frame = after.checked_add(inside).ok_or_else(damaged)?;
        writer.entry(&EntryRow { frame, ..entry })
    })?;
    drop(moved);
    writer.end_entries()?;

    let (mut number, mut base_start) = (0_u32, 0_u32);
    each_pack(parts, &mut |pack| {
        for frame in pack.frames(parts) {
            let frame = frame?;
            writer.frame(&FrameRow { pack: number, base_start, ..frame })?;
            base_start = base_start.checked_add(frame.base_count).ok_or_else(damaged)?;
        }
        number = number.checked_add(1).ok_or_else(damaged)?;
        Ok(())
    })?;
    let mut frame_start = 0_u32;
    each_pack(parts, &mut |pack| {
        let segment = match pack.segment.map(|id| segments.binary_search(&id)) {
            Some(Ok(number)) => u32::try_from(number).unwrap_or(SEVERAL),
            _ => SEVERAL,
        };
        writer.pack(&PackRow { frame_start, segment, ..pack.row })?;
        frame_start = frame_start.checked_add(pack.row.frame_count).ok_or_else(damaged)?;
        Ok(())
    })?;
    each_pack(parts, &mut |pack| {
        for frame in pack.frames(parts) {
            let frame = frame?;
            for number in frame.base_start..frame.base_start.saturating_add(frame.base_count) {
                writer.base(&parts[pack.part].run.base(number).ok_or_else(damaged)?)?;
            }
        }
        Ok(())
    })?;
    writer.finish(segments)
}

fn damaged() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// A pack on its way into the merged run.
struct Moved {
    part: usize,
    number: u32,
    row: PackRow,
    /// The only segment that tells of it.
    segment: Option<SegmentId>,
}

impl Moved {
    fn frames(&self, parts: &[Part<'_>]) -> impl Iterator<Item = io::Result<FrameRow>> {
        let run = parts[self.part].run;
        let end = self.row.frame_start.saturating_add(self.row.frame_count);
        (self.row.frame_start..end).map(|number| run.frame(number).ok_or_else(damaged))
    }
}

/// Calls `each` for the entries of all parts, in order.
fn each_entry(
    parts: &[Part<'_>],
    each: &mut dyn FnMut(usize, EntryRow) -> io::Result<()>,
) -> io::Result<()> {
    let first = |(at, part): (usize, &Part<'_>)| Some(Reverse((part.run.entry(0)?, at, 1_u32)));
    let mut heads: BinaryHeap<_> = parts.iter().enumerate().filter_map(first).collect();
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((entry, at, next)) = *head;
        match parts[at].run.entry(next) {
            Some(following) => *head = Reverse((following, at, next + 1)),
            None => drop(PeekMut::pop(head)),
        }
        each(at, entry)?;
    }
    Ok(())
}

/// Calls `each` for the packs of all parts by id, each once.
fn each_pack(parts: &[Part<'_>], each: &mut dyn FnMut(Moved) -> io::Result<()>) -> io::Result<()> {
    let next_of = |at: usize, from: u32| {
        let Part { run, is_void } = &parts[at];
        let mut numbers = (from..run.counts().packs).filter(|number| !is_void(*number));
        let number = numbers.next()?;
        let id: PackId = run.pack(number)?.meta.id;
        Some(Reverse((id, at, number)))
    };
    let mut heads: BinaryHeap<_> = (0..parts.len()).filter_map(|at| next_of(at, 0)).collect();
    let mut pending: Option<Moved> = None;
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((id, at, number)) = *head;
        match next_of(at, number.saturating_add(1)) {
            Some(next) => *head = next,
            None => drop(PeekMut::pop(head)),
        }
        let row = parts[at].run.pack(number).ok_or_else(damaged)?;
        let segment = parts[at].run.segment(row.segment);
        match &mut pending {
            Some(known) if known.row.meta.id == id => {
                known.segment = known.segment.filter(|known| Some(*known) == segment);
            }
            _ => {
                let moved = Moved { part: at, number, row, segment };
                pending.replace(moved).map_or(Ok(()), &mut *each)?;
            }
        }
    }
    pending.map_or(Ok(()), each)
}
