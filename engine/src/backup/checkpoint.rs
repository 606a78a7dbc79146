//! Checkpoints: what an interrupted run leaves for the next one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::assemble::Captured;
use super::sources::Sources;
use crate::error::Result;
use crate::model::{NodeRef, Snapshot, SnapshotState, Source};
use crate::observe::{Event, Observer, Silent};
use crate::repo::{ChunkWriter, Known, Repository};

/// Bytes of new chunks after which a checkpoint is made, however short the time.
const NEW_LEN: u64 = 1 << 30;
/// Times as long as the last checkpoint took until the next one may be made.
const REST_FACTOR: u32 = 20;

/// Makes checkpoints of one attempt of a run.
pub(super) struct Checkpoints<'r> {
    repo: &'r Repository,
    observer: &'r dyn Observer,
    known: Known<'r>,
    interval: Duration,
    /// The snapshot without what its sources give.
    blank: Snapshot,
    /// Number of the run's next snapshot object.
    seq: &'r AtomicU64,
    state: Mutex<State>,
}

struct State {
    done: Sources,
    /// The source that is being captured.
    current: Option<Source>,
    /// New bytes in the last checkpoint.
    given: u64,
    /// When the last one was done, none while one is being made.
    since: Option<Instant>,
    took: Duration,
}

impl<'r> Checkpoints<'r> {
    pub(super) fn new(
        (repo, observer): (&'r Repository, &'r dyn Observer),
        known: Known<'r>,
        interval: Duration,
        (blank, seq): (Snapshot, &'r AtomicU64),
    ) -> Self {
        let blank = Snapshot { state: SnapshotState::Incomplete, ..blank };
        let state = State {
            done: Sources::default(),
            current: None,
            given: 0,
            since: Some(Instant::now()),
            took: Duration::ZERO,
        };
        Self { repo, observer, known, interval, blank, seq, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with another source.
    pub(super) fn begin(&self, source: &Source) {
        self.lock().current = Some(source.clone());
    }

    /// The last of `sources` is done.
    pub(super) fn end(&self, sources: &Sources) {
        let mut state = self.lock();
        state.current = None;
        state.done.follow(sources);
    }

    /// True if enough was done since the last one; `given` counts bytes of new chunks.
    pub(super) fn is_due(&self, given: u64) -> bool {
        let state = self.lock();
        let Some(since) = state.since.map(|since| since.elapsed()) else { return false };
        let new = given.saturating_sub(state.given);
        let is_time = new > 0 && since >= self.interval || new >= NEW_LEN;
        is_time && since >= state.took * REST_FACTOR
    }

    /// True if the next run would read or send anything again without one.
    pub(super) fn is_worth_it(&self, given: u64) -> bool {
        given > self.lock().given
    }

    /// Makes one of what the current source gave so far, once all of it is stored; `pending` names the
    /// chunks of a file that is being read.
    pub(super) fn put(
        &'r self,
        captured: Captured,
        pending: Vec<NodeRef>,
        writer: &mut ChunkWriter<'r>,
    ) -> Result<()> {
        let mut state = self.lock();
        let mut sources = state.done.clone();
        let totals = captured.totals;
        let files = totals.files_new + totals.files_changed + totals.files_unmodified;
        // The folders above a database are none.
        let is_some =
            |source: &Source| captured.root.is_some() && (source.kind != "sqlite" || files > 0);
        if let Some(source) = state.current.clone().filter(is_some) {
            sources.add(source, Ok(captured), &Silent);
        }
        state.given = writer.given();
        state.since = None;
        drop(state);
        let mut totals = sources.totals;
        totals.data_stored = writer.stored();
        let snapshot = Snapshot {
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            finished_ns: self.repo.clock().now_ns(),
            totals,
            sources: sources.list,
            pending,
            ..self.blank.clone()
        };
        writer.settle(Box::new(move || self.finish(&snapshot)))
    }

    /// A checkpoint that cannot be made is no reason to end the run.
    fn finish(&self, snapshot: &Snapshot) -> Result<()> {
        let begun = Instant::now();
        let lost = self.known.relied.lost(self.repo, self.known.index);
        // Without packs it relied on it would be a snapshot that cannot be restored.
        let put = lost.and_then(|lost| match lost.is_empty() {
            true => self.repo.put_snapshot(snapshot).map(drop),
            false => Ok(()),
        });
        if let Err(error) = put {
            let what = format!("no checkpoint was made, the backup goes on: {error}");
            self.observer.event(Event::Note(&what));
        }
        let mut state = self.lock();
        state.took = begun.elapsed();
        state.since = Some(Instant::now());
        Ok(())
    }
}
