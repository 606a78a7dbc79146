//! A pack in the making.

use std::sync::Arc;

use zeroize::Zeroize;

use super::{check_chunks, corrupt};
use crate::crypto::{Keyring, PackSealer, SEAL_OVERHEAD};
use crate::error::{Error, Kind, Result};
use crate::format;
use crate::frame::{self, Compressed};
use crate::limits;
use crate::model::{
    Base, Chunk, Class, Footer, Frame, FrameKind, PACK_HEADER_LEN, PackId, PackInfo, Purpose,
};

/// A compressed frame on its way into a pack.
#[derive(Debug, Clone)]
pub struct NewFrame {
    pub compressed: Compressed,
    /// The chunks of the plaintext, in order.
    pub chunks: Vec<Chunk>,
    /// What the prefix is made of; empty for a full frame.
    pub bases: Vec<Base>,
    /// The bytes of `bases` end to end, for a delta frame. To find faults of memory they are
    /// another copy than the one the frame was compressed against, named anew.
    pub prefix: Option<Arc<Vec<u8>>>,
}

impl NewFrame {
    /// A frame that expands by itself.
    #[must_use]
    pub fn full(compressed: Compressed, chunks: Vec<Chunk>) -> Self {
        Self { compressed, chunks, bases: Vec::new(), prefix: None }
    }

    fn kind(&self) -> FrameKind {
        if self.prefix.is_some() { FrameKind::Delta } else { FrameKind::Full }
    }

    /// Bytes the frame takes in a pack.
    #[must_use]
    pub fn sealed_len(&self) -> usize {
        self.compressed.payload.len().saturating_add(SEAL_OVERHEAD)
    }

    /// The frame as the footer will tell it.
    fn table_row(&self) -> Result<Frame> {
        let number = |count: usize| {
            u32::try_from(count).map_err(|_| Error::new(Kind::Input, "a frame is too long"))
        };
        Ok(Frame {
            sealed_len: number(self.sealed_len())?,
            plain_len: self.compressed.plain_len,
            chunk_count: number(self.chunks.len())?,
            base_count: number(self.bases.len())?,
            kind: self.kind(),
            codec: self.compressed.codec,
            level: self.compressed.level,
        })
    }
}

/// Lays out one pack: places frames, whose seals other threads make, and gives the footer.
pub struct PackBuilder {
    sealer: Arc<PackSealer>,
    footer: Footer,
    /// Bytes of the header and of the frames placed so far.
    len: u64,
    /// Bytes that were hashed, and their hash.
    hashed_len: u64,
    hasher: blake3::Hasher,
}

/// A frame that has its place in a pack.
pub struct PlacedFrame {
    sealer: Arc<PackSealer>,
    position: u64,
    row: Frame,
    frame: NewFrame,
}

impl PackBuilder {
    /// Begins a pack; its first bytes are [`PackBuilder::header`].
    #[must_use]
    pub fn new(sealer: PackSealer) -> Self {
        let footer = Footer {
            class: sealer.class(),
            purpose: sealer.purpose(),
            frames: Vec::new(),
            chunks: Vec::new(),
            bases: Vec::new(),
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&sealer.header());
        let len = u64::from(PACK_HEADER_LEN);
        Self { sealer: Arc::new(sealer), footer, len, hashed_len: len, hasher }
    }

    /// The first bytes of the pack.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        self.sealer.header().to_vec()
    }

    /// Bytes of the pack with all frames placed so far, without its footer.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if no frame was placed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.footer.frames.is_empty()
    }

    /// Frames so far.
    #[must_use]
    pub fn frame_count(&self) -> usize {
        self.footer.frames.len()
    }

    /// Chunks so far.
    #[must_use]
    pub fn chunk_count(&self) -> usize {
        self.footer.chunks.len()
    }

    /// Bases so far.
    #[must_use]
    pub fn base_count(&self) -> usize {
        self.footer.bases.len()
    }

    /// The class of the pack's chunks.
    #[must_use]
    pub fn class(&self) -> Class {
        self.footer.class
    }

    /// The purpose of the pack's chunks.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.footer.purpose
    }

    /// True if `frame` can be placed without breaking a limit of the format.
    #[must_use]
    pub fn has_room_for(&self, frame: &NewFrame) -> bool {
        let after =
            |now: usize, more: usize| u64::try_from(now.saturating_add(more)).unwrap_or(u64::MAX);
        let frame_count = after(self.frame_count(), 1);
        let chunk_count = after(self.chunk_count(), frame.chunks.len());
        let base_count = after(self.footer.bases.len(), frame.bases.len());
        let sealed = after(0, frame.sealed_len());
        let table = 48_u64.saturating_mul(chunk_count.saturating_add(base_count));
        // The footer of that many rows, rounded up, and its padding.
        let footer = table.saturating_add(frame_count.saturating_mul(20)).saturating_add(1 << 18);
        frame_count <= u64::from(limits::PACK_FRAME_COUNT_MAX)
            && chunk_count <= u64::from(limits::PACK_CHUNK_COUNT_MAX)
            && base_count <= u64::from(limits::PACK_BASE_COUNT_MAX)
            && self.len.saturating_add(sealed).saturating_add(footer) <= limits::PACK_LEN_MAX
    }

    /// Gives a frame the next place of the pack. Its seal must follow through
    /// [`PackBuilder::append`], in the same order.
    ///
    /// # Errors
    /// `Input` if there is no room.
    pub fn place(&mut self, frame: NewFrame) -> Result<PlacedFrame> {
        if !self.has_room_for(&frame) {
            return Err(Error::new(Kind::Input, "the pack is full"));
        }
        let row = frame.table_row()?;
        let position = self.len;
        self.len = position.saturating_add(u64::from(row.sealed_len));
        self.footer.frames.push(row);
        self.footer.chunks.extend_from_slice(&frame.chunks);
        self.footer.bases.extend_from_slice(&frame.bases);
        Ok(PlacedFrame { sealer: Arc::clone(&self.sealer), position, row, frame })
    }

    /// Takes note of the sealed bytes of the next placed frame, which now stand in the pack.
    pub fn append(&mut self, sealed: &[u8]) {
        self.hasher.update(sealed);
        self.hashed_len =
            self.hashed_len.saturating_add(u64::try_from(sealed.len()).unwrap_or(u64::MAX));
    }

    /// Ends the pack: the bytes to append last, and what an index segment tells of it.
    ///
    /// # Errors
    /// `Input` if the pack has no frame, or one that was not appended; `Corrupt` if the footer does not come back as it went in.
    pub fn finish(mut self, keyring: &Keyring) -> Result<(Vec<u8>, PackInfo)> {
        if self.is_empty() {
            return Err(Error::new(Kind::Input, "a pack without frames"));
        }
        if self.hashed_len != self.len {
            return Err(Error::new(Kind::Input, "a frame of the pack was not appended"));
        }
        let body = format::footer::encode(&self.footer)?;
        let tail = self.sealer.seal_footer(self.len, &body)?;
        let (sealed, _) =
            tail.split_last_chunk::<8>().ok_or_else(|| corrupt("a footer is too short"))?;
        if keyring.open_footer(&self.sealer.header(), self.len, sealed)? != body {
            return Err(corrupt("a footer does not come back as it was sealed"));
        }
        self.hasher.update(&tail);
        let too_long = |_| Error::new(Kind::Input, "a footer is too long");
        let info = PackInfo {
            id: PackId(*self.hasher.finalize().as_bytes()),
            pack_len: self.len.saturating_add(u64::try_from(tail.len()).map_err(too_long)?),
            footer_sealed_len: u32::try_from(sealed.len()).map_err(too_long)?,
            epoch: self.sealer.epoch(),
            salt: self.sealer.salt(),
            footer: self.footer,
        };
        if info.pack_len > limits::PACK_LEN_MAX {
            return Err(Error::new(Kind::Input, "a pack is too long"));
        }
        Ok((tail, info))
    }
}

/// A sealed frame, and the memory it was made in.
#[derive(Debug)]
pub struct SealedFrame {
    pub bytes: Vec<u8>,
    /// What they hold means nothing.
    pub rooms: [Vec<u8>; 2],
}

impl PlacedFrame {
    /// Seals the frame in the memory of `rooms`, which hold nothing that matters. It is opened, expanded and
    /// its chunks are named again before it is given out.
    ///
    /// # Errors
    /// `Corrupt` if the frame does not come back as it went in, which is a fault of memory, processor
    /// or codec; `Refused` if the class' keys are not here.
    pub fn seal(mut self, keyring: &Keyring, rooms: [Vec<u8>; 2]) -> Result<SealedFrame> {
        let [mut sealed, mut room] = rooms;
        let Frame { kind, codec, plain_len, .. } = self.row;
        let payload = &self.frame.compressed.payload;
        self.sealer.seal_frame(self.position, kind, codec, plain_len, payload, &mut sealed)?;
        let checked = self.check(&sealed, &mut room, keyring);
        if self.sealer.class() == Class::S {
            room.zeroize();
        }
        checked.map_err(|error| match error.kind() {
            Kind::Corrupt => error.context(
                "a frame does not come back as it was sealed (a fault of memory or processor?)",
            ),
            _ => error,
        })?;
        self.wipe();
        let payload = std::mem::take(&mut self.frame.compressed.payload);
        Ok(SealedFrame { bytes: sealed, rooms: [payload, room] })
    }

    /// Opens into the room what was sealed, and expands that to where the payload was. So nothing is
    /// taken for what came out that has stood there since before.
    fn check(&mut self, sealed: &[u8], room: &mut Vec<u8>, keyring: &Keyring) -> Result<()> {
        let Frame { kind, codec, plain_len, .. } = self.row;
        let NewFrame { compressed, prefix, chunks, .. } = &mut self.frame;
        let opener = self.sealer.opener();
        opener.open_frame(self.position, kind, codec, plain_len, sealed, room)?;
        let prefix = prefix.as_ref().map(|prefix| prefix.as_slice());
        let plain = frame::expand_in(codec, room, plain_len, prefix, &mut compressed.payload)?;
        check_chunks(keyring, self.sealer.class(), self.sealer.purpose(), plain, chunks)
    }

    /// Leaves no secret in memory that others get.
    fn wipe(&mut self) {
        if self.sealer.class() == Class::S {
            self.frame.compressed.payload.zeroize();
        }
    }
}

impl Drop for PlacedFrame {
    fn drop(&mut self) {
        self.wipe();
    }
}
