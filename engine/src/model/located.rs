//! Where a frame and a chunk stand: what one request needs to read them.

use std::ops::Range;

use super::{Base, Chunk, Class, Codec, Footer, Frame, FrameKind, PackId, PackInfo, Purpose};

/// Bytes of a pack before its first frame.
pub const PACK_HEADER_LEN: u32 = 40;

/// A pack without its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackMeta {
    pub id: PackId,
    /// Bytes of the whole object.
    pub pack_len: u64,
    /// Bytes of the sealed footer, without the 8 after it.
    pub footer_sealed_len: u32,
    pub epoch: u32,
    pub salt: [u8; 32],
    pub class: Class,
    pub purpose: Purpose,
}

/// A frame in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FramePlace {
    /// Bytes before the frame in the pack.
    pub position: u32,
    pub sealed_len: u32,
    pub plain_len: u32,
    pub kind: FrameKind,
    pub codec: Codec,
}

/// Number of a pack in one index; means nothing outside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackNumber(pub u32);

/// One stored copy of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub pack: PackNumber,
    pub frame: FramePlace,
    /// Bytes before the chunk in the frame's plaintext.
    pub offset: u32,
    pub len: u32,
}

/// One frame of a footer with what belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    pub place: FramePlace,
    pub chunks: &'a [Chunk],
    pub bases: &'a [Base],
}

impl PackInfo {
    /// The pack without its table.
    #[must_use]
    pub fn meta(&self) -> PackMeta {
        PackMeta {
            id: self.id,
            pack_len: self.pack_len,
            footer_sealed_len: self.footer_sealed_len,
            epoch: self.epoch,
            salt: self.salt,
            class: self.footer.class,
            purpose: self.footer.purpose,
        }
    }
}

impl Footer {
    /// The frames in order, each with its place, chunks and bases. Counts that do not agree give
    /// empty slices, never a panic.
    pub fn views(&self) -> impl Iterator<Item = FrameView<'_>> {
        let (mut position, mut chunk, mut base) = (PACK_HEADER_LEN, 0_u32, 0_u32);
        self.frames.iter().map(move |frame| {
            let Frame { sealed_len, plain_len, kind, codec, .. } = *frame;
            let place = FramePlace { position, sealed_len, plain_len, kind, codec };
            let chunks = take(&self.chunks, &mut chunk, frame.chunk_count);
            let bases = take(&self.bases, &mut base, frame.base_count);
            position = position.saturating_add(sealed_len);
            FrameView { place, chunks, bases }
        })
    }
}

impl FrameView<'_> {
    /// The chunks, each with its range of the frame's plaintext.
    pub fn ranges(&self) -> impl Iterator<Item = (&Chunk, Range<u32>)> {
        let mut start = 0_u32;
        self.chunks.iter().map(move |chunk| {
            let range = start..start.saturating_add(chunk.len);
            start = range.end;
            (chunk, range)
        })
    }
}

fn take<'a, T>(all: &'a [T], start: &mut u32, count: u32) -> &'a [T] {
    let from = *start;
    *start = from.saturating_add(count);
    let range = usize::try_from(from).ok().zip(usize::try_from(*start).ok());
    range.and_then(|(from, to)| all.get(from..to)).unwrap_or_default()
}
