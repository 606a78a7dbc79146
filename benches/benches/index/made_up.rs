//! Segments of a repository that does not exist, the same at every run and made when asked for.

use std::cell::Cell;
use std::ops::Range;
use std::time::{Duration, Instant};

use coffer_engine::model::*;

/// Chunks after which a writer puts a segment.
const SEGMENT_CHUNK_COUNT: u64 = 100_000;
/// Frames of 4 MiB hold so many chunks of 64 KiB.
const FRAME_CHUNK_COUNT: usize = 64;
const CHUNK_LEN: u32 = 64 << 10;

/// Segments and packs, of consecutive chunks.
pub struct MadeUp {
    pack_chunk_count: u64,
    /// The chunks of each pack.
    packs: Vec<Range<u64>>,
    /// The packs of each segment.
    segments: Vec<Range<usize>>,
    took: Cell<Duration>,
}

impl MadeUp {
    pub fn new(pack_chunk_count: u64) -> Self {
        let pack_chunk_count = pack_chunk_count.clamp(1, SEGMENT_CHUNK_COUNT);
        Self { pack_chunk_count, packs: Vec::new(), segments: Vec::new(), took: Cell::default() }
    }

    pub fn chunk_count(&self) -> u64 {
        self.packs.last().map_or(0, |pack| pack.end)
    }

    /// Adds `new` chunks as one backup stores them; gives its packs.
    pub fn grow(&mut self, new: u64) -> Range<usize> {
        let (first, end) = (self.packs.len(), self.chunk_count() + new);
        while self.chunk_count() < end {
            let (start, pack) = (self.chunk_count(), self.packs.len());
            self.packs.push(start..end.min(start + self.pack_chunk_count));
            match self.segments.last_mut() {
                Some(last)
                    if last.start >= first
                        && start - self.packs[last.start].start < SEGMENT_CHUNK_COUNT =>
                {
                    last.end += 1;
                }
                _ => self.segments.push(pack..pack + 1),
            }
        }
        first..self.packs.len()
    }

    /// As a listing shows them.
    pub fn segments(&self) -> Vec<(SegmentId, u64)> {
        let mut segments: Vec<_> =
            (0_u64..).zip(&self.segments).map(|(at, _)| (segment_id(at), 4 << 20)).collect();
        segments.sort_unstable();
        segments
    }

    pub fn segment(&self, id: &SegmentId) -> Vec<PackInfo> {
        let start = Instant::now();
        let number = u64::from_le_bytes(*id.0.last_chunk().unwrap()) as usize;
        let packs = self.segments[number].clone().map(|pack| self.pack(pack)).collect();
        self.took.set(self.took.get() + start.elapsed());
        packs
    }

    /// The time it took to make up segments.
    pub fn took(&self) -> Duration {
        self.took.get()
    }

    pub fn pack(&self, number: usize) -> PackInfo {
        let chunks = self.packs[number].clone();
        let chunks = chunks.map(|it| Chunk { id: chunk_id(it), len: CHUNK_LEN });
        let chunks: Vec<Chunk> = chunks.collect();
        let frames = chunks.chunks(FRAME_CHUNK_COUNT).map(|chunks| Frame {
            sealed_len: 1 << 20,
            plain_len: chunks.len() as u32 * CHUNK_LEN,
            chunk_count: chunks.len() as u32,
            base_count: 0,
            kind: FrameKind::Full,
            codec: Codec::Zstd,
            level: 3,
        });
        let frames = frames.collect();
        let (class, purpose) = (Class::Ordinary, Purpose::Data);
        PackInfo {
            id: PackId(bytes(1, number as u64)),
            pack_len: 32 << 20,
            footer_sealed_len: 4096,
            epoch: 0,
            salt: bytes(2, number as u64),
            footer: Footer { class, purpose, frames, chunks, bases: Vec::new() },
        }
    }
}

pub fn chunk_id(number: u64) -> ChunkId {
    ChunkId(bytes(0, number))
}

/// Ends with its number.
fn segment_id(number: u64) -> SegmentId {
    let mut id = bytes(3, number);
    *id.last_chunk_mut().unwrap() = number.to_le_bytes();
    SegmentId(id)
}

/// Bytes that look drawn at random.
fn bytes(kind: u64, number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut state = mix(number ^ kind << 60);
    for part in bytes.chunks_exact_mut(8) {
        state = mix(state);
        part.copy_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// One step of SplitMix64.
pub fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
