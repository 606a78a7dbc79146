//! What is wrong while databases are watched: told when it begins, from time to time, and when it is over.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, SourceError};
use crate::observe::{Event, Observer};

/// After how long what is still so is told again.
const TELL_AGAIN: Duration = Duration::from_secs(3600);

/// What can fail besides the reading of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Looking,
    Storing,
    Thinning,
}

/// Passes on what it hears, and what is wrong only when that is news.
pub(super) struct Problems<'o> {
    observer: &'o dyn Observer,
    again: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When each problem of a database was told last.
    told: HashMap<(Vec<u8>, String), Instant>,
    /// When each note was given last.
    noted: HashMap<String, Instant>,
    /// Those of the snapshot that is being made.
    met: HashSet<(Vec<u8>, String)>,
    /// What fails, how, since when that is told, and in which words.
    failing: HashMap<Work, (Kind, Instant, String)>,
}

impl<'o> Problems<'o> {
    pub(super) fn new(observer: &'o dyn Observer) -> Self {
        Self { observer, again: TELL_AGAIN, state: Mutex::default() }
    }

    /// Says that databases are read from now on.
    pub(super) fn begin(&self) {
        self.lock().met.clear();
    }

    /// Says that all of them were: what was not met is over.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        let State { told, met, .. } = &mut *state;
        let mut over: Vec<_> = told.extract_if(|problem, _| !met.contains(problem)).collect();
        drop(state);
        over.sort();
        for ((path, what), _) in over {
            self.warn(&format!("no longer: {}", SourceError::new(path, what)));
        }
    }

    /// Tells that `work` has failed, and what comes `next`.
    pub(super) fn fail(&self, work: Work, error: &Error, next: &str) {
        let mut state = self.lock();
        let known = state.failing.get(&work);
        let is_told =
            known.is_some_and(|(kind, at, _)| *kind == error.kind() && at.elapsed() < self.again);
        if !is_told {
            let failing = (error.kind(), Instant::now(), error.to_string());
            state.failing.insert(work, failing);
            drop(state);
            self.warn(&format!("{error}; {next}"));
        }
    }

    /// Tells that `work` has not failed.
    pub(super) fn succeed(&self, work: Work) {
        let failed = self.lock().failing.remove(&work);
        if let Some((_, _, what)) = failed {
            self.warn(&format!("no longer: {what}"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn(&self, what: &str) {
        self.observer.event(Event::Warning(what));
    }

    /// True if a note was not given within the last hour: what lasts would be noted at every snapshot.
    fn is_new(&self, note: &str) -> bool {
        let mut state = self.lock();
        let is_new = state.noted.get(note).is_none_or(|at| at.elapsed() >= self.again);
        if is_new {
            state.noted.retain(|_, at| at.elapsed() < self.again);
            state.noted.insert(note.to_owned(), Instant::now());
        }
        is_new
    }

    fn is_news(&self, problem: &SourceError) -> bool {
        let mut state = self.lock();
        let problem = (problem.path.clone(), problem.what.clone());
        state.met.insert(problem.clone());
        let is_news = state.told.get(&problem).is_none_or(|at| at.elapsed() >= self.again);
        if is_news {
            state.told.insert(problem, Instant::now());
        }
        is_news
    }
}

impl Observer for Problems<'_> {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::SourceProblem(problem) if !self.is_news(problem) => {}
            Event::Note(what) if !self.is_new(what) => {}
            event => self.observer.event(event),
        }
    }

    fn wants_entries(&self) -> bool {
        self.observer.wants_entries()
    }

    fn is_interrupted(&self) -> bool {
        self.observer.is_interrupted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::testing::Heard;

    #[test]
    fn what_is_wrong_is_told_when_it_begins_once_in_a_while_and_when_it_is_over() {
        let heard = Heard::default();
        let mut problems = Problems::new(&heard);
        let missing = SourceError::new("/a.db", "does not exist");
        let full = Error::new(Kind::NoSpace, "full");
        let round = |problems: &Problems<'_>, is_wrong: bool| {
            problems.begin();
            if is_wrong {
                problems.event(Event::SourceProblem(&missing));
                problems.fail(Work::Storing, &full, "again");
            } else {
                problems.succeed(Work::Storing);
            }
            problems.end();
            std::mem::take(&mut *heard.lines.lock().unwrap())
        };
        let told = ["problem /a.db: does not exist", "warning full; again"];
        assert_eq!(round(&problems, true), told);
        assert!(round(&problems, true).is_empty());
        problems.again = Duration::ZERO;
        assert_eq!(round(&problems, true), told);
        let over = ["warning no longer: full", "warning no longer: /a.db: does not exist"];
        assert_eq!(round(&problems, false), over);
        assert!(round(&problems, false).is_empty());
    }
}
