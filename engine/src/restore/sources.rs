//! Restores the sources of a snapshot, one after the other.

use std::sync::Arc;

use super::origin::{ChunkStream, EntryStream, Origin, Place};
use super::{RestoreOptions, RestoreSummary, restore_origins};
use crate::error::{Error, Kind, Result};
use crate::manifest::{Entries, chunks_of, decode_xattrs};
use crate::model::{
    Class, Content, FrameKind, NodeRef, Purpose, Snapshot, SnapshotState, Source, SourceStatus,
    Xattr, Xattrs,
};
use crate::observe::{Event, Observer};
use crate::repo::{ChunkReader, Repository, sources_of};
use crate::source::sqlite::{Facts, fact_name};

/// Restores what `options` ask for of the sources that `snapshot` holds, or of the one that `only`
/// names; of one that failed in the backup it notes so. Problems of single entries are reported,
/// counted, and the work goes on.
///
/// # Errors
/// As [`restore_origins`]; `NotFound` if there is no source `only`; `Refused` if what is asked for
/// could be in a source of secrets only, which the key in use may not read, or if something is to be
/// deleted and nobody knows what one of the snapshot's sources has.
pub fn restore(
    repo: &Repository,
    snapshot: &Snapshot,
    only: Option<&str>,
    options: &RestoreOptions,
    observer: &dyn Observer,
) -> Result<RestoreSummary> {
    let sources = sources_of(snapshot, only)?;
    if snapshot.state == SnapshotState::Incomplete {
        let what = "this is a checkpoint of a backup that did not come to its end: it holds what was \
                    done by then, and no more";
        observer.event(Event::Note(what));
    }
    let (mut held, sealed) = readable(repo, sources, observer);
    if held.is_empty() && sealed == 0 {
        return Err(Error::new(Kind::NotFound, "the snapshot holds nothing to restore"));
    }
    if held.is_empty() {
        return Err(sealed_away());
    }
    if options.delete {
        refuse_unknown(repo, snapshot)?;
        held.extend(others(snapshot, only));
    }
    let reader = repo.reader(observer)?.for_differences();
    let restored = restore_held(&reader, snapshot.state, &held, options, observer);
    let mut summary = restored.map_err(|error| match error.kind() {
        Kind::NotFound if sealed > 0 => sealed_away(),
        _ => error,
    })?;
    summary.fetched_bytes = reader.fetched_bytes();
    summary.sealed_sources = sealed;
    Ok(summary)
}

/// A source that can be read.
pub(super) struct Held<'s> {
    pub(super) source: &'s Source,
    root: NodeRef,
    is_chosen: bool,
}

/// Those of `sources` that can be read, and how many hold secrets that the key in use may not read; a
/// note tells of each that cannot.
pub(super) fn readable<'s>(
    repo: &Repository,
    sources: Vec<&'s Source>,
    observer: &dyn Observer,
) -> (Vec<Held<'s>>, u64) {
    let note = |source: &Source, what: &str| {
        let what = format!("source {} {what}", source.name);
        observer.event(Event::Note(&what));
    };
    let (mut held, mut sealed) = (Vec::new(), 0);
    for source in sources {
        match source.root {
            None => note(source, "was not captured: the snapshot does not hold it"),
            Some(_) if !repo.may_read(source) => {
                note(source, "holds secrets, which the key in use may not read: not restored");
                sealed += 1;
            }
            Some(root) => held.push(Held { source, root, is_chosen: true }),
        }
    }
    (held, sealed)
}

/// The sources besides `only`: they may hold what stands in a folder of that one.
fn others<'s>(snapshot: &'s Snapshot, only: Option<&str>) -> impl Iterator<Item = Held<'s>> {
    let others = snapshot.sources.iter().filter(move |it| only.is_some_and(|name| it.name != name));
    others.filter_map(|source| Some(Held { source, root: source.root?, is_chosen: false }))
}

/// Asserts that the paths of all sources are known: what a source has that cannot be read would look
/// as if the snapshot did not have it.
///
/// # Errors
/// `Refused` naming a source that failed, or that holds secrets which the key in use may not read.
fn refuse_unknown(repo: &Repository, snapshot: &Snapshot) -> Result<()> {
    for source in &snapshot.sources {
        let (why, way) = match source.root {
            None => ("was not captured", "choose a snapshot that has it"),
            Some(_) if !repo.may_read(source) => (
                "holds secrets, which the key in use may not read",
                "use a key that may (`coffer key list` tells which)",
            ),
            Some(_) => continue,
        };
        let what = format!(
            "source {} {why}: what stands there of it would be deleted; restore without --delete, \
             or {way}",
            source.name
        );
        return Err(Error::new(Kind::Refused, what));
    }
    Ok(())
}

pub(super) fn sealed_away() -> Error {
    Error::new(
        Kind::Refused,
        "what is asked for is in no source that the key in use may read, and it may not read \
         secrets: use a key that may (`coffer key list` tells which)",
    )
}

fn restore_held(
    reader: &ChunkReader<'_>,
    state: SnapshotState,
    held: &[Held<'_>],
    options: &RestoreOptions,
    observer: &dyn Observer,
) -> Result<RestoreSummary> {
    let get = |node: &NodeRef| reader.node(node);
    let get = &get;
    let entries: Vec<_> = held
        .iter()
        .map(|Held { root, .. }| {
            move |folder: &[u8]| -> EntryStream<'_> { Box::new(Entries::within(root, folder, get)) }
        })
        .collect();
    let chunks = |content: &Content| -> ChunkStream<'_> { Box::new(chunks_of(content, get)) };
    let attributes = |xattrs: &Xattrs| stored_attributes(reader, xattrs);
    let place = |chunk: &NodeRef| -> Result<Place> {
        let places = reader.places(&chunk.id)?;
        let first = places.first().copied();
        first.ok_or_else(|| Error::new(Kind::Corrupt, format!("chunk {} has no place", chunk.id)))
    };
    // Kept for a while: the next frames may be differences from its chunks.
    let frame = |place: &Place| match place.frame.kind {
        FrameKind::Full => reader.cached_frame(place),
        FrameKind::Delta => reader.frame(place).map(Arc::new),
    };
    let prove = |chunk: &NodeRef, place: &Place, plain: &[u8]| {
        reader.checked(chunk.class, Purpose::Data, &chunk.id, place, plain).map(|_| ())
    };
    let is_chunk = |chunk: &NodeRef, bytes: &[u8]| reader.is_chunk(chunk, bytes);
    let chunk = |chunk: &NodeRef| reader.chunk(chunk);
    let facts: Vec<_> =
        held.iter().map(|held| |path: &[u8]| facts_of_database(held.source, path)).collect();
    let origins: Vec<_> = held
        .iter()
        .zip(entries.iter().zip(&facts))
        .map(|(Held { source, root, is_chosen }, (entries, facts))| Origin {
            facts,
            entries,
            chunks: &chunks,
            attributes: &attributes,
            place: &place,
            frame: &frame,
            prove: &prove,
            is_chunk: &is_chunk,
            chunk: &chunk,
            is_secret: root.class == Class::S,
            plain_len: reader.memory().plain_len(),
            bytes_total: Some(source.bytes),
            entries_total: Some(source.entries),
            is_chosen: *is_chosen,
            roots: source.roots.iter().map(|root| relative(root)).collect(),
            is_complete: source.errors == 0
                && source.status == SourceStatus::Complete
                && state != SnapshotState::Incomplete,
        })
        .collect();
    restore_origins(&origins, options, observer)
}

/// What was measured of the database at `path` (format-spec page 6).
fn facts_of_database(source: &Source, path: &[u8]) -> Option<Facts> {
    let facts = match source.kind.as_str() {
        "sqlite" => Facts { values: source.facts.clone() },
        _ => Facts::of_line(source.facts.get(&fact_name(&[b"/", path].concat()))?),
    };
    (!facts.values.is_empty()).then_some(facts)
}

/// An absolute path as entries have it.
fn relative(root: &[u8]) -> Vec<u8> {
    root.strip_prefix(b"/").unwrap_or(root).to_vec()
}

fn stored_attributes(reader: &ChunkReader<'_>, xattrs: &Xattrs) -> Result<Vec<Xattr>> {
    match xattrs {
        Xattrs::Inline(list) => Ok(list.clone()),
        Xattrs::Stored { len, chunks } => {
            let mut list = Vec::new();
            for chunk in chunks {
                list.extend_from_slice(&reader.chunk(chunk)?);
                if list.len() as u64 > *len {
                    break;
                }
            }
            if list.len() as u64 != *len {
                let what = format!("attributes have {} bytes, the entry says {len}", list.len());
                return Err(Error::new(Kind::Corrupt, what));
            }
            Ok(decode_xattrs(&list)?)
        }
    }
}
