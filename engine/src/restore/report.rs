//! What came of a restore so far, shared by its threads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{RestoreProblem, RestoreSummary};
use crate::error::{Error, Kind};
use crate::observe::{Action, Event, Observer, Progress};
use crate::target::TargetError;

/// Problems kept for the summary; the rest are counted.
const PROBLEM_COUNT_MAX: usize = 1000;
/// Times in a row that the store may not answer before the restore gives up.
const UNAVAILABLE_COUNT_MAX: u32 = 8;

/// Counts, problems, and the reason to stop.
pub(super) struct Report<'a> {
    observer: &'a dyn Observer,
    bytes_total: u64,
    must_stop: AtomicBool,
    error: Mutex<Option<Error>>,
    problems: Mutex<Vec<RestoreProblem>>,
    unavailable: AtomicU32,
    pub(super) counts: Counts,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) files: AtomicU64,
    pub(super) directories: AtomicU64,
    pub(super) others: AtomicU64,
    pub(super) links: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) excluded: AtomicU64,
    /// Entries below something that could not be restored.
    pub(super) lost: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// Deleted, as the snapshot does not have them.
    pub(super) removed: AtomicU64,
    /// Read back and compared.
    pub(super) compared: AtomicU64,
    /// Those of them that differ.
    pub(super) differing: AtomicU64,
    pub(super) problems: AtomicU64,
    pub(super) damaged: AtomicU64,
}

pub(super) fn add(count: &AtomicU64, number: u64) {
    count.fetch_add(number, Ordering::Relaxed);
}

impl<'a> Report<'a> {
    pub(super) fn new(observer: &'a dyn Observer, bytes_total: Option<u64>) -> Self {
        Self {
            observer,
            bytes_total: bytes_total.unwrap_or(0),
            must_stop: AtomicBool::new(false),
            error: Mutex::default(),
            problems: Mutex::default(),
            unavailable: AtomicU32::new(0),
            counts: Counts::default(),
        }
    }

    /// True once the work must end; asks the observer.
    pub(super) fn is_stopped(&self) -> bool {
        if !self.must_stop.load(Ordering::Relaxed) && self.observer.is_interrupted() {
            self.stop(Error::new(Kind::Interrupted, "restore interrupted"));
        }
        self.must_stop.load(Ordering::Relaxed)
    }

    /// Ends the restore; the first reason counts.
    pub(super) fn stop(&self, error: Error) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.must_stop.store(true, Ordering::Relaxed);
    }

    /// An entry that the target did not take, or the end if it takes nothing more.
    pub(super) fn refused(&self, path: &[u8], location: &str, error: TargetError) {
        match error {
            TargetError::Entry(what) => {
                let problem = RestoreProblem { path: path.to_vec(), what, is_damage: false };
                self.observer.event(Event::Note(&problem.to_string()));
                self.add(problem);
            }
            fatal @ TargetError::Fatal { .. } => self.stop(fatal.into_error(location)),
        }
    }

    /// An entry whose bytes the repository did not give, or the end if it gives nothing more.
    pub(super) fn damaged(&self, path: &[u8], error: Error) {
        let ends = match error.kind() {
            Kind::Corrupt | Kind::NotFound | Kind::Unsupported => false,
            Kind::Unavailable => {
                self.unavailable.fetch_add(1, Ordering::Relaxed) + 1 >= UNAVAILABLE_COUNT_MAX
            }
            _ => true,
        };
        if ends {
            return self.stop(error);
        }
        let problem =
            RestoreProblem { path: path.to_vec(), what: error.to_string(), is_damage: true };
        self.observer.event(Event::Finding(&problem.to_string()));
        add(&self.counts.damaged, 1);
        self.add(problem);
    }

    /// An entry that reads back otherwise than it should.
    pub(super) fn differs(&self, path: &[u8], what: &str) {
        let what = format!("differs: {what}");
        let problem = RestoreProblem { path: path.to_vec(), what, is_damage: true };
        self.observer.event(Event::Finding(&problem.to_string()));
        add(&self.counts.differing, 1);
        self.keep(problem);
    }

    /// The paths of the problems so far, those that are kept.
    pub(super) fn problem_paths(&self) -> HashSet<Vec<u8>> {
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.iter().map(|problem| problem.path.clone()).collect()
    }

    /// True if the repository did not give everything.
    pub(super) fn is_damaged(&self) -> bool {
        self.counts.damaged.load(Ordering::Relaxed) > 0
    }

    /// The store gave bytes.
    pub(super) fn is_available(&self) {
        if self.unavailable.load(Ordering::Relaxed) != 0 {
            self.unavailable.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn note(&self, text: &str) {
        self.observer.event(Event::Note(text));
    }

    pub(super) fn entry(&self, action: Action, path: &[u8], bytes: u64) {
        if self.observer.wants_entries() {
            self.observer.event(Event::Entry { action, path, bytes });
        }
    }

    pub(super) fn progress(&self) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.observer.event(Event::Progress(Progress {
            files_done: count(&self.counts.files) + count(&self.counts.links),
            files_total: 0,
            bytes_done: count(&self.counts.bytes),
            bytes_total: self.bytes_total,
            bytes_written: count(&self.counts.bytes),
            errors: count(&self.counts.problems),
        }));
    }

    fn add(&self, problem: RestoreProblem) {
        add(&self.counts.problems, 1);
        self.keep(problem);
    }

    fn keep(&self, problem: RestoreProblem) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.len() < PROBLEM_COUNT_MAX {
            problems.push(problem);
        }
    }

    /// # Errors
    /// The reason to stop, if there was one.
    pub(super) fn into_summary(self) -> crate::error::Result<RestoreSummary> {
        if let Some(error) = self.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let counts = self.counts;
        Ok(RestoreSummary {
            files: counts.files.into_inner(),
            directories: counts.directories.into_inner(),
            others: counts.others.into_inner(),
            links: counts.links.into_inner(),
            skipped: counts.skipped.into_inner(),
            excluded: counts.excluded.into_inner(),
            lost: counts.lost.into_inner(),
            bytes: counts.bytes.into_inner(),
            removed: counts.removed.into_inner(),
            compared: counts.compared.into_inner(),
            differing: counts.differing.into_inner(),
            fetched_bytes: 0,
            problem_count: counts.problems.into_inner(),
            damaged_count: counts.damaged.into_inner(),
            sealed_sources: 0,
            problems: self.problems.into_inner().unwrap_or_else(PoisonError::into_inner),
        })
    }
}
