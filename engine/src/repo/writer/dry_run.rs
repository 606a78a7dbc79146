//! What a run remembers of chunks that it does not store.

use super::{ChunkWriter, FRAME_CHUNK_COUNT_MAX};
use crate::model::{
    Chunk, ChunkId, Class, Codec, Footer, Frame, FrameKind, PackId, PackInfo, Purpose,
};

impl ChunkWriter<'_> {
    /// Remembers a chunk that is not stored; what would be a frame of them leaves memory.
    pub(super) fn imagine(&mut self, id: ChunkId) {
        self.seen.insert(id);
        if self.seen.len() < FRAME_CHUNK_COUNT_MAX {
            return;
        }
        let chunks: Vec<Chunk> = self.seen.drain().map(|id| Chunk { id, len: 1 }).collect();
        let frame = Frame {
            sealed_len: 0,
            plain_len: 0,
            chunk_count: u32::try_from(chunks.len()).unwrap_or(u32::MAX),
            base_count: 0,
            kind: FrameKind::Full,
            codec: Codec::Raw,
            level: 0,
        };
        let (class, purpose) = (Class::Ordinary, Purpose::Data);
        let footer = Footer { class, purpose, frames: vec![frame], chunks, bases: Vec::new() };
        // No other such pack has this chunk.
        let id = PackId(id.0);
        let (pack_len, footer_sealed_len, epoch, salt) = (0, 0, 0, [0; 32]);
        self.own.add(&PackInfo { id, pack_len, footer_sealed_len, epoch, salt, footer });
    }
}
