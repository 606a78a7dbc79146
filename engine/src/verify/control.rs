//! Who may open and who wrote: slots, authors, and the chain of generations.

use std::collections::BTreeSet;

use super::Report;
use crate::error::{Error, Kind, Result};
use crate::fence::View;
use crate::model::{HostId, ObjectHash, Snapshot, SnapshotRef};
use crate::observe::{Event, Observer};
use crate::repo::Repository;

/// Slots that the ring does not list, and those it lists that are gone or not theirs.
pub(super) fn slots(repo: &Repository, report: &mut Report, observer: &dyn Observer) -> Result<()> {
    for slot in repo.stray_slots()? {
        // An interrupted change of keys leaves one; it harms nothing, so it is no damage.
        let what =
            format!("keys/{slot} is a key slot that the ring does not list: it opens nothing");
        observer.event(Event::Note(&what));
    }
    for key in repo.keys()? {
        match repo.check_slot(&key.slot) {
            Ok(()) => {}
            Err(error) if error.kind().is_damage() => {
                report.find(observer, format!("keys/{}", key.slot), error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Bad-pack records that cannot be read: which pack they name is not known.
pub(super) fn records(
    repo: &Repository,
    report: &mut Report,
    observer: &dyn Observer,
) -> Result<()> {
    for (_, record) in repo.records("bad-pack")? {
        if let Err(error) = record {
            report.find(observer, "record", error);
        }
    }
    Ok(())
}

/// Tells of authors that the ring does not list: a new host, or a foreign one.
pub(super) fn authors(
    repo: &Repository,
    snapshots: &[(SnapshotRef, Snapshot)],
    observer: &dyn Observer,
) {
    let known: BTreeSet<HostId> =
        repo.unlocked().ring.authors.iter().map(|author| author.host).collect();
    let unknown: BTreeSet<HostId> = snapshots
        .iter()
        .map(|(_, snapshot)| snapshot.author)
        .filter(|author| !known.contains(author))
        .collect();
    for author in unknown {
        let what = format!("author {author} of some snapshots is not enrolled in the ring");
        observer.event(Event::Note(&what));
    }
}

/// Checks the whole chain of generations, closes and fates; none if what is valid cannot be told.
pub(super) fn generations(
    repo: &Repository,
    report: &mut Report,
    observer: &dyn Observer,
) -> Result<Option<View>> {
    let checked = repo.generation_count().and_then(|(made, closed)| {
        let (mut before, mut close_before) = (ObjectHash([0; 32]), ObjectHash([0; 32]));
        for number in 1..=made {
            if observer.is_interrupted() {
                return Err(Error::new(Kind::Interrupted, "interrupted"));
            }
            let (generation, named) = repo.load_generation(number)?;
            if generation.previous != before {
                return Err(breaks(&format!("gen/{number}")));
            }
            before = named.hash;
            if number > closed {
                continue;
            }
            let (close, hash) = repo.load_close(number)?;
            if close.generation != named.hash || close.previous != close_before {
                return Err(breaks(&format!("gen/{number}.close")));
            }
            close_before = hash;
            if repo.load_fate(number)?.is_some_and(|fate| fate.close != hash) {
                return Err(breaks(&format!("gen/{number}.fate")));
            }
        }
        Ok(())
    });
    match checked.and_then(|()| repo.view()) {
        Ok(view) => Ok(Some(view)),
        Err(error) if error.kind().is_damage() => {
            report.find(observer, "gen", error);
            // Damage below the last full close leaves the rest readable.
            Ok(repo.view().ok())
        }
        Err(error) => Err(error),
    }
}

fn breaks(name: &str) -> Error {
    Error::new(Kind::Corrupt, format!("{name}: does not name what stands before it"))
}
