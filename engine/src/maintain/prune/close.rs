//! Closing an open generation: what is valid, what is rescued, what is given up.

use std::collections::{BTreeSet, HashSet};

use super::mark::Needed;
use super::rescue::{Marked, rescue};
use super::stored::Stored;
use crate::error::{Error, Kind, Result};
use crate::fence::{FULL_EVERY, Forgotten, Settled, View, newest_of_each_run};
use crate::model::{FateKind, ObjectHash, PackId, SnapshotId, SnapshotRef, SnapshotState};
use crate::observe::Observer;
use crate::repo::{Repository, parse_snapshot_name};

/// The snapshot objects that a close after the highest would keep, and those it would drop.
pub(super) struct Objects {
    /// Each with what it needs, and whether it is more than a checkpoint.
    kept: Vec<(SnapshotRef, Needed, bool)>,
    pub dropped: HashSet<SnapshotRef>,
    pub forgotten: Forgotten,
}

impl Objects {
    /// Loads the valid snapshots of the highest closed generation, the objects in its folder with them.
    ///
    /// # Errors
    /// `Corrupt` when one is damaged or gone without a forget: what it needs is not known; those of the store.
    pub(super) fn load(repo: &Repository, view: &View) -> Result<Self> {
        let closed = view.closed();
        let mut listed: BTreeSet<SnapshotRef> = view.settled_valid().clone();
        listed.extend(taken_back(repo, closed)?);
        repo.store().list(&format!("snapshots/{closed}/"), &mut |name, _| {
            listed.extend(parse_snapshot_name(name));
            Ok(())
        })?;
        let sids: HashSet<SnapshotId> = listed.iter().map(|object| object.sid).collect();
        let forgotten = repo.forgotten(&|sid| sids.contains(sid))?;
        let (mut loaded, mut damaged) = (Vec::new(), Vec::new());
        for object in listed.iter().filter(|object| !forgotten.contains(object)) {
            let snapshot = match repo.load_snapshot(object) {
                Err(error) if error.kind().is_damage() => {
                    damaged.push((*object, error));
                    continue;
                }
                outcome => outcome?,
            };
            let is_whole = snapshot.state != SnapshotState::Incomplete;
            let needed = Needed::by_snapshot(repo, &snapshot);
            loaded.push((*object, snapshot.seq, (needed, is_whole)));
        }
        for (object, error) in damaged {
            // The last object of a run needs all that those before it did.
            let is_replaced =
                loaded.iter().any(|(known, _, (_, is_whole)): &(SnapshotRef, _, (_, bool))| {
                    *is_whole && known.sid == object.sid && known.generation >= object.generation
                });
            if !is_replaced {
                return Err(way_out(&error, &object));
            }
        }
        let newest = newest_of_each_run(loaded).into_values();
        let kept: Vec<_> =
            newest.map(|(object, (needed, is_whole))| (object, needed, is_whole)).collect();
        let names: HashSet<SnapshotRef> = kept.iter().map(|(object, ..)| *object).collect();
        let dropped = listed.into_iter().filter(|object| !names.contains(object)).collect();
        Ok(Self { kept, dropped, forgotten })
    }

    /// Drops the objects of these runs too.
    pub(super) fn drop_runs(&mut self, sids: &[SnapshotId]) {
        let (gone, kept) = std::mem::take(&mut self.kept)
            .into_iter()
            .partition::<Vec<_>, _>(|(object, ..)| sids.contains(&object.sid));
        self.kept = kept;
        self.dropped.extend(gone.into_iter().map(|(object, ..)| object));
    }

    /// What the kept ones need.
    pub(super) fn needed(&self) -> impl Iterator<Item = &Needed> {
        self.kept.iter().map(|(_, needed, _)| needed)
    }

    /// The kept ones without checkpoints.
    pub(super) fn snapshot_count(&self) -> u64 {
        self.kept.iter().filter(|(.., is_whole)| *is_whole).count() as u64
    }
}

fn way_out(error: &Error, object: &SnapshotRef) -> Error {
    let what = format!(
        "{error}: what it needs is not known, so nothing is deleted; `coffer forget {}` gives it up",
        object.sid
    );
    Error::new(Kind::Corrupt, what)
}

/// True if the fate of a closed generation is that everything it gave up comes back.
fn is_undone(repo: &Repository, closed: u64) -> Result<bool> {
    Ok(closed > 0 && repo.load_fate(closed)?.is_some_and(|fate| fate.fate == FateKind::Undo))
}

/// The snapshot objects that the close `closed` dropped for forgets, if that is undone.
fn taken_back(repo: &Repository, closed: u64) -> Result<BTreeSet<SnapshotRef>> {
    if !is_undone(repo, closed)? {
        return Ok(BTreeSet::new());
    }
    let (close, _) = repo.load_close(closed)?;
    let sids: HashSet<_> = close.forgets.iter().map(|(sid, _)| *sid).collect();
    let before = repo.view_at(closed - 1)?;
    let mut objects = before.settled_valid().clone();
    repo.store().list(&format!("snapshots/{}/", closed - 1), &mut |name, _| {
        objects.extend(parse_snapshot_name(name));
        Ok(())
    })?;
    objects.retain(|object| sids.contains(&object.sid));
    Ok(objects)
}

/// The packs that stay given up from the closes before.
fn still_deleted(repo: &Repository, view: &View) -> Result<HashSet<PackId>> {
    let mut deleted = view.deleted().clone();
    if is_undone(repo, view.closed())? {
        let (generation, _) = repo.load_generation(view.closed())?;
        for pack in generation.condemned {
            deleted.remove(&pack);
        }
    }
    Ok(deleted)
}

/// Closes the open generation of `view`, or adopts the close of another; how many packs were rescued.
///
/// # Errors
/// `Corrupt` when a snapshot is gone without a forget, or something needed does not resolve: the generation stays
/// open, and nothing has been given up. Those of the store.
pub(super) fn close(
    repo: &Repository,
    view: &View,
    marked: Option<&Marked<'_>>,
    observer: &dyn Observer,
) -> Result<u64> {
    let closed = view.closed();
    // Only now: a backup that put its snapshot before it looked is seen, any other sees the generation.
    let objects = Objects::load(repo, view)?;
    let before = view.with_deleted(still_deleted(repo, view)?);
    let stored = Stored::load(repo, &before, observer)?;
    let mut condemned: HashSet<PackId> = view.condemned().clone();
    let records = Needed::by_records(repo, observer)?;
    let needed: Vec<&Needed> = objects.needed().chain(&records).collect();
    rescue(repo, &stored, &needed, marked, &mut condemned, observer)?;
    let rescued = view.condemned().len() - condemned.len();
    let is_named = |pack: &PackId| {
        stored.index.find_pack(pack).is_some()
            || stored.listed.binary_search_by_key(pack, |(id, _)| *id).is_ok()
    };
    let mut deleted: HashSet<PackId> =
        before.deleted().iter().filter(|pack| is_named(pack)).copied().collect();
    deleted.extend(condemned);
    let Some(number) = view.open() else {
        return Err(Error::new(Kind::Unavailable, "the generation was closed by another prune"));
    };
    let valid: BTreeSet<SnapshotRef> = objects.kept.iter().map(|(object, ..)| *object).collect();
    let forgets = if number.is_multiple_of(FULL_EVERY) {
        // It repeats everything: which forgets no snapshot has any more.
        let mut sids: HashSet<SnapshotId> = valid.iter().map(|object| object.sid).collect();
        repo.store().list("snapshots/", &mut |name, _| {
            let later = parse_snapshot_name(name).filter(|object| object.generation >= number);
            sids.extend(later.map(|object| object.sid));
            Ok(())
        })?;
        let names = repo.forget_names()?.into_iter();
        names.filter(|(sid, _)| !sids.contains(sid)).collect()
    } else {
        objects.forgotten.applied_to(&objects.dropped)
    };
    let settled = Settled { valid, deleted, forgets };
    let previous = match closed {
        0 => ObjectHash([0; 32]),
        _ => repo.load_close(closed)?.1,
    };
    repo.put_close(&settled.close(view, repo.closing(view.head(), previous)))?;
    if let Err(error) = repo.remember_generation(view.head()) {
        // What is lost is only the proof against an older copy.
        observer
            .event(crate::observe::Event::Note(&format!("not remembered on this host: {error}")));
    }
    Ok(rescued as u64)
}
