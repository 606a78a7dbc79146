//! Restores the sources of a snapshot, one after the other.

use std::sync::Arc;

use super::origin::{ChunkStream, EntryStream, Origin, Place};
use super::{RestoreOptions, RestoreSummary, restore_origins};
use crate::error::{Error, Kind, Result};
use crate::manifest::{Entries, chunks_of, decode_xattrs};
use crate::model::{
    Content, NodeRef, Purpose, Snapshot, SnapshotState, Source, SourceStatus, Xattr, Xattrs,
};
use crate::observe::{Event, Observer};
use crate::repo::{ChunkReader, Repository, sources_of};

/// Restores what `options` ask for of the sources that `snapshot` holds, or of the one that `only`
/// names; of one that failed in the backup it notes so. Problems of single entries are reported,
/// counted, and the work goes on.
///
/// # Errors
/// As [`restore_origins`]; `NotFound` if there is no source `only`.
pub fn restore(
    repo: &Repository,
    snapshot: &Snapshot,
    only: Option<&str>,
    options: &RestoreOptions,
    observer: &dyn Observer,
) -> Result<RestoreSummary> {
    let sources = sources_of(snapshot, only)?;
    for source in sources.iter().filter(|source| source.root.is_none()) {
        let name = &source.name;
        let what = format!("source {name} was not captured: the snapshot does not hold it");
        observer.event(Event::Note(&what));
    }
    let held: Vec<_> =
        sources.into_iter().filter_map(|source| Some((source, source.root?))).collect();
    if held.is_empty() {
        return Err(Error::new(Kind::NotFound, "the snapshot holds nothing to restore"));
    }
    let reader = repo.reader(observer)?;
    let mut summary = restore_held(&reader, snapshot.state, &held, options, observer)?;
    summary.fetched_bytes = reader.fetched_bytes();
    Ok(summary)
}

fn restore_held(
    reader: &ChunkReader<'_>,
    state: SnapshotState,
    held: &[(&Source, NodeRef)],
    options: &RestoreOptions,
    observer: &dyn Observer,
) -> Result<RestoreSummary> {
    let get = |node: &NodeRef| reader.node(node);
    let get = &get;
    let entries: Vec<_> = held
        .iter()
        .map(|(_, root)| {
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
    let frame = |place: &Place| reader.frame(place).map(Arc::new);
    let prove = |chunk: &NodeRef, place: &Place, plain: &[u8]| {
        reader.checked(chunk.class, Purpose::Data, &chunk.id, place, plain).map(|_| ())
    };
    let is_chunk = |chunk: &NodeRef, bytes: &[u8]| reader.is_chunk(chunk, bytes);
    let chunk = |chunk: &NodeRef| reader.chunk(chunk);
    let origin = |((source, _), entries)| -> Origin<'_> {
        let source: &Source = source;
        Origin {
            entries,
            chunks: &chunks,
            attributes: &attributes,
            place: &place,
            frame: &frame,
            prove: &prove,
            is_chunk: &is_chunk,
            chunk: &chunk,
            bytes_total: Some(source.bytes),
            entries_total: Some(source.entries),
            roots: source.roots.iter().map(|root| relative(root)).collect(),
            is_complete: source.errors == 0
                && source.status == SourceStatus::Complete
                && state != SnapshotState::Incomplete,
        }
    };
    let origins: Vec<_> =
        held.iter().zip(&entries).map(|(held, entries)| origin((*held, entries as &_))).collect();
    restore_origins(&origins, options, observer)
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
