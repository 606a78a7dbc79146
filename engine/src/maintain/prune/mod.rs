//! Prune: delete what nothing needs. Marks, rewrites, and then gives packs up by the generation fence, beside
//! any number of backups and other prunes. Stopping after any step loses nothing; the next prune goes on.

mod close;
mod finish;
mod mark;
mod plan;
mod rescue;
mod rewrite;
mod segments;
mod stored;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::HashSet;
use std::time::Duration;

pub use plan::{Bounds, PackPlan, PackUse};

use close::Objects;
use mark::Needed;
use rescue::Marked;
use rewrite::{Copying, Part};
use stored::Stored;

use crate::error::{Error, Kind, Result};
use crate::fence::View;
use crate::index::Marks;
use crate::model::{FateKind, PackNumber, SnapshotId};
use crate::observe::{Event, Observer};
use crate::repo::Repository;

/// How often a prune begins again because another was first.
const TRIES_MAX: u64 = 8;

/// How a prune works.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    pub bounds: Bounds,
    /// Packs stored later than this ago are left, since a backup may be about to need them: it would store them again.
    /// It saves work; nothing that must hold rests on it.
    pub young: Duration,
    /// How long what was given up stays in the store and can be taken back.
    pub hold: Duration,
    /// Decides and changes nothing.
    pub dry_run: bool,
    /// What a dry run takes for forgotten; nothing else looks at it.
    pub as_if_forgotten: Vec<SnapshotId>,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            bounds: Bounds { garbage_percent_max: 5, rewrite_bytes_max: None },
            young: Duration::from_secs(3600),
            hold: Duration::ZERO,
            dry_run: false,
            as_if_forgotten: Vec::new(),
        }
    }
}

/// What a prune decided and did.
#[derive(Debug, Clone, Default)]
pub struct PruneReport {
    pub plan: PackPlan,
    /// Snapshots that are kept.
    pub snapshots: u64,
    /// Snapshot objects that went: forgotten ones, and checkpoints of runs that went on.
    pub snapshots_dropped: u64,
    /// Packs that were condemned, and of these the ones something had begun to need meanwhile.
    pub condemned: u64,
    pub rescued: u64,
    /// Bytes of new packs that live chunks were copied to.
    pub rewritten_bytes: u64,
    /// Packs deleted from the store, and their bytes.
    pub packs_deleted: u64,
    pub bytes_deleted: u64,
    /// Other objects deleted: snapshots, forgets, index segments.
    pub objects_deleted: u64,
    /// The generation that was closed; 0 if there was nothing to do.
    pub generation: u64,
    /// What was given up, by this prune or one before, is in the store until then; nanoseconds since
    /// 1970-01-01T00:00:00 UTC.
    pub held_until_ns: Option<i64>,
}

/// Deletes what nothing needs.
///
/// # Errors
/// `Corrupt` when something that a snapshot needs is lost, when a snapshot or record is damaged, or what is valid cannot
/// be told: then nothing is given up. `Unsupported` when the repository needs more of a pruner than this program knows;
/// `Interrupted`; those of the store.
pub fn prune(
    repo: &Repository,
    options: &PruneOptions,
    observer: &dyn Observer,
) -> Result<PruneReport> {
    if !options.dry_run {
        repo.begin_writing()?;
    }
    let prune = Prune { repo, options, observer };
    let mut report = PruneReport::default();
    for _ in 0..TRIES_MAX {
        let head = repo.view()?.head();
        match prune.attempt(&mut report) {
            Ok(true) => return Ok(report),
            Ok(false) => {}
            // What another prune has deleted meanwhile is not lost.
            Err(error) if may_be_of_another(&error) && repo.view()?.head() != head => {
                observer.event(Event::Note("another prune was first; beginning again"));
            }
            Err(error) => return Err(error),
        }
    }
    let what = format!("other prunes were first {TRIES_MAX} times; run it again");
    Err(Error::new(Kind::Unavailable, what))
}

/// True for what another prune at work may be the cause of.
fn may_be_of_another(error: &Error) -> bool {
    error.kind().is_damage() || error.kind() == Kind::Unavailable
}

/// Takes back what the last prune gave up, with the snapshots it dropped, as long as it is held.
///
/// # Errors
/// `Refused` if it is too late, or there is nothing to take back; those of the store.
pub fn undo(repo: &Repository, observer: &dyn Observer) -> Result<PruneReport> {
    repo.begin_writing()?;
    finish::undo(repo, observer)
}

struct Prune<'p> {
    repo: &'p Repository,
    options: &'p PruneOptions,
    observer: &'p dyn Observer,
}

impl Prune<'_> {
    /// One try; false to begin again.
    fn attempt(&self, report: &mut PruneReport) -> Result<bool> {
        let (repo, observer) = (self.repo, self.observer);
        let view = repo.view()?;
        view.refuse_pruning()?;
        if !self.has_settled(&view, report)? {
            return Ok(report.held_until_ns.is_some() || self.options.dry_run);
        }
        let mut objects = Objects::load(repo, &view)?;
        if self.options.dry_run {
            objects.drop_runs(&self.options.as_if_forgotten);
        }
        let records = Needed::by_records(repo)?;
        let needed: Vec<&Needed> = objects.needed().chain(&records).collect();
        let stored = Stored::load(repo, &view, observer)?;
        let live = mark::mark(repo, &stored, &needed, observer)?;
        let young = i64::try_from(self.options.young.as_nanos()).unwrap_or(i64::MAX);
        let young_ns = repo.clock().now_ns().saturating_sub(young);
        let is_deleted = |pack: &_| view.is_deleted(pack);
        let uses = usage::of_packs(repo, &stored, &live, &is_deleted, young_ns)?;
        report.plan = plan::plan(uses, self.options.bounds);
        report.snapshots = objects.snapshot_count();
        report.snapshots_dropped = objects.dropped.len() as u64;
        if self.options.dry_run {
            return Ok(true);
        }
        let condemned = report.plan.condemned();
        if condemned.is_empty() && objects.dropped.is_empty() {
            finish::sweep(repo, &view, observer, report)?;
            return Ok(true);
        }
        let rewritten = self.rewrite(&view, &stored, &live, report)?;
        let now = rewritten.as_ref().unwrap_or(&stored);
        let given_up: HashSet<_> = condemned.iter().copied().collect();
        rescue::prove(repo, &stored, &live, now, &given_up)?;
        report.condemned = condemned.len() as u64;
        if repo.put_generation(view.head(), condemned)?.is_none() {
            observer.event(Event::Note("another prune was first; beginning again"));
            return Ok(false);
        }
        let view = repo.view()?;
        report.rescued = close::close(repo, &view, Some(&Marked { live: &live }), observer)?;
        let view = repo.view()?;
        report.generation = view.closed();
        self.finish_or_hold(&view, report)?;
        Ok(true)
    }

    /// Brings what another prune has left to its end; false to look again, or if it is held.
    fn has_settled(&self, view: &View, report: &mut PruneReport) -> Result<bool> {
        let (repo, observer) = (self.repo, self.observer);
        if self.options.dry_run {
            return Ok(true);
        }
        if view.open().is_some() {
            observer.event(Event::Note("a prune was interrupted; going on with it"));
            close::close(repo, view, None, observer)?;
            return Ok(false);
        }
        if view.closed() == 0 {
            return Ok(true);
        }
        repo.complete_close(view.closed())?;
        match repo.load_fate(view.closed())?.map(|fate| fate.fate) {
            Some(FateKind::Delete) => Ok(true),
            Some(FateKind::Undo) => {
                finish::take_back(repo, view, observer)?;
                Ok(false)
            }
            None => {
                self.finish_or_hold(view, report)?;
                Ok(false)
            }
        }
    }

    /// Deletes what the highest close gave up, unless it is to be held longer.
    fn finish_or_hold(&self, view: &View, report: &mut PruneReport) -> Result<()> {
        let (close, hash) = self.repo.load_close(view.closed())?;
        let hold = i64::try_from(self.options.hold.as_nanos()).unwrap_or(i64::MAX);
        let until = close.created_ns.saturating_add(hold);
        if hold > 0 && self.repo.clock().now_ns() < until {
            report.held_until_ns = Some(until);
            report.generation = view.closed();
            return Ok(());
        }
        if self.repo.put_fate(view.closed(), hash, FateKind::Delete)? == FateKind::Undo {
            self.observer.event(Event::Note("what was given up is being taken back"));
            return Ok(());
        }
        finish::sweep(self.repo, view, self.observer, report)
    }

    /// Copies what is needed of packs that are to be rewritten; what the store has afterwards, if anything was.
    fn rewrite(
        &self,
        view: &View,
        stored: &Stored,
        live: &Marks<'_>,
        report: &mut PruneReport,
    ) -> Result<Option<Stored>> {
        let (repo, observer) = (self.repo, self.observer);
        let from: HashSet<PackNumber> =
            report.plan.rewrite.iter().filter_map(|pack| pack.number).collect();
        if from.is_empty() {
            return Ok(None);
        }
        // Garbage too: a prune that was stopped may have left copies there of what is rewritten here.
        let given_up: HashSet<_> = report.plan.condemned().into_iter().collect();
        let copying = Copying { repo, stored, live, from: &from, observer };
        // What may become a base must be stored full, even where a difference of it stays.
        let none = stored.without(&|_| true);
        report.rewritten_bytes = copying.copy(Part::Full, (stored, &none))?;
        let now = Stored::load(repo, view, observer)?;
        let gone = now.numbers(&given_up);
        let kept = now.without(&|pack| gone.contains(&pack));
        report.rewritten_bytes += copying.copy(Part::Differences, (&now, &kept))?;
        Ok(Some(Stored::load(repo, view, observer)?))
    }
}
