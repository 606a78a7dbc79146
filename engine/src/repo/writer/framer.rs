//! The stage that compresses, seals and verifies frames and appends them to open packs.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender};
use rayon::prelude::*;

use super::FrameJob;
use crate::error::{Error, Kind, Result};
use crate::frame;
use crate::model::{Class, Entropy, PackInfo, Purpose};
use crate::pack::{NewFrame, PackBuilder};
use crate::repo::Repository;
use crate::store::Staged;

/// Target of a metadata pack, bytes.
const METADATA_PACK_LEN: u64 = 4 << 20;
/// Chunks after which a pack is closed, well below the limit of the format.
const PACK_CHUNK_COUNT: usize = 65_536;
/// Frames taken at once, so that plaintext, payload and seal of all of them stay within 100 MiB.
const FRAMES_AT_ONCE_MAX: usize = 8;

/// A pack whose bytes are all in its staged object.
pub(super) struct FinishedPack {
    pub staged: Staged,
    pub info: PackInfo,
}

struct OpenPack {
    class: Class,
    purpose: Purpose,
    builder: PackBuilder,
    staged: Staged,
    target_len: u64,
}

/// The stage, with where its packs go.
pub(super) struct Framer<'r> {
    pub repo: &'r Repository,
    pub entropy: Entropy,
    pub packs: Sender<FinishedPack>,
    /// Tells the writer which chunks are in a pack by now.
    pub told: Sender<PackInfo>,
    /// Bytes put into packs.
    pub stored: &'r AtomicU64,
}

impl Framer<'_> {
    /// Works until the queue of frames ends; then finishes the open packs.
    pub(super) fn run(self, jobs: &Receiver<FrameJob>) -> Result<()> {
        let at_once = rayon::current_num_threads().saturating_mul(2).min(FRAMES_AT_ONCE_MAX);
        let level = self.repo.config().zstd_level;
        let mut open: Vec<OpenPack> = Vec::new();
        while let Ok(first) = jobs.recv() {
            let mut batch = vec![first];
            batch.extend(jobs.try_iter().take(at_once.saturating_sub(1)));
            let frames: Result<Vec<(Class, Purpose, NewFrame)>> =
                batch.into_par_iter().map(|job| compress(job, level)).collect();
            let mut frames = frames?.into_iter().peekable();
            while let Some((class, purpose, frame)) = frames.next() {
                let mut pack = self.open_pack(&mut open, class, purpose)?;
                let mut run = vec![frame];
                // How many frames come at once is chance: where packs end must not depend on it.
                while !pack.is_full_with(&run)
                    && let Some((_, _, next)) =
                        frames.next_if(|next| (next.0, next.1) == (class, purpose))
                {
                    run.push(next);
                }
                let is_full = pack.is_full_with(&run);
                self.append(&mut pack, &run)?;
                if is_full {
                    self.finish(pack)?;
                } else {
                    open.push(pack);
                }
            }
        }
        open.sort_by_key(|pack| (pack.purpose, pack.class));
        open.into_iter().try_for_each(|pack| self.finish(pack))
    }

    fn open_pack(
        &self,
        open: &mut Vec<OpenPack>,
        class: Class,
        purpose: Purpose,
    ) -> Result<OpenPack> {
        let found = open.iter().position(|pack| pack.class == class && pack.purpose == purpose);
        if let Some(position) = found {
            return Ok(open.swap_remove(position));
        }
        let sealer = self.repo.keyring().new_pack(&self.entropy, class, purpose)?;
        let target = match purpose {
            Purpose::Metadata => METADATA_PACK_LEN,
            _ => self.repo.config().pack_len.clamp(1 << 20, 64 << 20),
        };
        Ok(OpenPack {
            class,
            purpose,
            builder: PackBuilder::new(sealer),
            staged: self.repo.store().stage()?,
            target_len: vary(target, u64::from_le_bytes(self.entropy.bytes())),
        })
    }

    fn append(&self, pack: &mut OpenPack, frames: &[NewFrame]) -> Result<()> {
        let bytes = pack.builder.append(frames, self.repo.keyring())?;
        pack.staged.append(&bytes)?;
        self.stored.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn finish(&self, pack: OpenPack) -> Result<()> {
        let OpenPack { builder, mut staged, .. } = pack;
        let (tail, info) = builder.finish(self.repo.keyring())?;
        staged.append(&tail)?;
        self.stored.fetch_add(tail.len() as u64, Ordering::Relaxed);
        // The writer may be waiting for this thread to end: it does not look then.
        let _ = self.told.send(info.clone());
        let stopped = |_| Error::new(Kind::Unavailable, "the store has stopped");
        self.packs.send(FinishedPack { staged, info }).map_err(stopped)
    }
}

impl OpenPack {
    /// True if the pack ends with these frames.
    fn is_full_with(&self, frames: &[NewFrame]) -> bool {
        let len: usize = frames.iter().map(NewFrame::sealed_len).sum();
        let chunk_count: usize = frames.iter().map(|frame| frame.chunks.len()).sum();
        self.builder.len().saturating_add(len as u64) >= self.target_len
            || self.builder.chunk_count() + chunk_count >= PACK_CHUNK_COUNT
    }
}

fn compress(job: FrameJob, level: i32) -> Result<(Class, Purpose, NewFrame)> {
    let compressed = frame::compress(job.plain, level)?;
    Ok((job.class, job.purpose, NewFrame::full(compressed, job.chunks)))
}

/// Varies a target by up to 12 % either way, so that lengths of packs tell nothing of their content.
fn vary(target: u64, random: u64) -> u64 {
    let span = target.saturating_mul(24) / 100;
    let low = target.saturating_sub(span / 2);
    low.saturating_add(random % span.max(1))
}

#[cfg(test)]
mod tests {
    use super::vary;

    #[test]
    fn a_target_varies_by_at_most_twelve_percent() {
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            let varied = vary(1000, random);
            assert!((880..=1120).contains(&varied), "{varied}");
        }
    }
}
