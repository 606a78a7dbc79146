//! What follows a close: deleting what it gave up, or taking it back.

use std::collections::{HashMap, HashSet};

use super::{PruneReport, close, segments};
use crate::error::{Error, Kind, Result};
use crate::fence::View;
use crate::model::{FateKind, PackId, SnapshotId, SnapshotRef};
use crate::observe::{Event, Observer, Progress};
use crate::repo::{
    Repository, forget_name, pack_name, parse_pack_name, parse_snapshot_name, snapshot_name,
};

/// Closes after which a forget that took effect is dropped: readers that began before have long ended.
const FORGET_CLOSES: u64 = 2;

/// Deletes everything that the highest close has given up and that is still there. Its fate must be to be
/// deleted. May be stopped and repeated at any point, by anyone.
///
/// # Errors
/// `Interrupted`; those of the store.
pub(super) fn sweep(
    repo: &Repository,
    view: &View,
    observer: &dyn Observer,
    report: &mut PruneReport,
) -> Result<()> {
    let merged = match segments::merge(repo, view, observer) {
        // Deleting makes the room for it. Until then the segments name packs that the close says are deleted.
        Err(error) if error.kind() == Kind::NoSpace => None,
        outcome => Some(outcome?),
    };
    let mut packs: Vec<(PackId, u64)> = Vec::new();
    repo.store().list("packs/", &mut |name, len| {
        let given_up = parse_pack_name(name).filter(|pack| view.is_deleted(pack));
        packs.extend(given_up.map(|pack| (pack, len)));
        Ok(())
    })?;
    let mut progress = Progress { files_total: packs.len() as u64, ..Progress::default() };
    for (pack, len) in packs {
        refuse_to_go_on(observer)?;
        repo.store().delete(&pack_name(pack))?;
        report.packs_deleted += 1;
        report.bytes_deleted += len;
        progress.files_done += 1;
        observer.event(Event::Progress(progress));
    }
    for object in void_snapshots(repo, view)? {
        refuse_to_go_on(observer)?;
        repo.store().delete(&snapshot_name(&object))?;
        report.objects_deleted += 1;
    }
    for (sid, k) in old_forgets(repo, view)? {
        refuse_to_go_on(observer)?;
        repo.store().delete(&forget_name(&sid, k))?;
        report.objects_deleted += 1;
    }
    report.objects_deleted += match merged {
        Some(count) => count,
        None => segments::merge(repo, view, observer)?,
    };
    Ok(())
}

fn refuse_to_go_on(observer: &dyn Observer) -> Result<()> {
    if observer.is_interrupted() {
        let what = "interrupted while deleting; the next prune goes on";
        return Err(Error::new(Kind::Interrupted, what));
    }
    Ok(())
}

/// Snapshot objects of generations before the highest closed one that are not valid any more: forgotten ones,
/// superseded ones, and those of writers that came too late and put theirs again.
fn void_snapshots(repo: &Repository, view: &View) -> Result<Vec<SnapshotRef>> {
    let mut void = Vec::new();
    repo.store().list("snapshots/", &mut |name, _| {
        let object = parse_snapshot_name(name).filter(|object| {
            object.generation < view.closed() && !view.settled_valid().contains(object)
        });
        void.extend(object);
        Ok(())
    })?;
    Ok(void)
}

/// Forgets that took effect long ago, and what they replaced, of snapshots that have no object any more; lower numbers
/// first, so that what is in force goes last.
fn old_forgets(repo: &Repository, view: &View) -> Result<Vec<(SnapshotId, u64)>> {
    let Some(until) = view.closed().checked_sub(FORGET_CLOSES).filter(|until| *until > 0) else {
        return Ok(Vec::new());
    };
    let mut names = repo.forget_names()?;
    if names.is_empty() {
        return Ok(names);
    }
    let mut applied: HashMap<SnapshotId, u64> = HashMap::new();
    for (sid, k) in repo.closes(until)?.into_iter().flat_map(|close| close.forgets) {
        let highest = applied.entry(sid).or_default();
        *highest = k.max(*highest);
    }
    let mut alive: HashSet<SnapshotId> =
        view.settled_valid().iter().map(|object| object.sid).collect();
    repo.store().list("snapshots/", &mut |name, _| {
        alive.extend(parse_snapshot_name(name).map(|object| object.sid));
        Ok(())
    })?;
    names.retain(|(sid, k)| {
        applied.get(sid).is_some_and(|highest| k <= highest) && !alive.contains(sid)
    });
    names.sort_unstable();
    Ok(names)
}

/// Takes back what the highest close gave up.
///
/// # Errors
/// `Refused` if it is too late or there is nothing to take back; those of the store.
pub(super) fn undo(repo: &Repository, observer: &dyn Observer) -> Result<PruneReport> {
    let view = repo.view()?;
    view.refuse_pruning()?;
    let closed = view.closed();
    if view.open().is_some() {
        let what = "a prune is under way or was interrupted: run `coffer prune --hold 1d` to bring it to its end, \
                    then `coffer prune --undo`";
        return Err(Error::new(Kind::Refused, what));
    }
    if closed == 0 {
        return Err(Error::new(Kind::Refused, "nothing was ever pruned"));
    }
    repo.complete_close(closed)?;
    let (close, hash) = repo.load_close(closed)?;
    let sids: HashSet<SnapshotId> = close.forgets.iter().map(|(sid, _)| *sid).collect();
    let forgotten = repo.forgotten(&|sid| sids.contains(sid))?;
    if repo.load_fate(closed)?.is_none() {
        // Before the fate: once that is said, the snapshots are to be valid again.
        for (sid, k) in &close.forgets {
            if let Some(forget) = forgotten.last(sid).filter(|it| it.k == *k && !it.undo) {
                repo.put_forget((*sid, k + 1), true, forget.objects.clone())?;
            }
        }
    }
    if repo.put_fate(closed, hash, FateKind::Undo)? == FateKind::Delete {
        let what = "too late: what the last prune gave up is deleted";
        return Err(Error::new(Kind::Refused, what));
    }
    take_back(repo, &view, observer)?;
    let view = repo.view()?;
    let snapshots = view.settled_valid().len() as u64;
    Ok(PruneReport { generation: view.closed(), snapshots, ..PruneReport::default() })
}

/// Makes and closes the generation that returns what the highest close gave up.
pub(super) fn take_back(repo: &Repository, view: &View, observer: &dyn Observer) -> Result<()> {
    let ours = repo.put_generation(view.head(), Vec::new())?;
    let view = repo.view()?;
    if view.open().is_some() {
        close::close(repo, &view, None, observer)?;
    }
    let Some(ours) = ours else {
        observer.event(Event::Note("another prune was first"));
        return Ok(());
    };
    // It gave nothing up, so there is nothing to hold.
    let (_, hash) = repo.load_close(ours.number)?;
    repo.put_fate(ours.number, hash, FateKind::Delete).map(|_| ())
}
