//! A sorted run of chunks with its packs, frames and bases: one file, mapped.
//!
//! Entries | fan-out | filter | frames | packs (by id) | bases | segments (sorted) | trailer. The
//! trailer has the counts and the hash of all before it. Nothing of a run is on the heap.

use std::ops::Range;

use super::filter::{BLOCK_LEN, leading, may_have, part};
use super::rows::{EntryRow, FrameRow, PackRow, Row};
use crate::cache::{Access, Mapped};
use crate::model::{Base, ChunkId, PackId, SegmentId};

/// Bytes at the end of a run, of which the last 32 are the hash of everything before them.
pub(super) const TRAILER_LEN: usize = 80;
pub(super) const HASH_LEN: usize = 32;
/// The last digit is the version of this layout.
pub(super) const MAGIC: [u8; 16] = *b"coffer index run";
pub(super) const VERSION: u32 = 2;
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
    pub filter_blocks: u32,
}

impl Counts {
    pub fn put(&self, out: &mut Vec<u8>) {
        let numbers = [self.entries, self.frames, self.packs, self.bases, self.segments];
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
        out.extend(self.fan_out_bits.to_le_bytes());
        out.extend(self.filter_blocks.to_le_bytes());
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
            filter_blocks: next()?,
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
    filter: usize,
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
        let filter = after(fan_out, (1 << counts.fan_out_bits) + 1, 4)?;
        let frames = after(filter, counts.filter_blocks, BLOCK_LEN)?;
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
        if map.len() > CHECKED_LEN_MAX {
            map.expect(Access::Scattered);
        }
        let run = Self { map, counts, fan_out, filter, frames, packs, bases, segments };
        let sound = |range: Range<u32>| range.start <= range.end && range.end <= counts.entries;
        let slots = 0..1 << counts.fan_out_bits;
        slots.into_iter().all(|slot| run.slot(slot).is_some_and(sound)).then_some(run)
    }

    /// True if opening it proves its bytes.
    pub fn is_checked(&self) -> bool {
        self.map.len() <= CHECKED_LEN_MAX
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

    /// The segment of this number.
    pub fn segment(&self, number: u32) -> Option<SegmentId> {
        let start = self.segments.checked_add((number as usize).checked_mul(SegmentId::LEN)?)?;
        let id = self.map.get(start..)?.first_chunk().filter(|_| number < self.counts.segments)?;
        Some(SegmentId(*id))
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
        let range = if self.may_have(id) { self.range(id) } else { 0..0 };
        let id = *id;
        range.map_while(move |number| self.entry(number).filter(|entry| entry.id == id))
    }

    /// The number of the first entry of `id`.
    pub fn entry_number(&self, id: &ChunkId) -> Option<u32> {
        let number = self.may_have(id).then(|| self.range(id).start)?;
        self.entry(number).filter(|entry| entry.id == *id).map(|_| number)
    }

    /// The entries from the first that is not before `id` to the end of those that begin as it does.
    fn range(&self, id: &ChunkId) -> Range<u32> {
        let bits = self.counts.fan_out_bits;
        let slot = self.slot(fan_out_slot(id, bits)).unwrap_or(0..0);
        let guess = slot.start + part(leading(&id.0) << bits, slot.end - slot.start);
        let is_before = |number| self.id(number).is_some_and(|found| found < &id.0);
        search(slot.clone(), guess, is_before)..slot.end
    }

    /// The number of a pack.
    pub fn find_pack(&self, id: &PackId) -> Option<u32> {
        let count = self.counts.packs;
        let is_before = |number| self.pack(number).is_some_and(|row| row.meta.id < *id);
        let number = search(0..count, part(leading(&id.0), count), is_before);
        self.pack(number).filter(|row| row.meta.id == *id).map(|_| number)
    }

    /// The bases of the frame at `position` of a pack; none if the frame is not here.
    pub fn bases(&self, pack: u32, position: u32) -> Option<Vec<Base>> {
        let row = self.pack(pack)?;
        let frames = row.frame_start..row.frame_start.checked_add(row.frame_count)?;
        let mut frames = frames.map_while(|number| self.frame(number));
        let frame = frames.find(|frame| frame.place.position == position)?;
        let end = frame.base_start.checked_add(frame.base_count)?;
        (frame.base_start..end).map(|number| self.base(number)).collect()
    }

    /// Says that all rows will be read, in order.
    pub fn expect_all(&self) {
        self.map.expect(Access::InOrder);
    }

    fn may_have(&self, id: &ChunkId) -> bool {
        let block = part(leading(&id.0), self.counts.filter_blocks) as usize;
        let block = self.map.get(self.filter + block * BLOCK_LEN..).and_then(<[u8]>::first_chunk);
        block.is_some_and(|block| may_have(block, id))
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

/// The first number in `range` of which `is_before` is false. Looks around `guess` first: ids are
/// spread evenly, so that what is looked for stands in the same page, or beside it.
fn search(range: Range<u32>, guess: u32, is_before: impl Fn(u32) -> bool) -> u32 {
    let Range { start: mut low, end: mut high } = range;
    let (mut probe, mut step) = (guess, 8);
    let mut is_up = None;
    while (low..high).contains(&probe) {
        let before = is_before(probe);
        if before {
            low = probe + 1;
        } else {
            high = probe;
        }
        if *is_up.get_or_insert(before) != before {
            break;
        }
        let next = if before { probe.checked_add(step) } else { probe.checked_sub(step) };
        let Some(next) = next else { break };
        (probe, step) = (next, step.saturating_mul(2));
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
