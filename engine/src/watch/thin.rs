//! Thinning what a watch has made: the older, the fewer.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::backup::{BackupOptions, SourceOptions};
use crate::error::Result;
use crate::maintain::{
    ForgetPlan, Policy, PruneOptions, PruneReport, forget, forget_plan_where, prune,
};
use crate::observe::Observer;
use crate::repo::{Head, Repository};

/// After how long few are thinned too.
pub(super) const THIN_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// How the snapshots of a watch are thinned.
#[derive(Debug, Clone)]
pub struct Thinning {
    pub policy: Policy,
    /// How many snapshots the rule must have given up before they are forgotten and pruned, unless nothing was pruned for a
    /// day: every prune leaves four small objects that stay.
    pub batch: u64,
    pub prune: PruneOptions,
}

/// What one thinning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Thinned {
    pub snapshots_forgotten: u64,
    pub objects_deleted: u64,
    pub bytes_deleted: u64,
}

/// Which snapshots are those of a watch: others may have the same host and job, and are none of its business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    host: String,
    job: String,
    /// Those it gives its snapshots.
    tags: Vec<String>,
    /// The paths and patterns it was told.
    asked: BTreeSet<String>,
}

impl Own {
    /// Of a watch that makes `options`, whose job is `job`.
    pub(super) fn new(options: &BackupOptions, job: String) -> Self {
        let (host, tags) = (options.host.clone(), options.tags.clone());
        let asked = options.sources.iter().flat_map(SourceOptions::watched_as);
        Self { host, job, tags, asked: asked.map(Cow::into_owned).collect() }
    }

    /// True if it may be thinned: a watch made it, of what is watched now, and nobody has tagged it besides.
    pub(super) fn contains(&self, head: &Head) -> bool {
        (&head.host, &head.job) == (&self.host, &self.job)
            && head.is_watched(&self.asked)
            && head.tags.iter().all(|tag| self.tags.contains(tag))
    }
}

/// Forgets what the rule no longer keeps of the snapshots that `is_meant` picks, and prunes, if that is at least `batch`
/// snapshots, which may be 0, or any at all and the last prune was a day ago; none otherwise.
///
/// # Errors
/// Those of forgetting and pruning, with what was done before: nothing that is kept is lost.
pub fn thin(
    repo: &Repository,
    thinning: &Thinning,
    batch: u64,
    is_meant: &dyn Fn(&Head) -> bool,
    observer: &dyn Observer,
) -> Result<Option<Thinned>> {
    let before = |error: crate::error::Error| error.context("not thinned");
    let plan = forget_plan_where(repo, &thinning.policy, is_meant, observer).map_err(before)?;
    let count = plan.forgotten.len() as u64;
    if count < batch && (count == 0 || !is_old(repo, &plan).map_err(before)?) {
        return Ok(None);
    }
    let forgotten = [&plan.forgotten, &plan.checkpoints];
    let forgotten = forgotten.iter().try_for_each(|snapshots| forget(repo, snapshots, observer));
    forgotten.map_err(|error| {
        error.context(format!("not pruned, and only some of {count} snapshots are forgotten"))
    })?;
    let report = prune(repo, &thinning.prune, observer).map_err(|error| {
        error.context(format!("{count} snapshots are forgotten, but nothing is pruned"))
    })?;
    Ok(Some(Thinned::of(count, &report)))
}

/// Makes room in a full repository: prunes, since forgetting needs room too, then thins however few there are.
///
/// # Errors
/// As [`thin`].
pub(super) fn make_room(
    repo: &Repository,
    thinning: &Thinning,
    is_meant: &dyn Fn(&Head) -> bool,
    observer: &dyn Observer,
) -> Result<Thinned> {
    let pruned = prune(repo, &thinning.prune, observer)
        .map_err(|error| error.context("no room is made in the repository"))?;
    let first = Thinned::of(0, &pruned);
    let then = thin(repo, thinning, 1, is_meant, observer)?.unwrap_or_default();
    Ok(Thinned {
        snapshots_forgotten: then.snapshots_forgotten,
        objects_deleted: first.objects_deleted + then.objects_deleted,
        bytes_deleted: first.bytes_deleted + then.bytes_deleted,
    })
}

impl Thinned {
    fn of(snapshots_forgotten: u64, report: &PruneReport) -> Self {
        let objects_deleted = report.objects_deleted + report.packs_deleted;
        Self { snapshots_forgotten, objects_deleted, bytes_deleted: report.bytes_deleted }
    }
}

/// True if the last prune was a day ago, or there was none and the oldest that is given up is so old.
fn is_old(repo: &Repository, plan: &ForgetPlan) -> Result<bool> {
    let since_ns = match repo.view()?.highest() {
        0 => plan.forgotten.iter().map(|it| it.started_ns).min(),
        number => Some(repo.load_generation(number)?.0.created_ns),
    };
    let age = since_ns.map_or(0, |since_ns| repo.clock().now_ns().saturating_sub(since_ns));
    Ok(u128::try_from(age).unwrap_or_default() >= THIN_AGAIN.as_nanos())
}
