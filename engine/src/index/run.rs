//! A sorted run of chunks with its packs, frames and bases: one file, mapped.
//!
//! Entries | fan-out | frames | packs (by id) | bases | segments (sorted) | trailer. The trailer
//! has the counts and the hash of all before it.

use std::ops::Range;

use super::rows::{EntryRow, FrameRow, PackRow, Row};
use crate::cache::Mapped;
use crate::model::{Base, ChunkId, PackId, SegmentId};

/// Bytes at the end of a run, of which the last 32 are the hash of everything before them.
pub(super) const TRAILER_LEN: usize = 80;
pub(super) const HASH_LEN: usize = 32;
/// The last digit is the version of this layout.
pub(super) const MAGIC: [u8; 16] = *b"coffer index run";
pub(super) const VERSION: u32 = 1;
/// Longer runs are not hashed when opened: reading them whole would take longer than the command.
const CHECKED_LEN_MAX: usize = 64 << 20;

/// How many rows of each kind a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub entries: u32,
    pub frames: u32,
    pub packs: u32,
    pub bases: u32,
    pub segments: u32,
    /// Leading bits of an id that the fan-out table is made for.
    pub fan_out_bits: u32,
}

impl Counts {
    pub fn put(&self, out: &mut Vec<u8>) {
        let numbers = [self.entries, self.frames, self.packs, self.bases, self.segments];
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
        out.extend(self.fan_out_bits.to_le_bytes());
        out.extend([0; 4]);
    }

    fn take(trailer: &[u8]) -> Option<Self> {
        let numbers = trailer.strip_prefix(&MAGIC)?.strip_prefix(&VERSION.to_le_bytes())?;
        let mut numbers =
            numbers.chunks_exact(4).map(|it| it.first_chunk().map(|it| u32::from_le_bytes(*it)));
        let mut next = || numbers.next().flatten();
        Some(Self {
            entries: next()?,
            frames: next()?,
            packs: next()?,
            bases: next()?,
            segments: next()?,
            fan_out_bits: next().filter(|bits| matches!(bits, 8 | 16))?,
        })
    }
}

/// The number of leading bits worth a fan-out table for so many entries.
pub(super) fn fan_out_bits(entries: u64) -> u32 {
    if entries < 1 << 16 { 8 } else { 16 }
}

/// The leading `bits` (8 or 16) of an id.
pub(super) fn fan_out_slot(id: &ChunkId, bits: u32) -> usize {
    let [first, second, ..] = id.0;
    usize::from(u16::from_be_bytes([first, second])) >> (16 - bits)
}

/// An open run.
#[derive(Debug)]
pub(super) struct Run {
    map: Mapped,
    counts: Counts,
    fan_out: usize,
    frames: usize,
    packs: usize,
    bases: usize,
    segments: usize,
}

impl Run {
    /// Opens a run; none if the bytes are not one, or damaged.
    pub fn open(map: Mapped) -> Option<Self> {
        let end = map.len().checked_sub(TRAILER_LEN)?;
        let counts = Counts::take(map.get(end..)?)?;
        let after = |start: usize, count: u32, len: usize| {
            start.checked_add(usize::try_from(count).ok()?.checked_mul(len)?)
        };
        let fan_out = after(0, counts.entries, EntryRow::LEN)?;
        let frames = after(fan_out, (1 << counts.fan_out_bits) + 1, 4)?;
        let packs = after(frames, counts.frames, FrameRow::LEN)?;
        let bases = after(packs, counts.packs, PackRow::LEN)?;
        let segments = after(bases, counts.bases, Base::LEN)?;
        if after(segments, counts.segments, SegmentId::LEN)? != end {
            return None;
        }
        let hashed = map.len() - HASH_LEN;
        if map.len() <= CHECKED_LEN_MAX
            && blake3::hash(map.get(..hashed)?).as_bytes() != map.get(hashed..)?
        {
            return None;
        }
        let run = Self { map, counts, fan_out, frames, packs, bases, segments };
        let sound = |range: Range<u32>| range.start <= range.end && range.end <= counts.entries;
        let slots = 0..1 << counts.fan_out_bits;
        slots.into_iter().all(|slot| run.slot(slot).is_some_and(sound)).then_some(run)
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn segments(&self) -> impl Iterator<Item = SegmentId> {
        let bytes = self.map.get(self.segments..).unwrap_or_default();
        let count = self.counts.segments as usize;
        let ids = bytes.chunks_exact(SegmentId::LEN).take(count);
        ids.filter_map(|id| id.first_chunk().copied().map(SegmentId))
    }

    pub fn entry(&self, number: u32) -> Option<EntryRow> {
        self.row(0, number, self.counts.entries)
    }

    pub fn frame(&self, number: u32) -> Option<FrameRow> {
        self.row(self.frames, number, self.counts.frames)
    }

    pub fn pack(&self, number: u32) -> Option<PackRow> {
        self.row(self.packs, number, self.counts.packs)
    }

    pub fn base(&self, number: u32) -> Option<Base> {
        self.row(self.bases, number, self.counts.bases)
    }

    /// The entries of `id`, of which there may be several.
    pub fn find(&self, id: &ChunkId) -> impl Iterator<Item = EntryRow> {
        let slot = fan_out_slot(id, self.counts.fan_out_bits);
        let Range { mut start, end } = self.slot(slot).unwrap_or(0..0);
        let (mut low, mut high) = (start, end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.id(middle).is_some_and(|found| found < &id.0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        start = low;
        let id = *id;
        (start..end).map_while(move |number| self.entry(number).filter(|entry| entry.id == id))
    }

    /// The bases of the frame at `position` of a pack; none if it is not here.
    pub fn bases(&self, pack: &PackId, position: u32) -> Option<Vec<Base>> {
        let (mut low, mut high) = (0, self.counts.packs);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.pack(middle)?.meta.id < *pack {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let row = self.pack(low).filter(|row| row.meta.id == *pack)?;
        let frames = row.frame_start..row.frame_start.checked_add(row.frame_count)?;
        let mut frames = frames.map_while(|number| self.frame(number));
        let frame = frames.find(|frame| frame.place.position == position)?;
        let end = frame.base_start.checked_add(frame.base_count)?;
        (frame.base_start..end).map(|number| self.base(number)).collect()
    }

    fn id(&self, number: u32) -> Option<&[u8; 32]> {
        let start = (number as usize).checked_mul(EntryRow::LEN)?;
        self.map.get(start..)?.first_chunk()
    }

    /// The numbers of the entries whose ids begin with `slot`.
    fn slot(&self, slot: usize) -> Option<Range<u32>> {
        let bytes = self.map.get(self.fan_out + slot * 4..)?.first_chunk::<8>()?;
        let [a, b, c, d, e, f, g, h] = *bytes;
        Some(u32::from_le_bytes([a, b, c, d])..u32::from_le_bytes([e, f, g, h]))
    }

    fn row<R: Row>(&self, section: usize, number: u32, count: u32) -> Option<R> {
        if number >= count {
            return None;
        }
        let start = section.checked_add((number as usize).checked_mul(R::LEN)?)?;
        R::take(self.map.get(start..start.checked_add(R::LEN)?)?)
    }
}
