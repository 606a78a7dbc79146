//! The databases of a run that were asked for by name, at one moment.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::observe::{Event, Observer};
use crate::source::sqlite::{Client, SqliteOptions, shown};

/// Databases held at once: each takes five open files of a process, which has 1024.
const COUNT_MAX: usize = 150;

/// Databases that a note names at most.
const NAMED_COUNT_MAX: usize = 10;

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
    /// Fixes a moment for several databases; notes which are not of it.
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
            let held = client.hold(&paths, options, &is_stopped)?;
            Ok((client, held))
        });
        let (client, held) = match held {
            Ok(held) => held,
            Err(error) => return note(error.to_string()),
        };
        let left_out = listed(&held.left_out);
        match held.count {
            0 if held.left_out.len() == paths.len() => note(left_out),
            0 => note(format!("in {} tries none was found between their commits", held.tries)),
            1 => note(left_out),
            count if !left_out.is_empty() => {
                let what = format!(
                    "{count} of the {} databases are stored at one moment, others each at its own \
                     moment: {left_out}",
                    paths.len()
                );
                observer.event(Event::Note(&what));
            }
            _ => {}
        }
        if held.count > 0 {
            *self.lock() = Held { client: Some(client), paths };
        } else {
            options.clients.give_back(client);
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

/// The first of those that are left out, and why.
fn listed(left_out: &[(PathBuf, String)]) -> String {
    let one =
        |(path, why): &(PathBuf, String)| format!("{} ({why})", shown(path.as_os_str().as_bytes()));
    let mut named: Vec<_> = left_out.iter().take(NAMED_COUNT_MAX).map(one).collect();
    let more = left_out.len().saturating_sub(NAMED_COUNT_MAX);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}
