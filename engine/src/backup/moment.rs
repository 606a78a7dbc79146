//! The databases of a run that were asked for by name, at one moment.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::observe::{Event, Observer};
use crate::source::sqlite::{Client, SqliteOptions};

/// Databases held at once: each takes five open files of a process, which has 1024.
const COUNT_MAX: usize = 150;

/// Open transactions that show one moment, in a process of their own, until each was read. At first
/// there are none.
#[derive(Default)]
pub(super) struct Moment(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// None while one of them is read.
    client: Option<Client>,
    paths: Vec<PathBuf>,
}

impl Moment {
    /// Fixes a moment for several databases; notes it if there is none for all.
    pub(super) fn fix(
        &self,
        paths: Vec<PathBuf>,
        (options, folder): (&SqliteOptions, Option<&Path>),
        observer: &dyn Observer,
    ) {
        if paths.len() < 2 {
            return;
        }
        let note = |why: String| {
            let what = format!("the databases are stored each at its own moment: {why}");
            observer.event(Event::Note(&what));
        };
        if paths.len() > COUNT_MAX {
            return note(format!("more than {COUNT_MAX} of them cannot be read at one"));
        }
        let is_stopped = || observer.is_interrupted();
        let first = paths.first().cloned().unwrap_or_default();
        let held = options.clients.take(&first, options, folder).and_then(|mut client| {
            let facts = client.hold(&paths, options, &is_stopped)?;
            Ok((client, facts))
        });
        match held {
            Err(error) => note(error.to_string()),
            // Some may have failed: each tells that itself when its turn comes.
            Ok((client, facts)) if facts.get("databases") != Some("0") => {
                *self.lock() = Held { client: Some(client), paths };
            }
            Ok((client, facts)) => {
                options.clients.give_back(client);
                let tries = facts.get("tries").unwrap_or("?");
                note(format!("in {tries} tries none was found between their commits"));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client that holds the database at `path`, and which others it still holds.
    pub(super) fn take(&self, path: &Path) -> Option<(Client, Vec<PathBuf>)> {
        let mut held = self.lock();
        let at = held.paths.iter().position(|held| held == path)?;
        held.paths.remove(at);
        let client = held.client.take()?;
        Some((client, held.paths.clone()))
    }

    pub(super) fn give_back(&self, client: Client) {
        self.lock().client = Some(client);
    }
}
