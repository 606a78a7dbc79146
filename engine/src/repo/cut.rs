//! Cutting and naming: what the readers of a backup do with content.

use crate::chunk::Cutter;
use crate::crypto::Keyring;
use crate::error::Result;
use crate::model::{ChunkId, Class};

/// Cuts and names as many chunks as `bytes` give; `end` says that no more follow. Returns the bytes
/// used.
///
/// # Errors
/// When the class's keys are absent.
pub fn cut(
    (keyring, class): (&Keyring, Class),
    cutter: &Cutter,
    bytes: &[u8],
    end: bool,
    chunks: &mut Vec<(ChunkId, u32)>,
) -> Result<usize> {
    let mut used = 0;
    while used < bytes.len() {
        let Some(len) = cutter.cut(&bytes[used..], end) else { break };
        let chunk = &bytes[used..used + len];
        chunks.push((keyring.data_id(class, chunk)?, len as u32));
        used += len;
    }
    Ok(used)
}

/// Threads that read, cut and name.
#[must_use]
pub fn reader_count() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).min(16)
}
