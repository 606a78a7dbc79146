//! Snapshots of databases as soon as they change: for as long as nobody asks to stop, by commands that
//! others may give too.
//!
//! Nothing is carried from one snapshot to the next but that which is true of any two runs: each
//! reads the databases as they are, and compares with the last sealed snapshot.

mod pace;
mod problems;
#[cfg(test)]
mod tests;
mod thin;
mod thinner;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use std::{io, mem};

use crate::backup::{BackupOptions, BackupSummary, SourceOptions, backup, job_of};
use crate::error::{Error, Kind, Result};
use crate::observe::{Event, Observer};
use crate::repo::Repository;
use crate::source::sqlite::{Check, Client, SqliteOptions};

pub use pace::Pace;
pub use thin::{Thinned, Thinning, thin};

use problems::{Problems, Work};
use thin::Own;
use thinner::Thinner;

/// Between two looks, at least.
const POLL_MIN: Duration = Duration::from_millis(10);
/// After how long what could not be read, or asked, is read again though nothing is known to have changed.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How often whoever waits looks whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How databases are watched.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// How often is looked whether somebody has written.
    pub poll: Duration,
    /// From the beginning of one snapshot to that of the next, at least.
    pub interval: Duration,
    /// From one check of the databases to the next, at least; in between they are stored unchecked.
    pub check_interval: Duration,
    /// Snapshots after which to end; none for never.
    pub count_max: Option<u64>,
    /// How what was made is thinned; none keeps everything.
    pub thinning: Option<Thinning>,
}

/// Makes snapshots until `observer` asks to stop, or as many as were asked for. `make` tells what to
/// back up, anew each time, since databases come and go; `tell` hears of every snapshot.
///
/// What cannot be reached now is tried again, ever more seldom, and told.
///
/// # Errors
/// `Interrupted` when asked to stop; `NewRing` when the repository is to be opened anew; those of [`backup`] that
/// trying again does not mend.
pub fn watch(
    repo: &Repository,
    options: &WatchOptions,
    make: &mut dyn FnMut() -> Result<BackupOptions>,
    observer: &dyn Observer,
    tell: &mut dyn FnMut(&BackupSummary),
) -> Result<()> {
    let problems = Problems::new(observer);
    let mut watching = Watching {
        repo,
        options,
        observer: &problems,
        monitor: None,
        sealed: None,
        checked: None,
        is_unchecked: false,
        look_again: None,
        is_full: false,
        pace: Pace::new(options.interval),
    };
    thread::scope(|scope| {
        let thinning = options.thinning.as_ref();
        let mut thinner = thinning.map(|it| Thinner::new(scope, repo, it, &problems));
        let mut count = 0;
        while options.count_max.is_none_or(|max| count < max) {
            let asked = make()?;
            let own = Own::new(&asked, job_of(repo, &asked)?);
            if let Some(summary) = watching.look(asked)? {
                tell(&summary);
                count += 1;
                thinner.iter_mut().for_each(Thinner::count);
            }
            if let Some(thinner) = &mut thinner {
                if mem::take(&mut watching.is_full) {
                    thinner.want_room();
                }
                thinner.look(&own)?;
            }
            if options.count_max.is_none_or(|max| count < max) {
                watching.wait()?;
            }
        }
        Ok(())
    })
}

struct Watching<'w> {
    repo: &'w Repository,
    options: &'w WatchOptions,
    observer: &'w Problems<'w>,
    /// Looks for changes; none at first, and after it has died.
    monitor: Option<Client>,
    /// The states of the databases that the last snapshot shows, or later ones; none if nothing is known of any.
    sealed: Option<Vec<(PathBuf, Option<String>)>>,
    /// When the databases were checked last, and found sound.
    checked: Option<Instant>,
    /// The last snapshot was not.
    is_unchecked: bool,
    /// When to read the databases though nothing is known to have changed: some could not be read, or
    /// asked.
    look_again: Option<Instant>,
    /// The last snapshot had no room.
    is_full: bool,
    pace: Pace,
}

impl Watching<'_> {
    /// Makes a snapshot if it is time for one and something has changed.
    fn look(&mut self, asked: BackupOptions) -> Result<Option<BackupSummary>> {
        let Some(sqlite) = asked.sqlite.clone() else {
            return Err(Error::new(Kind::Input, "databases cannot be read in this run"));
        };
        let paths: Vec<PathBuf> = asked.sources.iter().filter_map(found).collect();
        let states = match self.states(&sqlite, &paths) {
            Ok(states) => states,
            Err(_) if self.observer.is_interrupted() => return Err(interrupted()),
            Err(error) => {
                // What another says has nothing to do with what this one said.
                (self.monitor, self.sealed) = (None, None);
                let error = Error::io("cannot look for changes", error);
                self.observer.fail(Work::Looking, &error, "trying again");
                return Ok(None);
            }
        };
        self.observer.succeed(Work::Looking);
        let seen: Vec<_> = paths.into_iter().zip(states).collect();
        let checks = self.checked.is_none_or(|at| at.elapsed() >= self.options.check_interval);
        let is_due = self.sealed.as_ref() != Some(&seen)
            || self.look_again.is_some_and(|at| Instant::now() >= at)
            || (checks && self.is_unchecked);
        if !is_due || !self.pace.may_begin() {
            return Ok(None);
        }
        self.pace.begin();
        self.observer.begin();
        let asked = if checks { asked } else { unchecked(asked) };
        match backup(self.repo, asked, self.observer) {
            Ok(summary) => {
                self.pace.succeed();
                self.observer.succeed(Work::Storing);
                self.observer.end();
                let is_sure = !summary.partial && seen.iter().all(|(_, state)| state.is_some());
                self.look_again = (!is_sure).then(|| Instant::now() + LOOK_AGAIN);
                self.sealed = Some(seen);
                self.is_unchecked = !checks;
                if checks {
                    // A damaged one is checked each time until it no longer is: unchecked it would count as whole.
                    self.checked = (summary.damaged == 0).then(Instant::now);
                }
                // What is there is sealed already: after a start, say, or when only the WAL was emptied.
                Ok(Some(summary).filter(|summary| summary.snapshot_id.is_some()))
            }
            Err(error) if may_pass(&error) && self.observer.is_interrupted() => Err(interrupted()),
            Err(error) if may_pass(&error) => {
                let wait = self.pace.fail();
                self.is_full = error.kind() == Kind::NoSpace;
                let next = format!("trying again in {} s", wait.as_secs().max(1));
                self.observer.fail(Work::Storing, &error, &next);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn states(
        &mut self,
        sqlite: &SqliteOptions,
        paths: &[PathBuf],
    ) -> io::Result<Vec<Option<String>>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let monitor = match &mut self.monitor {
            Some(monitor) => monitor,
            None => self.monitor.insert(Client::start(sqlite, None)?),
        };
        let states = monitor.states(paths, sqlite, &|| self.observer.is_interrupted())?;
        for (path, why) in monitor.take_lost() {
            let (path, secs) = (path.display(), LOOK_AGAIN.as_secs());
            let what = format!(
                "{path}: whether it changes cannot be seen ({why}); it is read every {secs} s until then"
            );
            self.observer.event(Event::Warning(&what));
        }
        Ok(states)
    }

    /// Waits for the time of the next look.
    fn wait(&self) -> Result<()> {
        let start = Instant::now();
        let poll = self.options.poll.max(POLL_MIN);
        while start.elapsed() < poll {
            if self.observer.is_interrupted() {
                return Err(interrupted());
            }
            thread::sleep(LOOK_EVERY.min(poll.saturating_sub(start.elapsed())));
        }
        if self.observer.is_interrupted() { Err(interrupted()) } else { Ok(()) }
    }
}

fn found(source: &SourceOptions) -> Option<PathBuf> {
    match source {
        SourceOptions::Sqlite(database) => database.found.as_ref().ok().cloned(),
        _ => None,
    }
}

fn unchecked(mut asked: BackupOptions) -> BackupOptions {
    if let Some(sqlite) = &mut asked.sqlite {
        sqlite.tables = false;
        // Only of a sound database is known which pages are free.
        if !sqlite.zero_free_pages {
            sqlite.check = Check::None;
        }
    }
    asked
}

/// True for errors after which trying again may help.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::NoSpace | Kind::NotFound | Kind::Conflict)
}

fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "interrupted; the last snapshot told is safe")
}
