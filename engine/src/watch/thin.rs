//! Thinning what a watch has made: the older, the fewer.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::backup::{BackupOptions, SourceOptions};
use crate::error::{Error, Kind, Result};
use crate::maintain::{Policy, PruneOptions, forget, forget_plan_where, prune};
use crate::observe::{Event, Observer};
use crate::repo::{Head, Repository};

use super::problems::{Problems, Work};

/// Snapshots between two looks at what the rule no longer keeps.
const LOOK_COUNT: u64 = 64;
/// After how long few are thinned too.
const PRUNE_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// How the snapshots of a watch are thinned.
#[derive(Debug, Clone)]
pub struct Thinning {
    pub policy: Policy,
    /// How many snapshots the rule must have given up before they are forgotten and pruned, unless a day has passed: every
    /// prune leaves four small objects that stay.
    pub batch: u64,
    pub prune: PruneOptions,
}

/// What one thinning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        let asked = options.sources.iter().filter_map(SourceOptions::watched_as);
        Self { host, job, tags, asked: asked.map(Cow::into_owned).collect() }
    }

    /// True if it may be thinned: a watch made it, of what is watched now, and nobody has tagged it besides.
    fn contains(&self, head: &Head) -> bool {
        (&head.host, &head.job) == (&self.host, &self.job)
            && head.is_watched(&self.asked)
            && head.tags.iter().all(|tag| self.tags.contains(tag))
    }
}

/// Forgets what the rule no longer keeps of the snapshots that `is_meant` picks, and prunes, if that is at least `batch`
/// snapshots, which may be 0; none otherwise.
///
/// # Errors
/// Those of forgetting and pruning: nothing that is listed is lost.
pub fn thin(
    repo: &Repository,
    thinning: &Thinning,
    batch: u64,
    is_meant: &dyn Fn(&Head) -> bool,
    observer: &dyn Observer,
) -> Result<Option<Thinned>> {
    let plan = forget_plan_where(repo, &thinning.policy, is_meant, observer)?;
    let count = plan.forgotten.len() as u64;
    if count < batch {
        return Ok(None);
    }
    forget(repo, &plan.forgotten, observer)?;
    forget(repo, &plan.checkpoints, observer)?;
    let report = prune(repo, &thinning.prune, observer)?;
    Ok(Some(Thinned {
        snapshots_forgotten: count,
        objects_deleted: report.objects_deleted + report.packs_deleted,
        bytes_deleted: report.bytes_deleted,
    }))
}

/// Thins beside the watch: no snapshot waits for it.
pub(super) struct Thinner<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    repo: &'env Repository,
    thinning: &'env Thinning,
    observer: &'env Problems<'env>,
    /// Since the last look.
    count: u64,
    pruned: Instant,
    /// The last one failed: what it forgot may wait for a prune.
    has_failed: bool,
    at_work: Option<ScopedJoinHandle<'scope, Result<Option<Thinned>>>>,
    /// Nobody waits for what is at work any more.
    has_ended: Arc<AtomicBool>,
}

impl<'scope, 'env> Thinner<'scope, 'env> {
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        repo: &'env Repository,
        thinning: &'env Thinning,
        observer: &'env Problems<'env>,
    ) -> Self {
        // The first look comes soon: what a watch before this one has left is thinned.
        Self {
            scope,
            repo,
            thinning,
            observer,
            count: LOOK_COUNT,
            pruned: Instant::now(),
            has_failed: false,
            at_work: None,
            has_ended: Arc::default(),
        }
    }

    /// Hears of a snapshot of `own`, and begins to thin if it is time to.
    pub(super) fn note(&mut self, own: &Own) {
        self.count += 1;
        self.settle();
        if self.at_work.is_some() || self.count < LOOK_COUNT.min(self.thinning.batch) {
            return;
        }
        self.count = 0;
        let is_time = self.pruned.elapsed() >= PRUNE_AGAIN;
        let batch = match (self.has_failed, is_time) {
            (true, _) => 0,
            (_, true) => 1,
            _ => self.thinning.batch,
        };
        let (repo, thinning, observer) = (self.repo, self.thinning, self.observer);
        let own = own.clone();
        let quiet = Quiet(observer, Arc::clone(&self.has_ended));
        self.at_work = Some(
            self.scope
                .spawn(move || thin(repo, thinning, batch, &|head| own.contains(head), &quiet)),
        );
    }

    /// Tells what a thinning that has ended did.
    fn settle(&mut self) {
        let Some(handle) = self.at_work.take_if(|handle| handle.is_finished()) else { return };
        let fault = |_| Err(Error::new(Kind::Unavailable, "the thread that thins has panicked"));
        let outcome = handle.join().unwrap_or_else(fault);
        self.has_failed = outcome.is_err();
        let what = match outcome {
            Ok(None) => return,
            Ok(Some(thinned)) => {
                self.pruned = Instant::now();
                format!(
                    "thinned: {} snapshots forgotten, {} objects and {} bytes of packs deleted",
                    thinned.snapshots_forgotten, thinned.objects_deleted, thinned.bytes_deleted
                )
            }
            Err(_) if self.observer.is_interrupted() => return,
            Err(error) => {
                let error = error.context("not thinned");
                return self.observer.fail(Work::Thinning, &error, "trying again later");
            }
        };
        self.observer.succeed(Work::Thinning);
        self.observer.event(Event::Note(&what));
    }
}

impl Drop for Thinner<'_, '_> {
    fn drop(&mut self) {
        // The watch ends soon, and what was begun is ended by the next prune.
        self.has_ended.store(true, Ordering::Relaxed);
    }
}

/// Keeps progress of the work beside from being taken for that of a snapshot, and ends it with the watch.
struct Quiet<'o>(&'o dyn Observer, Arc<AtomicBool>);

impl Observer for Quiet<'_> {
    fn event(&self, event: Event<'_>) {
        if !matches!(event, Event::Progress(_) | Event::Entry { .. }) {
            self.0.event(event);
        }
    }

    fn is_interrupted(&self) -> bool {
        self.1.load(Ordering::Relaxed) || self.0.is_interrupted()
    }
}
