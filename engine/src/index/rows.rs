//! The rows of a run: fixed widths, little-endian. A cache's own layout, no part of the format.

use crate::model::{Base, ChunkId, Class, Codec, FrameKind, FramePlace, PackId, PackMeta, Purpose};

/// A chunk of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryRow {
    pub id: ChunkId,
    /// Number of the frame in its run.
    pub frame: u32,
    pub offset: u32,
    pub len: u32,
}

/// A frame of a run. The frames of a pack stand together, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameRow {
    /// Number of the pack in its run.
    pub pack: u32,
    pub place: FramePlace,
    pub base_start: u32,
    pub base_count: u32,
}

/// A pack of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PackRow {
    pub meta: PackMeta,
    pub frame_start: u32,
    pub frame_count: u32,
    /// Number of the segment in its run that told of the pack, or [`SEVERAL`].
    pub segment: u32,
}

/// Stands for more than one segment, or none.
pub(super) const SEVERAL: u32 = u32::MAX;

/// What flags of a pack say: any bits give a pack, so that none needs to be looked at before its turn.
const IS_S: u32 = 1;
const IS_METADATA: u32 = 2;

/// A row of fixed width.
pub(super) trait Row: Sized {
    const LEN: usize;
    fn put(&self, out: &mut Vec<u8>);
    /// None if the bytes are no such row.
    fn take(bytes: &[u8]) -> Option<Self>;
}

impl Row for EntryRow {
    const LEN: usize = 44;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.id.as_bytes());
        put_all(out, &[self.frame, self.offset, self.len]);
    }

    fn take(mut bytes: &[u8]) -> Option<Self> {
        let id = ChunkId(array(&mut bytes)?);
        let [frame, offset, len] = numbers(&mut bytes)?;
        Some(Self { id, frame, offset, len })
    }
}

impl Row for FrameRow {
    const LEN: usize = 28;

    fn put(&self, out: &mut Vec<u8>) {
        let FramePlace { position, sealed_len, plain_len, kind, codec } = self.place;
        put_all(out, &[self.pack, position, sealed_len, plain_len]);
        put_all(out, &[self.base_start, self.base_count]);
        out.extend([kind.code(), codec.code(), 0, 0]);
    }

    fn take(mut bytes: &[u8]) -> Option<Self> {
        let [pack, position, sealed_len, plain_len, base_start, base_count] = numbers(&mut bytes)?;
        let [kind, codec, _, _] = array(&mut bytes)?;
        let kind = FrameKind::from_code(kind.into())?;
        let codec = Codec::from_code(codec.into())?;
        let place = FramePlace { position, sealed_len, plain_len, kind, codec };
        Some(Self { pack, place, base_start, base_count })
    }
}

impl Row for PackRow {
    const LEN: usize = 96;

    fn put(&self, out: &mut Vec<u8>) {
        let PackMeta { id, pack_len, footer_sealed_len, epoch, salt, class, purpose } = self.meta;
        let s = if class == Class::S { IS_S } else { 0 };
        let metadata = if purpose == Purpose::Metadata { IS_METADATA } else { 0 };
        out.extend(id.as_bytes());
        out.extend(salt);
        out.extend(pack_len.to_le_bytes());
        put_all(out, &[footer_sealed_len, epoch, self.frame_start, self.frame_count]);
        put_all(out, &[self.segment, s | metadata]);
    }

    fn take(mut bytes: &[u8]) -> Option<Self> {
        let id = PackId(array(&mut bytes)?);
        let salt = array(&mut bytes)?;
        let pack_len = u64::from_le_bytes(array(&mut bytes)?);
        let [footer_sealed_len, epoch, frame_start, frame_count, segment, flags] =
            numbers(&mut bytes)?;
        let class = if flags & IS_S == 0 { Class::Ordinary } else { Class::S };
        let purpose = if flags & IS_METADATA == 0 { Purpose::Data } else { Purpose::Metadata };
        let meta = PackMeta { id, pack_len, footer_sealed_len, epoch, salt, class, purpose };
        Some(Self { meta, frame_start, frame_count, segment })
    }
}

impl Row for Base {
    const LEN: usize = 44;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.id.as_bytes());
        put_all(out, &[self.chunk, self.offset, self.len]);
    }

    fn take(mut bytes: &[u8]) -> Option<Self> {
        let id = ChunkId(array(&mut bytes)?);
        let [chunk, offset, len] = numbers(&mut bytes)?;
        Some(Self { id, chunk, offset, len })
    }
}

fn put_all(out: &mut Vec<u8>, numbers: &[u32]) {
    numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn numbers<const N: usize>(bytes: &mut &[u8]) -> Option<[u32; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = u32::from_le_bytes(array(bytes)?);
    }
    Some(numbers)
}
