//! Snapshots of databases as soon as they change: for as long as nobody asks to stop, by commands that
//! others may give too.
//!
//! Nothing is carried from one snapshot to the next but that which is true of any two runs: each
//! reads the databases as they are, and compares with the last sealed snapshot.

mod pace;

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::backup::{BackupOptions, BackupSummary, SourceOptions, backup};
use crate::error::{Error, Kind, Result};
use crate::observe::{Event, Observer};
use crate::repo::Repository;
use crate::source::sqlite::{Check, Client, SqliteOptions};

pub use pace::Pace;

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
}

/// Makes snapshots until `observer` asks to stop, or as many as were asked for. `make` tells what to
/// back up, anew each time, since databases come and go; `tell` hears of every snapshot.
///
/// What cannot be reached now is tried again, ever more seldom, and told.
///
/// # Errors
/// `Interrupted` when asked to stop; those of [`backup`] that trying again does not mend.
pub fn watch(
    repo: &Repository,
    options: &WatchOptions,
    make: &mut dyn FnMut() -> Result<BackupOptions>,
    observer: &dyn Observer,
    tell: &mut dyn FnMut(&BackupSummary),
) -> Result<()> {
    let mut watching = Watching {
        repo,
        options,
        observer,
        monitor: None,
        sealed: Vec::new(),
        checked: None,
        pace: Pace::new(options.interval),
    };
    let mut count = 0;
    while options.count_max.is_none_or(|max| count < max) {
        let asked = make()?;
        if let Some(summary) = watching.look(asked)? {
            tell(&summary);
            count += 1;
        }
        if options.count_max.is_none_or(|max| count < max) {
            watching.wait()?;
        }
    }
    Ok(())
}

struct Watching<'w> {
    repo: &'w Repository,
    options: &'w WatchOptions,
    observer: &'w dyn Observer,
    /// Looks for changes; none at first, and after it has died.
    monitor: Option<Client>,
    /// The states of the databases that the last snapshot shows, or later ones.
    sealed: Vec<(PathBuf, Option<String>)>,
    /// When the databases were checked last.
    checked: Option<Instant>,
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
                self.monitor = None;
                self.note(&format!("cannot look for changes: {error}"));
                return Ok(None);
            }
        };
        let seen: Vec<_> = paths.into_iter().zip(states).collect();
        if !has_changed(&self.sealed, &seen) || !self.pace.may_begin() {
            return Ok(None);
        }
        self.pace.begin();
        let checks = self.checked.is_none_or(|at| at.elapsed() >= self.options.check_interval);
        let asked = if checks { asked } else { unchecked(asked) };
        match backup(self.repo, asked, self.observer) {
            Ok(summary) => {
                self.pace.succeed();
                // What was not read is looked at again.
                self.sealed = if summary.partial { Vec::new() } else { seen };
                if checks {
                    self.checked = Some(Instant::now());
                }
                Ok(Some(summary))
            }
            Err(error) if may_pass(&error) && !self.observer.is_interrupted() => {
                let wait = self.pace.fail();
                self.note(&format!("{error}; trying again in {} s", wait.as_secs().max(1)));
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
        let monitor = match &mut self.monitor {
            Some(monitor) => monitor,
            None => self.monitor.insert(Client::start(sqlite, None)?),
        };
        monitor.states(paths, sqlite, &|| self.observer.is_interrupted())
    }

    fn note(&self, what: &str) {
        self.observer.event(Event::Note(what));
    }

    /// Waits for the time of the next look.
    fn wait(&self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < self.options.poll {
            if self.observer.is_interrupted() {
                return Err(interrupted());
            }
            thread::sleep(LOOK_EVERY.min(self.options.poll.saturating_sub(start.elapsed())));
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
        (sqlite.check, sqlite.tables) = (Check::None, false);
    }
    asked
}

/// True unless every database is in the state that was sealed; one that is written to now will
/// be in another when it can be asked again.
fn has_changed(sealed: &[(PathBuf, Option<String>)], seen: &[(PathBuf, Option<String>)]) -> bool {
    sealed.len() != seen.len()
        || sealed.iter().zip(seen).any(|((path, before), (other, now))| {
            path != other || before.is_none() || (now.is_some() && now != before)
        })
}

/// True for errors after which trying again may help.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unavailable | Kind::NoSpace | Kind::NotFound | Kind::Conflict)
}

fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "interrupted; the last snapshot told is safe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_states_are_changes() {
        let states = |list: &[(&str, Option<&str>)]| -> Vec<_> {
            list.iter().map(|(path, it)| (PathBuf::from(path), it.map(str::to_owned))).collect()
        };
        let sealed = states(&[("/a", Some("1")), ("/b", Some("1"))]);
        let check = |list: &[(&str, Option<&str>)]| has_changed(&sealed, &states(list));
        assert!(!check(&[("/a", Some("1")), ("/b", Some("1"))]));
        assert!(!check(&[("/a", None), ("/b", Some("1"))]), "it is asked again");
        assert!(check(&[("/a", Some("2")), ("/b", Some("1"))]));
        assert!(check(&[("/a", Some("1"))]) && check(&[("/a", Some("1")), ("/c", Some("1"))]));
        assert!(has_changed(&[], &sealed));
        let busy = states(&[("/a", None)]);
        assert!(has_changed(&busy, &busy), "nobody knows what the snapshot has");
    }
}
