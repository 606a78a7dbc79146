//! Delta frames: compressed against old bytes, or full if that saves too little.

use std::sync::Arc;

use super::{FrameJob, Writing, framer};
use crate::error::Result;
use crate::frame::{self, Compressed};
use crate::model::Base;
use crate::pack::NewFrame;
use crate::repo::bases::{BaseLoader, CachedBases};
use crate::repo::{Known, Repository, Tuning};

/// A difference that grows by less than one part in so many is taken for one that does not.
const ROUNDS_MAX: u64 = 24;

/// What makes delta frames.
pub(super) struct Deltas<'r> {
    known: Known<'r>,
    repo: &'r Repository,
    bases: BaseLoader<'r>,
    zstd_level: i32,
    may_be: bool,
}

impl<'r> Deltas<'r> {
    pub(super) fn new(
        repo: &'r Repository,
        known: Known<'r>,
        writing: Writing,
        cached: Option<Arc<CachedBases<'r>>>,
    ) -> Self {
        // The quicker strategies of zstd lose sight of a prefix as long as this: at level 1 a difference
        // takes as much as the frame itself.
        let may_be = writing.has_deltas() && known.index.entry_count() > 0;
        let zstd_level = writing.zstd_level.max(Tuning::default().zstd_level);
        Self { repo, known, bases: BaseLoader::new(repo, known, cached), zstd_level, may_be }
    }

    /// True if there is anything that a difference could be from.
    pub(super) fn may_be(&self) -> bool {
        self.may_be
    }

    /// The job as a frame: a delta, or full if its bases cannot be had or the time has come.
    pub(super) fn compress(&self, job: FrameJob, full: &Full<'_>) -> Result<framer::Compressed> {
        let Some((compressed, prefix)) = self.delta(&job) else { return full(job) };
        let FrameJob { class, purpose, kind, plain, chunks, older } = job;
        let prefix = Some(Arc::new(prefix));
        let frame = NewFrame { compressed, chunks, bases: older.bases, prefix };
        Ok(framer::Compressed { class, purpose, kind, frame, room: plain })
    }

    /// The difference, with the bytes to prove it by; none if the job is better stored anew.
    fn delta(&self, job: &FrameJob) -> Option<(Compressed, Vec<u8>)> {
        // Whatever is wrong with old bytes, new ones can be stored without them.
        let loaded = self.bases.load(job.class, &job.older.bases).ok()?;
        let prefix = || loaded.prefix(self.repo.keyring(), &job.older.bases).ok();
        let compressed = frame::compress_delta(&job.plain, &prefix()?, self.zstd_level).ok()?;
        let len = compressed.payload.len() as u64;
        if is_due(len, job.older.delta_len.into(), self.full_len(&job.older.bases)) {
            return None;
        }
        Some((compressed, prefix()?))
    }

    /// Bytes that the bases took, which is what the job would take, about.
    fn full_len(&self, bases: &[Base]) -> u64 {
        let share = |base: &Base| {
            self.known.full_place(&base.id).map_or(0, |place| {
                u64::from(place.frame.sealed_len) * u64::from(base.len)
                    / u64::from(place.frame.plain_len.max(1))
            })
        };
        bases.iter().map(share).sum()
    }
}

/// Compresses a job by itself.
pub(super) type Full<'f> = dyn Fn(FrameJob) -> Result<framer::Compressed> + 'f;

/// True if bytes are better stored anew, which takes `full_len` bytes, than as a difference of `len`, when
/// the one before took `before`.
///
/// A difference grows by about d with each round, since it is always from what was stored full. Storing full
/// every k rounds costs `full_len` / k + d k / 2 in a round, least for k = √(2 `full_len` / d): when the difference,
/// d k, has reached √(2 `full_len` d). Changes that come to the same places again and again do not grow: what
/// little they seem to is chance.
fn is_due(len: u64, before: u64, full_len: u64) -> bool {
    let grown = len.saturating_sub(before);
    let grows = grown.saturating_mul(ROUNDS_MAX) >= len;
    let is_worth_it = || u128::from(len).pow(2) >= 2 * u128::from(full_len) * u128::from(grown);
    len > full_len / 2 || grows && is_worth_it()
}

#[cfg(test)]
mod tests {
    use super::is_due;

    #[test]
    fn storing_full_again_costs_the_least_over_the_rounds() {
        let (full_len, grown) = (30_000, 300);
        let cost = |period: u64| {
            let deltas: u64 = (1..period).map(|round| round * grown).sum();
            (full_len + deltas) as f64 / period as f64
        };
        let chosen = (2..).find(|round| is_due(round * grown, (round - 1) * grown, full_len));
        let best = (1..100).min_by(|a, b| cost(*a).total_cmp(&cost(*b)));
        assert!(cost(chosen.unwrap()) <= cost(best.unwrap()) * 1.01, "{chosen:?} {best:?}");
    }

    #[test]
    fn a_difference_above_half_is_stored_full_and_one_that_does_not_grow_never() {
        assert!(is_due(15_001, 0, 30_000));
        assert!(!is_due(15_000, 0, 30_000));
        assert!(!is_due(14_000, 14_000, 30_000));
        assert!(!is_due(14_000, 14_500, 30_000));
    }
}
