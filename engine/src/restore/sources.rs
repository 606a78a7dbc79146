//! Restores the sources of a snapshot, one after the other.

use std::sync::Arc;

use super::origin::{ChunkStream, EntryStream, Origin, Place};
use super::{RestoreOptions, RestoreSummary, restore_origin};
use crate::error::{Error, Kind, Result};
use crate::manifest::{Entries, chunks_of, decode_xattrs};
use crate::model::{Class, Content, NodeRef, Purpose, Snapshot, Source, Xattr, Xattrs};
use crate::observe::{Event, Observer};
use crate::repo::{ChunkReader, Repository};

/// Restores what `options` ask for of every source that `snapshot` holds; of one that failed in the backup it notes
/// so. Problems of single entries are reported, counted, and the work goes on.
///
/// # Errors
/// `NoSpace` naming the target; `Interrupted`; `Conflict` while another restore writes there;
/// `Input` for an unsound pattern; `NotFound` if the folder is in no source; `Refused` if it could be
/// in one of secrets only, which the key in use may not read; `Unavailable` if the store goes away. No temporary is left behind; what has its name is whole.
pub fn restore(
    repo: &Repository,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    observer: &dyn Observer,
) -> Result<RestoreSummary> {
    let reader = repo.reader(observer)?;
    let mut summary: Option<RestoreSummary> = None;
    let (mut absent, mut sealed) = (None, 0);
    for source in &snapshot.sources {
        let Some(root) = source.root else {
            let what =
                format!("source {} was not captured: the snapshot does not hold it", source.name);
            observer.event(Event::Note(&what));
            continue;
        };
        if !repo.may_read(source) {
            let what = format!(
                "source {} holds secrets, which the key in use may not read: not restored",
                source.name
            );
            observer.event(Event::Note(&what));
            sealed += 1;
            continue;
        }
        match restore_source(&reader, source, root, options, observer) {
            Ok(part) => match &mut summary {
                Some(summary) => summary.add(part),
                None => summary = Some(part),
            },
            Err(error) if error.kind() == Kind::NotFound && !options.folder.is_empty() => {
                absent = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    let nothing = || Error::new(Kind::NotFound, "the snapshot holds nothing to restore");
    match summary {
        Some(summary) => Ok(RestoreSummary { sealed_sources: sealed, ..summary }),
        None if sealed > 0 => Err(Error::new(
            Kind::Refused,
            "what is asked for is in no source that the key in use may read, and it may not read \
             secrets: use a key that may (`coffer key list` tells which)",
        )),
        None => Err(absent.unwrap_or_else(nothing)),
    }
}

fn restore_source(
    reader: &ChunkReader<'_>,
    source: &Source,
    root: NodeRef,
    options: &RestoreOptions,
    observer: &dyn Observer,
) -> Result<RestoreSummary> {
    let get = |node: &NodeRef| reader.node(node);
    let get = &get;
    let entries =
        |folder: &[u8]| -> EntryStream<'_> { Box::new(Entries::within(&root, folder, get)) };
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
    let chunk = |chunk: &NodeRef| reader.chunk(chunk);
    let origin = Origin {
        entries: &entries,
        chunks: &chunks,
        attributes: &attributes,
        place: &place,
        frame: &frame,
        prove: &prove,
        chunk: &chunk,
        is_secret: root.class == Class::S,
        bytes_total: Some(source.bytes),
    };
    restore_origin(&origin, options, observer)
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

impl RestoreSummary {
    /// Adds the counts of another source.
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.directories += other.directories;
        self.others += other.others;
        self.links += other.links;
        self.skipped += other.skipped;
        self.excluded += other.excluded;
        self.lost += other.lost;
        self.bytes += other.bytes;
        self.problem_count += other.problem_count;
        self.damaged_count += other.damaged_count;
        self.problems.extend(other.problems);
    }
}
