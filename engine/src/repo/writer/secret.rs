//! What class S asks of a writer: frames whose lengths tell little, and a list of what was given.

use std::collections::BTreeMap;

use super::{ChunkWriter, FrameJob};
use crate::crypto::{Keyring, padded_len};
use crate::error::Result;
use crate::model::{Chunk, ChunkId, Class, Purpose};

/// Chunks and nodes of class S with their lengths, bytes, whether they were new or known.
#[derive(Debug, Default)]
pub struct SecretIds {
    pub data: BTreeMap<ChunkId, u32>,
    pub nodes: BTreeMap<ChunkId, u32>,
}

impl ChunkWriter<'_> {
    /// Takes the list of what was given of class S since the last call.
    #[must_use]
    pub fn take_secret_ids(&mut self) -> SecretIds {
        std::mem::take(&mut self.secret_ids)
    }

    /// Lists a chunk or node that is given, if it is of class S.
    pub(super) fn note_secret(
        &mut self,
        class: Class,
        purpose: Purpose,
        id: ChunkId,
        plain: &[u8],
    ) {
        if class == Class::S {
            let ids = &mut self.secret_ids;
            let list = if purpose == Purpose::Data { &mut ids.data } else { &mut ids.nodes };
            // A longer one is refused before it is stored.
            list.insert(id, u32::try_from(plain.len()).unwrap_or(u32::MAX));
        }
    }
}

/// Fills a frame up with one chunk of zeros to a length that objects are padded to: whoever watches
/// which bytes are read would else learn the frame's exact length.
pub(super) fn pad(keyring: &Keyring, job: &mut FrameJob) -> Result<()> {
    let len = job.plain.len() as u64;
    let Ok(missing) = u32::try_from(padded_len(len).saturating_sub(len)) else { return Ok(()) };
    if missing > 0 {
        let zeros = vec![0; missing as usize];
        let id = keyring.chunk_id(job.class, job.purpose, &zeros)?;
        job.plain.extend_from_slice(&zeros);
        job.chunks.push(Chunk { id, len: missing });
    }
    Ok(())
}
