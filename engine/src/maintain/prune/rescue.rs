//! What condemned packs must give back.

use std::collections::HashSet;

use super::mark::{Needed, absent, stop_if_asked, walk};
use super::stored::{Stored, places, vanished};
use crate::error::Result;
use crate::index::Marks;
use crate::model::{ChunkId, PackId, PackNumber, Place};
use crate::observe::Observer;
use crate::repo::{ChunkReader, Repository};

/// What a mark has found, which holds for the process that made it.
pub(super) struct Marked<'m> {
    pub live: &'m Marks<'m>,
    /// What was there when everything marked was proven to resolve in packs that are kept.
    pub proven_by: &'m Stored,
}

impl Marked<'_> {
    /// True if every pack that counted then, and is not condemned, counts in `now`: none has vanished or was recorded as
    /// bad since, so that everything marked still resolves.
    fn holds(&self, now: &Stored, condemned: &HashSet<PackId>) -> bool {
        let counts = |id: &PackId| now.index.find_pack(id).is_some_and(|number| now.counts(number));
        let then = self.proven_by.index.packs();
        let mut kept = then.filter(|(number, pack)| {
            self.proven_by.counts(*number) && !condemned.contains(&pack.id)
        });
        kept.all(|(_, pack)| counts(&pack.id))
    }
}

/// Takes out of `condemned` every pack that is needed for `needed`: afterwards each of its chunks has a copy, and every
/// base of that copy's frame a full one, in packs that are kept. What `marked` knows resolves so already.
///
/// # Errors
/// `Corrupt` when a chunk does not resolve at all; those of the store. Nothing has been given up then.
pub(super) fn rescue(
    repo: &Repository,
    stored: &Stored,
    needed: &[&Needed],
    marked: Option<&Marked<'_>>,
    condemned: &mut HashSet<PackId>,
    observer: &dyn Observer,
) -> Result<()> {
    let reader = ChunkReader::new(repo, stored.index.clone());
    let marked = marked.filter(|marked| marked.holds(stored, condemned));
    let mut given_up: HashSet<PackNumber> = stored.numbers(condemned);
    let mut seen = Marks::new(&stored.index);
    let is_known = |id: &ChunkId| marked.is_some_and(|marked| marked.live.contains(id));
    let outcome = walk(&reader, needed, (&mut seen, &is_known), observer, &mut |id, _| {
        keep(stored, id, &mut given_up)
    });
    condemned.retain(|pack| {
        stored.index.find_pack(pack).is_none_or(|number| given_up.contains(&number))
    });
    outcome
}

/// Makes one chunk resolve without the packs in `given_up`, which loses those it takes.
fn keep(stored: &Stored, id: &ChunkId, given_up: &mut HashSet<PackNumber>) -> Result<()> {
    if stored.copy(id, &|pack| !given_up.contains(&pack)).is_some() {
        return Ok(());
    }
    let place: Place = stored.copy(id, &|_| true).ok_or_else(|| absent(id))?;
    given_up.remove(&place.pack);
    for base in stored.index.bases(&place) {
        if stored.full(&base, &|pack| !given_up.contains(&pack)).is_none() {
            let full = stored.full(&base, &|_| true).ok_or_else(|| absent(&base.id))?;
            given_up.remove(&full.pack);
        }
    }
    Ok(())
}

/// Proves, before anything is condemned, that everything marked resolves in packs that are kept. `before` is what was
/// marked by, `now` what the store has since then.
///
/// # Errors
/// `Corrupt` naming a chunk that does not: a fault of this program, or packs that vanished meanwhile. `Unavailable`
/// when segments vanished: another prune merges them.
pub(super) fn prove(
    (repo, observer): (&Repository, &dyn Observer),
    before: &Stored,
    live: &Marks<'_>,
    now: &Stored,
    condemned: &HashSet<PackId>,
) -> Result<()> {
    let given_up = now.numbers(condemned);
    let mut proven = Marks::new(&before.index);
    before.each_pack(repo, &mut |number, pack| {
        stop_if_asked(observer)?;
        for frame in pack.footer.views() {
            for (id, _) in places(number, &frame) {
                if !live.contains(&id) || !proven.insert(&id) {
                    continue;
                }
                if now.copy(&id, &|pack| !given_up.contains(&pack)).is_none() {
                    return Err(absent(&id));
                }
            }
        }
        Ok(())
    })?;
    if proven.count() == live.count() {
        return Ok(());
    }
    Err(vanished())
}
