//! A pack in the making.

use std::sync::Arc;

use rayon::prelude::*;

use super::{check_chunks, corrupt};
use crate::crypto::{Keyring, PackOpener, PackSealer, SEAL_OVERHEAD};
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
    /// The bytes of `bases` end to end, for a delta frame. To find faults of memory they are best
    /// read a second time, not those the frame was compressed against.
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

/// Seals frames into one pack, and opens every one again before it is given out.
pub struct PackBuilder {
    sealer: PackSealer,
    opener: PackOpener,
    footer: Footer,
    /// Bytes given out so far, and their hash.
    len: u64,
    hasher: blake3::Hasher,
}

impl PackBuilder {
    /// Begins an empty pack.
    #[must_use]
    pub fn new(sealer: PackSealer) -> Self {
        let footer = Footer {
            class: sealer.class(),
            purpose: sealer.purpose(),
            frames: Vec::new(),
            chunks: Vec::new(),
            bases: Vec::new(),
        };
        let opener = sealer.opener();
        Self { sealer, opener, footer, len: 0, hasher: blake3::Hasher::new() }
    }

    /// Bytes of the pack so far, without its footer.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if no frame was appended yet.
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

    /// True if `frames` can be appended without breaking a limit of the format.
    #[must_use]
    pub fn has_room_for(&self, frames: &[NewFrame]) -> bool {
        let after = |now: usize, count: fn(&NewFrame) -> usize| {
            let sum = frames.iter().map(count).fold(now, usize::saturating_add);
            u64::try_from(sum).unwrap_or(u64::MAX)
        };
        let frame_count = after(self.frame_count(), |_| 1);
        let chunk_count = after(self.chunk_count(), |frame| frame.chunks.len());
        let base_count = after(self.footer.bases.len(), |frame| frame.bases.len());
        let sealed = after(0, NewFrame::sealed_len);
        let table = 48_u64.saturating_mul(chunk_count.saturating_add(base_count));
        // The footer of that many rows, rounded up, and its padding.
        let footer = table.saturating_add(frame_count.saturating_mul(20)).saturating_add(1 << 18);
        frame_count <= u64::from(limits::PACK_FRAME_COUNT_MAX)
            && chunk_count <= u64::from(limits::PACK_CHUNK_COUNT_MAX)
            && base_count <= u64::from(limits::PACK_BASE_COUNT_MAX)
            && self.len.saturating_add(sealed).saturating_add(footer) <= limits::PACK_LEN_MAX
    }

    /// Seals `frames` in parallel; each is opened, expanded and its chunks named again. Returns
    /// the bytes to append to the stored object. After an error the pack is as it was.
    ///
    /// # Errors
    /// `Input` if there is no room; `Corrupt` if a frame does not come back as it went in, which
    /// is a fault of memory, processor or codec; `WrongKey` if the class' keys are not here.
    pub fn append(&mut self, frames: &[NewFrame], keyring: &Keyring) -> Result<Vec<u8>> {
        if !self.has_room_for(frames) {
            return Err(Error::new(Kind::Input, "the pack is full"));
        }
        let header = if self.len == 0 { self.sealer.header().to_vec() } else { Vec::new() };
        let mut position = self.len.max(u64::from(PACK_HEADER_LEN));
        let mut placed = Vec::with_capacity(frames.len());
        for new in frames {
            let row = new.table_row()?;
            placed.push((position, row, new));
            position = position.saturating_add(u64::from(row.sealed_len));
        }
        let seal = |(position, row, new): &(u64, Frame, &NewFrame)| {
            self.seal_frame(*position, row, new, keyring)
        };
        let sealed: Vec<Vec<u8>> = placed.par_iter().map(seal).collect::<Result<_>>()?;

        let sealed_len = sealed.iter().map(Vec::len).fold(header.len(), usize::saturating_add);
        let mut bytes = Vec::with_capacity(sealed_len);
        bytes.extend_from_slice(&header);
        sealed.iter().for_each(|frame| bytes.extend_from_slice(frame));
        self.hasher.update(&bytes);
        self.len = position;
        for (_, row, new) in placed {
            self.footer.frames.push(row);
            self.footer.chunks.extend_from_slice(&new.chunks);
            self.footer.bases.extend_from_slice(&new.bases);
        }
        Ok(bytes)
    }

    fn seal_frame(
        &self,
        position: u64,
        row: &Frame,
        new: &NewFrame,
        keyring: &Keyring,
    ) -> Result<Vec<u8>> {
        let Frame { kind, codec, plain_len, .. } = *row;
        let payload = &new.compressed.payload;
        let sealed = self.sealer.seal_frame(position, kind, codec, plain_len, payload)?;
        let prefix = new.prefix.as_ref().map(|prefix| prefix.as_slice());
        let check = || -> Result<()> {
            let payload = self.opener.open_frame(position, kind, codec, plain_len, &sealed)?;
            let plain = frame::expand(codec, payload, plain_len, prefix)?;
            check_chunks(keyring, self.class(), self.purpose(), &plain, &new.chunks)
        };
        check().map_err(|error| match error.kind() {
            Kind::Corrupt => error.context(
                "a frame does not come back as it was sealed (a fault of memory or processor?)",
            ),
            _ => error,
        })?;
        Ok(sealed)
    }

    /// Ends the pack: the bytes to append last, and what an index segment tells of it.
    ///
    /// # Errors
    /// `Input` if the pack has no frame; `Corrupt` if the footer does not come back as it went in.
    pub fn finish(mut self, keyring: &Keyring) -> Result<(Vec<u8>, PackInfo)> {
        if self.is_empty() {
            return Err(Error::new(Kind::Input, "a pack without frames"));
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
