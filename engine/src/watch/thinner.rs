//! Thins beside the watch, when it is time to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::problems::{Problems, Work};
use super::thin::{Own, THIN_AGAIN, Thinned, Thinning, make_room, thin};
use crate::error::{Error, Kind, Result};
use crate::observe::{Event, Observer};
use crate::repo::Repository;

/// Snapshots between two looks at what the rule no longer keeps, at most.
const LOOK_COUNT: u64 = 64;
/// Time between two such looks, at most.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// After how long what has failed, or has made no room, is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(600);

/// Thins beside the watch: no snapshot waits for it.
pub(super) struct Thinner<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    repo: &'env Repository,
    thinning: &'env Thinning,
    observer: &'env Problems<'env>,
    schedule: Schedule,
    at_work: Option<(Task, ScopedJoinHandle<'scope, Result<Option<Thinned>>>)>,
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
        let schedule = Schedule::new(thinning.batch, Instant::now());
        let has_ended = Arc::default();
        Self { scope, repo, thinning, observer, schedule, at_work: None, has_ended }
    }

    /// Hears of a snapshot.
    pub(super) fn count(&mut self) {
        self.schedule.count += 1;
    }

    /// Hears that the repository is full.
    pub(super) fn want_room(&mut self) {
        self.schedule.is_full = true;
    }

    /// Tells what has ended, and begins what is due.
    ///
    /// # Errors
    /// `NewRing` when the repository is to be opened anew.
    pub(super) fn look(&mut self, own: &Own) -> Result<()> {
        if let Some((task, handle)) = self.at_work.take_if(|(_, handle)| handle.is_finished()) {
            self.end(task, handle)?;
        }
        if self.at_work.is_some() {
            return Ok(());
        }
        let Some(task) = self.schedule.begin(Instant::now()) else { return Ok(()) };
        let (repo, thinning, own) = (self.repo, self.thinning, own.clone());
        let quiet = Quiet(self.observer, Arc::clone(&self.has_ended));
        let handle = self.scope.spawn(move || {
            let is_own = |head: &_| own.contains(head);
            match task {
                Task::MakeRoom => make_room(repo, thinning, &is_own, &quiet).map(Some),
                Task::Thin(batch) => thin(repo, thinning, batch, &is_own, &quiet),
            }
        });
        self.at_work = Some((task, handle));
        Ok(())
    }

    fn end(
        &mut self,
        task: Task,
        handle: ScopedJoinHandle<'scope, Result<Option<Thinned>>>,
    ) -> Result<()> {
        let outcome = handle.join().unwrap_or_else(|_| {
            let what =
                "not thinned: the thread that thins has panicked, which is a mistake in coffer";
            Err(Error::new(Kind::Unavailable, what))
        });
        self.schedule.end(task, &outcome, Instant::now());
        let thinned = match outcome {
            Err(error) if error.kind() == Kind::Interrupted => return Ok(()),
            Err(error) if error.kind() == Kind::NewRing => return Err(error),
            Err(error) => {
                let next = format!("trying again in {} minutes", TRY_AGAIN.as_secs() / 60);
                self.observer.fail(Work::Thinning, &error, &next);
                return Ok(());
            }
            Ok(thinned) => thinned.unwrap_or_default(),
        };
        self.observer.succeed(Work::Thinning);
        if thinned != Thinned::default() {
            let what = format!(
                "thinned: {} snapshots forgotten, {} objects and {} bytes of packs deleted",
                thinned.snapshots_forgotten, thinned.objects_deleted, thinned.bytes_deleted
            );
            self.observer.event(Event::Note(&what));
        }
        Ok(())
    }
}

impl Drop for Thinner<'_, '_> {
    fn drop(&mut self) {
        // The watch ends: what was begun is ended by the next prune, and a panic is no reason to panic here.
        self.has_ended.store(true, Ordering::Relaxed);
        if let Some((task, handle)) = self.at_work.take() {
            let _ = self.end(task, handle);
        }
    }
}

/// Something to do beside the watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// If the rule gives up at least so many snapshots.
    Thin(u64),
    MakeRoom,
}

/// When something is to be done.
#[derive(Debug)]
struct Schedule {
    batch: u64,
    /// Snapshots since the last look, and when that was.
    count: u64,
    looked: Instant,
    /// When nothing was left that the rule gives up.
    thinned: Instant,
    /// When the last task failed: what it forgot may wait for a prune.
    failed: Option<Instant>,
    is_full: bool,
    /// When it was tried in vain to make room.
    no_room: Option<Instant>,
}

impl Schedule {
    /// The first look comes with the first snapshot: what a watch before this one has left is thinned.
    fn new(batch: u64, now: Instant) -> Self {
        let count = look_count(batch) - 1;
        let (failed, is_full, no_room) = (None, false, None);
        Self { batch, count, looked: now, thinned: now, failed, is_full, no_room }
    }

    fn begin(&mut self, now: Instant) -> Option<Task> {
        let task = self.due(now)?;
        (self.count, self.looked) = (0, now);
        Some(task)
    }

    fn due(&self, now: Instant) -> Option<Task> {
        let is_past = |at: Instant, wait| now.saturating_duration_since(at) >= wait;
        if self.is_full && self.no_room.is_none_or(|at| is_past(at, TRY_AGAIN)) {
            return Some(Task::MakeRoom);
        }
        if let Some(failed) = self.failed {
            return is_past(failed, TRY_AGAIN).then_some(Task::Thin(0));
        }
        if is_past(self.thinned, THIN_AGAIN) {
            return Some(Task::Thin(1));
        }
        let is_time = self.count >= look_count(self.batch) || is_past(self.looked, LOOK_AGAIN);
        is_time.then_some(Task::Thin(self.batch))
    }

    fn end(&mut self, task: Task, outcome: &Result<Option<Thinned>>, now: Instant) {
        self.failed = outcome.is_err().then_some(now);
        let thinned = outcome.as_ref().ok().copied().flatten();
        if outcome.is_ok() && (thinned.is_some() || matches!(task, Task::Thin(0 | 1))) {
            self.thinned = now;
        }
        if task == Task::MakeRoom {
            self.is_full = false;
            self.no_room = thinned.is_none_or(|it| it == Thinned::default()).then_some(now);
        }
    }
}

fn look_count(batch: u64) -> u64 {
    batch.clamp(1, LOOK_COUNT)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_makes_thinning_due_too_failures_are_tried_again_and_a_full_repository_comes_first() {
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_secs(minutes * 60);
        let mut schedule = Schedule::new(2048, start);
        assert_eq!(schedule.begin(at(0)), None);
        schedule.count += 1;
        assert_eq!(schedule.begin(at(1)), Some(Task::Thin(2048)));
        assert_eq!(schedule.begin(at(60)), None);
        assert_eq!(schedule.begin(at(61)), Some(Task::Thin(2048)));
        schedule.count += LOOK_COUNT;
        assert_eq!(schedule.begin(at(62)), Some(Task::Thin(2048)));
        // A day after the start, whatever was looked at meanwhile.
        assert_eq!(schedule.begin(at(1440)), Some(Task::Thin(1)));
        schedule.end(Task::Thin(1), &Ok(None), at(1440));
        assert_eq!(schedule.begin(at(1441)), None);
        let full = || Err(Error::new(Kind::NoSpace, "full"));
        schedule.end(Task::Thin(2048), &full(), at(1450));
        assert_eq!(schedule.begin(at(1459)), None);
        schedule.is_full = true;
        assert_eq!(schedule.begin(at(1459)), Some(Task::MakeRoom));
        schedule.end(Task::MakeRoom, &full(), at(1459));
        schedule.is_full = true;
        assert_eq!(schedule.begin(at(1460)), None);
        assert_eq!(schedule.begin(at(1469)), Some(Task::MakeRoom));
        schedule.end(Task::MakeRoom, &Ok(Some(Thinned::default())), at(1469));
        assert_eq!(schedule.begin(at(1470)), None);
    }
}
