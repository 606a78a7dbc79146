//! Writing runs: from rows in order, or merged from other runs.

use std::io::{self, Write};

use super::rows::{EntryRow, FrameRow, PackRow, Row};
use super::run::{Counts, Run, fan_out_bits, fan_out_slot};
use crate::model::{Base, SegmentId};

/// Writes the sections of a run one after the other.
pub(super) struct RunWriter<'a> {
    out: &'a mut dyn Write,
    hasher: blake3::Hasher,
    counts: Counts,
    /// Entries before each leading value of an id.
    fan_out: Vec<u32>,
    row: Vec<u8>,
}

impl<'a> RunWriter<'a> {
    /// Begins a run of at most `entries` entries.
    pub fn new(out: &'a mut dyn Write, entries: u64) -> Self {
        let counts = Counts { fan_out_bits: fan_out_bits(entries), ..Counts::default() };
        let fan_out = vec![0; (1 << counts.fan_out_bits) + 1];
        Self { out, hasher: blake3::Hasher::new(), counts, fan_out, row: Vec::new() }
    }

    /// The next entry, in ascending order.
    pub fn entry(&mut self, entry: &EntryRow) -> io::Result<()> {
        count(&mut self.counts.entries)?;
        self.fan_out[fan_out_slot(&entry.id, self.counts.fan_out_bits) + 1] += 1;
        self.row(entry)
    }

    /// Ends the entries.
    pub fn fan_out(&mut self) -> io::Result<()> {
        let mut sum = 0;
        self.row.clear();
        for slot in &self.fan_out {
            sum += slot;
            self.row.extend(u32::to_le_bytes(sum));
        }
        self.put_row()
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

    /// Ends the run.
    pub fn finish(mut self, segments: &[SegmentId]) -> io::Result<()> {
        let mut segments = segments.to_vec();
        segments.sort_unstable();
        segments.dedup();
        self.row.clear();
        for segment in &segments {
            count(&mut self.counts.segments)?;
            self.row.extend(segment.as_bytes());
        }
        self.put_row()?;
        self.row.clear();
        self.counts.put(&mut self.row);
        self.put_row()?;
        let hash = self.hasher.finalize();
        self.out.write_all(hash.as_bytes())
    }

    fn row(&mut self, row: &impl Row) -> io::Result<()> {
        self.row.clear();
        row.put(&mut self.row);
        self.put_row()
    }

    fn put_row(&mut self) -> io::Result<()> {
        self.hasher.update(&self.row);
        self.out.write_all(&self.row)
    }
}

fn count(rows: &mut u32) -> io::Result<()> {
    *rows = rows.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
    Ok(())
}

/// A pack on its way from a run into the merged one.
struct Moved {
    row: PackRow,
    run: usize,
    number: u32,
    /// In the merged run.
    frame_start: u32,
}

/// Merges `runs` into one; a pack that several have is taken once.
pub(super) fn merge(runs: &[&Run], out: &mut dyn Write) -> io::Result<()> {
    let damaged = || io::Error::from(io::ErrorKind::InvalidData);
    let packs = packs_of(runs).ok_or_else(damaged)?;
    // For each run and pack: first frame before and after; none if the pack is taken elsewhere.
    let mut moved: Vec<Vec<Option<(u32, u32)>>> =
        runs.iter().map(|run| vec![None; run.counts().packs as usize]).collect();
    for pack in &packs {
        moved[pack.run][pack.number as usize] = Some((pack.row.frame_start, pack.frame_start));
    }

    let total = runs.iter().map(|run| u64::from(run.counts().entries)).sum();
    let mut writer = RunWriter::new(out, total);
    let mut next = vec![0_u32; runs.len()];
    let mut heads: Vec<Option<EntryRow>> = runs.iter().map(|run| run.entry(0)).collect();
    while let Some((at, entry)) = smallest(&heads) {
        next[at] += 1;
        heads[at] = runs[at].entry(next[at]);
        let frame = runs[at].frame(entry.frame).ok_or_else(damaged)?;
        let pack = moved[at].get(frame.pack as usize).ok_or_else(damaged)?;
        if let Some((before, after)) = pack {
            let inside = entry.frame.checked_sub(*before).ok_or_else(damaged)?;
            writer.entry(&EntryRow { frame: after + inside, ..entry })?;
        }
    }
    writer.fan_out()?;

    let frames_of = |pack: &Moved| {
        let run = runs[pack.run];
        let numbers = pack.row.frame_start..pack.row.frame_start + pack.row.frame_count;
        numbers.map(move |number| run.frame(number))
    };
    let mut base_start = 0_u32;
    for (pack, number) in packs.iter().zip(0..) {
        for frame in frames_of(pack) {
            let frame = frame.ok_or_else(damaged)?;
            writer.frame(&FrameRow { pack: number, base_start, ..frame })?;
            base_start = base_start.checked_add(frame.base_count).ok_or_else(damaged)?;
        }
    }
    for pack in &packs {
        writer.pack(&PackRow { frame_start: pack.frame_start, ..pack.row })?;
    }
    for pack in &packs {
        for frame in frames_of(pack).flatten() {
            for number in frame.base_start..frame.base_start.saturating_add(frame.base_count) {
                writer.base(&runs[pack.run].base(number).ok_or_else(damaged)?)?;
            }
        }
    }
    let segments: Vec<SegmentId> = runs.iter().flat_map(|run| run.segments()).collect();
    writer.finish(&segments)
}

/// All packs of the runs by id, each once, with their frames laid end to end.
fn packs_of(runs: &[&Run]) -> Option<Vec<Moved>> {
    let mut packs = Vec::new();
    for (run, at) in runs.iter().zip(0..) {
        for number in 0..run.counts().packs {
            let row = run.pack(number)?;
            row.frame_start.checked_add(row.frame_count)?;
            packs.push(Moved { row, run: at, number, frame_start: 0 });
        }
    }
    packs.sort_unstable_by_key(|pack| (pack.row.meta.id, pack.run));
    packs.dedup_by_key(|pack| pack.row.meta.id);
    let mut frame_start = 0_u32;
    for pack in &mut packs {
        pack.frame_start = frame_start;
        frame_start = frame_start.checked_add(pack.row.frame_count)?;
    }
    Some(packs)
}

fn smallest(heads: &[Option<EntryRow>]) -> Option<(usize, EntryRow)> {
    let heads = heads.iter().enumerate().filter_map(|(at, head)| Some((at, (*head)?)));
    heads.min_by(|left, right| left.1.id.cmp(&right.1.id))
}
