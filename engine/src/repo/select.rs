//! Choosing one snapshot by what a user typed.

use super::Repository;
use crate::error::{Error, Kind, Result};
use crate::model::{Snapshot, SnapshotRef, Source};
use crate::observe::{Event, Observer};

/// Narrows which snapshots are meant. Empty fields match everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub host: Option<String>,
    pub job: Option<String>,
    /// All of these.
    pub tags: Vec<String>,
}

impl Filter {
    /// True if `snapshot` is meant.
    #[must_use]
    pub fn matches(&self, snapshot: &Snapshot) -> bool {
        self.matches_of(&snapshot.host, &snapshot.job, &snapshot.tags)
    }

    /// True if a snapshot of this host and job with these tags is meant.
    #[must_use]
    pub fn matches_of(&self, host: &str, job: &str, tags: &[String]) -> bool {
        self.host.as_ref().is_none_or(|wanted| wanted == host)
            && self.job.as_ref().is_none_or(|wanted| wanted == job)
            && self.tags.iter().all(|tag| tags.contains(tag))
    }
}

/// Shortest id prefix that is taken, in digits.
const PREFIX_LEN_MIN: usize = 4;

/// How far the clocks of hosts may be apart without being wrong, nanoseconds: ten minutes.
const SKEW_NS: i64 = 600 * 1_000_000_000;

/// True if a snapshot of `started_ns` is later than it is now, by more than clocks differ.
#[must_use]
pub fn is_ahead(started_ns: i64, now_ns: i64) -> bool {
    started_ns > now_ns.saturating_add(SKEW_NS)
}

impl Repository {
    /// Finds the snapshot that `name` means: `latest` (narrowed by `filter`) or a prefix of an id. What is later than it
    /// is now is the latest only if nothing else is there: a clock was wrong.
    ///
    /// # Errors
    /// `NotFound` when nothing matches, `Input` when the prefix is too short or matches several.
    pub fn select(
        &self,
        name: &str,
        filter: &Filter,
        observer: &dyn Observer,
    ) -> Result<(SnapshotRef, Snapshot)> {
        let mut found = self.snapshots(name != "latest", observer)?;
        if name == "latest" {
            found.retain(|(_, snapshot)| filter.matches(snapshot));
            let now_ns = self.clock().now_ns();
            found.sort_by_key(|(_, snapshot)| !is_ahead(snapshot.started_ns, now_ns));
            if let Some((object, snapshot)) = found.first().filter(|_| found.len() > 1)
                && is_ahead(snapshot.started_ns, now_ns)
            {
                let what = format!(
                    "snapshot {} is later than it is now, so that a clock is or was wrong: it is not taken for the \
                     latest",
                    object.sid
                );
                observer.event(Event::Note(&what));
            }
            return found.pop().ok_or_else(|| {
                Error::new(Kind::NotFound, "no snapshot matches `latest`; see `coffer snapshots`")
            });
        }
        let hex = name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if name.len() < PREFIX_LEN_MIN || !hex {
            let what = format!(
                "`{name}` is not a snapshot: give `latest` or at least {PREFIX_LEN_MIN} digits of an id"
            );
            return Err(Error::new(Kind::Input, what));
        }
        found.retain(|(object, _)| object.sid.to_string().starts_with(name));
        match (found.pop(), found.is_empty()) {
            (None, _) => {
                let what = format!("no snapshot has the id {name}; see `coffer snapshots`");
                Err(Error::new(Kind::NotFound, what))
            }
            (Some(one), true) => Ok(one),
            (Some(_), false) => {
                let what = format!("several snapshots begin with {name}: give more digits");
                Err(Error::new(Kind::Input, what))
            }
        }
    }
}

/// The sources that a command works on: all, or the one called `only`.
///
/// # Errors
/// `NotFound` naming the sources there are.
pub fn sources_of<'s>(snapshot: &'s Snapshot, only: Option<&str>) -> Result<Vec<&'s Source>> {
    let is_chosen = |source: &&Source| only.is_none_or(|name| source.name == name);
    let chosen: Vec<_> = snapshot.sources.iter().filter(is_chosen).collect();
    match only {
        Some(name) if chosen.is_empty() => {
            let names: Vec<_> =
                snapshot.sources.iter().map(|source| source.name.as_str()).collect();
            let what = format!("the snapshot has no source {name}, but: {}", names.join(", "));
            Err(Error::new(Kind::NotFound, what))
        }
        _ => Ok(chosen),
    }
}
