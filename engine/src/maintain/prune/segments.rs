//! Merging index segments: small ones, and those that name deleted packs.

use crate::error::Result;
use crate::fence::View;
use crate::model::{PackInfo, SegmentId};
use crate::observe::Observer;
use crate::repo::Repository;

/// More small segments than this are merged.
const SMALL_COUNT_MAX: usize = 16;
/// A segment below this is small, bytes.
const SMALL_LEN: u64 = 256 << 10;
/// Chunks and bases of a merged segment at most, unless one pack has more: about 9 MB.
const MERGED_ROW_COUNT: usize = 200_000;

/// Writes merged segments without deleted packs for those that name one and, if there are many, for small
/// ones; then deletes exactly the segments merged. How many were deleted.
///
/// # Errors
/// Those of the store; what was written until then is named twice, which harms nothing.
pub(super) fn merge(repo: &Repository, view: &View, observer: &dyn Observer) -> Result<u64> {
    let segments = repo.segments()?;
    let small = segments.iter().filter(|(_, len)| *len < SMALL_LEN).count();
    let merges_small = small > SMALL_COUNT_MAX;
    if !merges_small {
        let index = repo.load_index(observer)?;
        if !view.deleted().iter().any(|pack| index.find_pack(pack).is_some()) {
            return Ok(0);
        }
    }
    let mut merged: Vec<SegmentId> = Vec::new();
    let mut packs: Vec<PackInfo> = Vec::new();
    for (segment, len) in segments {
        let told = match repo.load_segment(segment) {
            Ok(told) => told,
            // Another prune has merged it, or it is damaged: then it stays as it is.
            Err(error) if error.kind().is_damage() => continue,
            Err(error) => return Err(error),
        };
        let names_deleted = told.iter().any(|pack| view.is_deleted(&pack.id));
        if names_deleted || (merges_small && len < SMALL_LEN) {
            merged.push(segment);
            for pack in told.into_iter().filter(|pack| !view.is_deleted(&pack.id)) {
                if rows(&packs) + rows(std::slice::from_ref(&pack)) > MERGED_ROW_COUNT {
                    save(repo, &mut packs)?;
                }
                packs.push(pack);
            }
        }
    }
    save(repo, &mut packs)?;
    for segment in &merged {
        repo.store().delete(&format!("index/{segment}"))?;
    }
    Ok(merged.len() as u64)
}

fn rows(packs: &[PackInfo]) -> usize {
    packs.iter().map(|pack| pack.footer.chunks.len() + pack.footer.bases.len()).sum()
}

fn save(repo: &Repository, packs: &mut Vec<PackInfo>) -> Result<()> {
    packs.sort_unstable_by_key(|pack| pack.id);
    packs.dedup_by_key(|pack| pack.id);
    if !packs.is_empty() {
        repo.save_segment(packs)?;
        packs.clear();
    }
    Ok(())
}
